//! How connections flow on each runtime, over TCP and Unix sockets: peers that write first, that
//! leave, that send what no one asked for, that are slow; and a process that is stopped.
//!
//! The rules are tested in scgi-proto, without a socket (`tests/flow.rs`, `tests/driver/model.rs`).

#![cfg(target_os = "linux")]

mod stopped;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::ConnectionConfig;

use crate::peers::{Peer, head};
use crate::servers::{Program, RUNTIMES, Runtime, Server};

/// Those on which a handler can be cancelled.
const ASYNC: [Runtime; 3] = [Runtime::Tokio, Runtime::AsyncStd, Runtime::Smol];

/// Runs a test for each runtime, over TCP and over a Unix socket, all at the same time.
fn each(program: Program, config: ConnectionConfig, test: fn(&Server, &str)) {
    each_of(&RUNTIMES, program, config, 100, test);
}

fn each_of(
    runtimes: &[Runtime],
    program: Program,
    config: ConnectionConfig,
    max_connections: usize,
    test: fn(&Server, &str),
) {
    thread::scope(|scope| {
        for runtime in runtimes {
            for unix in [false, true] {
                scope.spawn(move || {
                    let server = Server::start(*runtime, unix, program, config, max_connections);
                    test(&server, &format!("{runtime:?}, {}", if unix { "Unix" } else { "TCP" }));
                });
            }
        }
    });
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_peer_that_writes_first_gets_a_response_larger_than_the_buffers() {
    let config = ConnectionConfig::default().with_write_timeout(seconds(20));
    each_of(&RUNTIMES, Program::Answers(10_000_000), config, 100, |server, name| {
        let mut peer = server.connect();
        peer.write_all(&head(8 << 20)).expect(name);
        peer.write_all(&vec![b'b'; 8 << 20]).expect(name);
        let response = peer.read_to_end();
        assert_eq!(response.len(), 10_000_000, "{name}");
    });
}

#[test]
fn another_task_reads_the_body_while_the_response_waits() {
    each_of(
        &ASYNC,
        Program::Elsewhere(10_000_000),
        ConnectionConfig::default(),
        100,
        |server, name| {
            let mut peer = server.connect();
            peer.send_from_small_buffer();
            peer.write_all(&head(8 << 20)).expect(name);
            peer.write_all(&vec![b'b'; 8 << 20]).expect(name);
            // Nothing of the response was read. The rest is in the buffers of both sides.
            assert!(server.count() > 7 << 20, "{name}: {}", server.count());
            assert_eq!(peer.read_to_end().len(), 10_000_000, "{name}");
        },
    );
}

/// How a peer leaves.
fn leave(way: usize, peer: Peer) -> Option<Peer> {
    match way {
        // A close; as it has read all that it was sent, it is not a reset.
        0 => None,
        1 => {
            peer.shutdown(Shutdown::Write);
            Some(peer)
        }
        _ => {
            peer.reset_on_close();
            None
        }
    }
}

#[test]
fn a_peer_that_leaves_behind_unread_bytes_cancels_the_handler() {
    each_of(
        &ASYNC,
        Program::Holds(seconds(30)),
        ConnectionConfig::default(),
        100,
        |server, name| {
            for way in 0..3 {
                let mut peer = server.connect();
                peer.write_all(&head(100_000)).expect(name);
                peer.write_all(&[b'b'; 50_000]).expect(name);
                server.await_running(1, name);
                let begun = Instant::now();
                let rest = leave(way, peer);
                server.await_running(0, name);
                assert!(begun.elapsed() < seconds(10), "{name}, {way}: {:?}", begun.elapsed());
                drop(rest);
            }
        },
    );
}

#[test]
fn a_program_that_ignores_leaving_runs_to_its_end() {
    let config = ConnectionConfig::default().with_ignore_client_abort(true);
    each_of(&ASYNC, Program::Holds(seconds(3)), config, 100, |server, name| {
        let mut peer = server.connect();
        peer.write_all(&head(100_000)).expect(name);
        peer.write_all(&[b'b'; 50_000]).expect(name);
        server.await_running(1, name);
        peer.shutdown(Shutdown::Write);
        assert_eq!(peer.read_to_end(), b"held", "{name}");
    });
}

#[test]
fn a_chunk_that_is_given_up_ends_its_deadline() {
    let config = ConnectionConfig::default().with_body_timeout(seconds(1));
    each_of(&ASYNC, Program::GivesUp(seconds(2)), config, 100, |server, name| {
        let mut peer = server.connect();
        peer.write_all(&head(100)).expect(name);
        assert_eq!(peer.read_to_end(), b"gave up", "{name}");
    });
}

#[test]
fn a_program_that_does_not_read_its_body_has_a_bound_if_that_is_set() {
    let config = ConnectionConfig::default().with_unread_body_timeout(seconds(1));
    each_of(&ASYNC, Program::Holds(seconds(30)), config, 100, |server, name| {
        let mut peer = server.connect();
        peer.write_all(&head(100)).expect(name);
        let response = peer.read_all();
        assert!(response.starts_with(b"Status: 503 "), "{name}");
    });
}

#[test]
fn tricklers_do_not_fill_a_server() {
    let config = ConnectionConfig::default()
        .with_rate_grace(seconds(1))
        .with_body_timeout(seconds(2))
        .with_drain_timeout(seconds(1));
    each_of(&RUNTIMES, Program::Collects, config, 4, |server, name| {
        let mut tricklers: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for peer in &mut tricklers {
            peer.write_all(&head(10_000)).expect(name);
        }
        server.await_running(4, name);
        let mut good = server.connect();
        good.write_all(&head(5)).expect(name);
        good.write_all(b"hello").expect(name);
        let begun = Instant::now();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) && begun.elapsed() < seconds(60) {
                    thread::sleep(Duration::from_millis(100));
                    for peer in &mut tricklers {
                        let _ = peer.write_all(b"x");
                    }
                }
            });
            assert_eq!(good.read_to_end(), b"hello", "{name}");
            is_over.store(true, Ordering::SeqCst);
            // Without the minimum rate, their bodies take 1000 s.
            assert!(begun.elapsed() < seconds(30), "{name}: {:?}", begun.elapsed());
        });
    });
}

#[test]
fn a_slow_and_steady_reader_gets_all_and_one_that_stops_is_closed() {
    let config =
        ConnectionConfig::default().with_write_timeout(seconds(3)).with_rate_grace(seconds(1));
    each(Program::Answers(3_000_000), config, |server, name| {
        let mut stopped = server.connect();
        stopped.write_all(&head(0)).expect(name);
        let mut peer = server.connect();
        peer.shrink();
        peer.write_all(&head(0)).expect(name);
        let (mut got, mut buf) = (0, [0; 16 * 1024]);
        loop {
            thread::sleep(Duration::from_millis(50));
            match peer.read(&mut buf).unwrap_or_else(|error| panic!("{name}: {error}")) {
                0 => break,
                count => got += count,
            }
        }
        assert!(got > 3_000_000, "{name}: {got}");
        server.await_running(0, name);
        if server.is_unix() {
            // Its buffers hold only a part: what it gets is cut.
            assert!(stopped.read_raw().len() < 3_000_000, "{name}");
        }
    });
}

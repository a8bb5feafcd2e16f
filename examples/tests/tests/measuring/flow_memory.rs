//! What a server holds of bytes that no one asked for. In a process of its own, as its memory is
//! measured.

#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::ConnectionConfig;

use crate::alone::alone;
use crate::peers::head;
use crate::servers::{Program, RUNTIMES, Runtime, Server};

/// How long handlers work, while their peers flood them.
const WORK: Duration = Duration::from_secs(2);

/// Bytes that this process has in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("own memory");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

/// Sends up to 1 GiB behind a request, for as long as its handler works.
fn flood(server: &Server, body: usize, name: &str) -> usize {
    let mut peer = server.connect();
    peer.write_all(&head(body)).expect(name);
    let until = Instant::now() + WORK / 2;
    let chunk = vec![b'x'; 256 * 1024];
    let mut sent = 0;
    peer.set_nonblocking(true);
    while Instant::now() < until && sent < 1 << 30 {
        match peer.write(&chunk) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    peer.set_nonblocking(false);
    assert_eq!(peer.read_to_end(), b"waited", "{name}: the flood does not end the request");
    sent
}

fn floods(runtime: Runtime, unix: bool, body: usize) {
    let name = format!("{runtime:?}, {}, {body}", if unix { "Unix" } else { "TCP" });
    let server =
        Server::start(runtime, unix, Program::Waits(WORK), ConnectionConfig::default(), 100);
    let before = resident();
    let sent = thread::scope(|scope| {
        let floods: Vec<_> = (0..10).map(|_| scope.spawn(|| flood(&server, body, &name))).collect();
        let mut peak = 0;
        while floods.iter().any(|flood| !flood.is_finished()) {
            peak = peak.max(resident());
            thread::sleep(Duration::from_millis(10));
        }
        let grown = peak.saturating_sub(before);
        assert!(grown < 40 << 20, "{name}: it grew by {} KiB", grown / 1024);
        floods.into_iter().map(|flood| flood.join().expect("no panic")).sum::<usize>()
    });
    assert!(sent > 100 << 20 || runtime == Runtime::Blocking, "{name}: {sent} is no flood");
}

#[test]
fn bytes_that_no_one_asked_for_take_no_memory() {
    alone(|| {
        for runtime in RUNTIMES {
            // Behind the request, and a body that was dropped.
            floods(runtime, false, 0);
            floods(runtime, true, 2 << 30);
        }
    });
}

/// What each of ten peers sends.
const GIB: usize = 1 << 30;

/// Sends a GiB, and returns when all of it was taken.
fn send_all(server: &Server, body: usize, is_drained: bool, name: &str) {
    let mut peer = server.connect();
    peer.write_all(&head(body)).expect(name);
    if is_drained {
        // The response first.
        assert_eq!(peer.read_to_end(), b"r", "{name}");
    }
    let chunk = vec![b'x'; 256 * 1024];
    for _ in 0..GIB / chunk.len() {
        peer.write_all(&chunk).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn floods_of_gigabytes(runtime: Runtime, unix: bool, is_drained: bool) {
    let when = if is_drained { "after the response" } else { "while the handler works" };
    let name = format!("{runtime:?}, {}, {when}", if unix { "Unix" } else { "TCP" });
    let config = ConnectionConfig::default()
        .with_max_drain_len(4 * GIB as u64)
        .with_drain_timeout(Duration::from_secs(300));
    let program = match is_drained {
        true => Program::Answers(1),
        false => Program::Waits(Duration::from_secs(300)),
    };
    let server = Server::start(runtime, unix, program, config, 100);
    let (before, begun) = (resident(), Instant::now());
    let peak = thread::scope(|scope| {
        let send = || send_all(&server, 2 * GIB, is_drained, &name);
        let floods: Vec<_> = (0..10).map(|_| scope.spawn(send)).collect();
        let mut peak = 0;
        while floods.iter().any(|flood| !flood.is_finished()) {
            peak = peak.max(resident());
            thread::sleep(Duration::from_millis(10));
        }
        floods.into_iter().for_each(|flood| flood.join().expect("no panic"));
        peak
    });
    let grown = peak.saturating_sub(before);
    println!("{name}: 10 GiB in {:?}, at most {} KiB more", begun.elapsed(), grown / 1024);
    assert!(grown < 40 << 20, "{name}: it grew by {} KiB", grown / 1024);
}

#[test]
#[ignore = "takes long: .ci/heavy flow"]
fn a_gibibyte_on_each_of_ten_connections_takes_no_memory() {
    for runtime in RUNTIMES {
        for unix in [false, true] {
            // A thread that works reads nothing.
            if runtime != Runtime::Blocking {
                floods_of_gigabytes(runtime, unix, false);
            }
            floods_of_gigabytes(runtime, unix, true);
        }
    }
}

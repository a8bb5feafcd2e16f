//! Deadlines of a whole server. Those of a connection are tested in virtual time, in `src`.

use std::io::{ErrorKind, Read, Write};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use scgi_blocking::{Address, ConnectionConfig, Error, Request, Response, Status, Stream, Summary};

use crate::harness::{MS, echo, head, on_each, read_all, wait_until};

#[test]
fn bytes_that_trickle_in_do_not_put_off_the_heads_deadline() {
    let config = ConnectionConfig::default().with_head_timeout(300 * MS);
    on_each(
        "slow",
        &echo,
        |s| s.with_config(config),
        |server| {
            let mut stream = server.connect();
            let begun = Instant::now();
            let mut sent = 0;
            // The rest is drained after the reply, so writing works for a while longer.
            for byte in head(0) {
                if stream.write_all(&[byte]).is_err() || begun.elapsed() > 600 * MS {
                    break;
                }
                sent += 1;
                sleep(20 * MS);
            }
            assert!(sent >= 10, "{sent}");
            assert!(read_all(&mut stream).starts_with("Status: 408 "));
            drop(stream);
            let begun = Instant::now();
            assert_eq!(read_all(&mut server.connect()), "", "silence is answered with silence");
            let took = begun.elapsed();
            assert!(took >= 300 * MS && took < 1000 * MS, "{took:?}");
            wait_until(|| server.counters.refused(Status::REQUEST_TIMEOUT) == 1);
            server.stop();
        },
    );
}

#[test]
fn a_body_timeout_of_zero_does_not_wait() {
    let config = ConnectionConfig::default().with_body_timeout(Duration::ZERO);
    on_each(
        "zero",
        &echo,
        |s| s.with_config(config),
        |server| {
            let mut stream = server.connect();
            stream.write_all(&head(5)).expect("written");
            sleep(30 * MS);
            // A read that waits for a moment by itself would get it.
            let _ = stream.write_all(b"hello");
            assert!(read_all(&mut stream).starts_with("Status: 408 "));
            drop(stream);
            // What is there is read.
            let mut stream = server.connect();
            stream.write_all(&[&head(5)[..], b"hello"].concat()).expect("written");
            assert!(read_all(&mut stream).ends_with("hello"));
            server.stop();
        },
    );
}

/// Sends a long body, a piece every `pause`, until the server has had enough.
fn send(stream: &mut Stream, piece: &[u8], pause: Duration) {
    stream.write_all(&head(1 << 40)).expect("written");
    let begun = Instant::now();
    while stream.write_all(piece).is_ok() {
        assert!(begun.elapsed() < 5000 * MS, "it goes on for ever");
        sleep(pause);
    }
}

/// What a read alone waits for, and what need never be waited for.
const FLOWS: [(&[u8], Duration); 2] =
    [(b"x", Duration::from_millis(2)), (&[b'x'; 100_000], Duration::ZERO)];

#[test]
fn a_body_that_flows_has_an_end_all_the_same() {
    let config = ConnectionConfig::default()
        .with_body_timeout(5000 * MS)
        .with_request_timeout(300 * MS)
        .with_drain_timeout(100 * MS);
    let handler = |mut request: Request| -> Result<_, Error> {
        while request.body_mut().chunk()?.is_some() {
            sleep(MS);
        }
        Ok(Response::new("done"))
    };
    on_each(
        "flow",
        &handler,
        |s| s.with_config(config),
        |server| {
            for (piece, pause) in FLOWS {
                let begun = Instant::now();
                send(&mut server.connect(), piece, pause);
                assert!(begun.elapsed() >= 300 * MS && begun.elapsed() < 2000 * MS);
            }
            wait_until(|| server.counters.refused(Status::SERVICE_UNAVAILABLE) == 2);
            server.stop();
        },
    );
    on_each(
        "flow",
        &handler,
        |s| s.with_shutdown_deadline(50 * MS),
        |server| {
            let senders = FLOWS.map(|(piece, pause)| {
                let mut stream = server.connect();
                thread::spawn(move || send(&mut stream, piece, pause))
            });
            wait_until(|| server.counters.active() == 2);
            sleep(100 * MS);
            server.shutdown.stop();
            let summary = server.thread.join().expect("no panic").expect("a summary");
            let waited = summary.waited;
            assert_eq!(summary, Summary { served: 2, aborted: 2, waited, ..Summary::default() });
            for sender in senders {
                sender.join().expect("the server closed");
            }
        },
    );
}

#[test]
fn a_peer_that_does_not_read_is_dropped_at_the_deadline() {
    let config = ConnectionConfig::default().with_write_timeout(200 * MS);
    let large = |_: Request| Response::new(vec![b'x'; 32 << 20]);
    on_each(
        "unread",
        &large,
        |s| s.with_config(config),
        |server| {
            let mut stream = server.connect();
            stream.write_all(b"0:,").expect("written");
            let begun = Instant::now();
            wait_until(|| server.counters.accepted() == 1 && server.counters.active() == 0);
            assert!(begun.elapsed() >= 200 * MS && begun.elapsed() < 2000 * MS);
            let mut all = Vec::new();
            let end = stream.read_to_end(&mut all);
            assert!(all.len() < 32 << 20);
            if matches!(server.address, Address::Tcp(_)) {
                assert_eq!(end.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
            }
            server.stop();
        },
    );
}

/// Takes a long reply, a piece every two milliseconds, until the server has had enough.
fn take(stream: &mut Stream) {
    stream.write_all(b"0:,").expect("written");
    let begun = Instant::now();
    let mut piece = vec![0; 32 * 1024];
    let mut taken = 0;
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        assert!(begun.elapsed() < 5000 * MS, "it goes on for ever");
        taken += count;
        sleep(2 * MS);
    }
    assert!(taken < 128 << 20, "all of it");
}

#[test]
fn a_reply_that_flows_has_an_end_all_the_same() {
    let config = ConnectionConfig::default().with_request_timeout(300 * MS);
    let large = |_: Request| Response::new(vec![b'x'; 128 << 20]);
    on_each(
        "taken",
        &large,
        |s| s.with_config(config),
        |server| {
            let begun = Instant::now();
            take(&mut server.connect());
            assert!(begun.elapsed() >= 300 * MS && begun.elapsed() < 2000 * MS);
            server.stop();
        },
    );
    on_each(
        "taken",
        &large,
        |s| s.with_shutdown_deadline(50 * MS),
        |server| {
            let mut stream = server.connect();
            let taker = thread::spawn(move || take(&mut stream));
            wait_until(|| server.counters.active() == 1);
            sleep(100 * MS);
            server.shutdown.stop();
            let summary = server.thread.join().expect("no panic").expect("a summary");
            let waited = summary.waited;
            assert_eq!(summary, Summary { served: 1, aborted: 1, waited, ..Summary::default() });
            taker.join().expect("the server closed");
        },
    );
}

//! `scgi request --retry`: what is tried again, and what is not.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use scgi_tests::process::scratch_dir;

use crate::tool::{EchoServer, RUNTIMES, scgi, text};

/// A server that answers each connection with the next of these replies and closes it; counts them.
fn replies(replies: &'static [&'static str]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for reply in replies {
            let Ok((mut stream, _)) = listener.accept() else { return };
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    (address, count)
}

const BUSY: &str = "Status: 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nbusy\n";
const OK: &str = "Status: 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

#[test]
fn retry_waits_for_a_server_that_is_not_there_yet() {
    let folder = scratch_dir().expect("a folder");
    let test = |runtime: &str| {
        let path = folder.path().join(runtime);
        let address = text(&path);
        thread::scope(|scope| {
            // A POST: nothing was sent.
            let args = ["request", address, "-d", "x", "--retry", "5", "--runtime", runtime];
            let client = scope.spawn(move || scgi(args));
            thread::sleep(Duration::from_millis(500));
            let _server = EchoServer::start(&[address]);
            let run = client.join().expect("no panic").ok();
            let first = run.stderr.lines().next().unwrap_or_default();
            assert!(first.contains("cannot connect"), "{runtime}: {}", run.stderr);
            assert!(first.ends_with("; attempt 1 of 5 follows in 1s"), "{runtime}: {first}");
        });
    };
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            let test = &test;
            scope.spawn(move || test(runtime));
        }
    });
}

#[test]
fn retry_of_a_get_after_503_and_after_no_response() {
    let (address, count) = replies(&[BUSY, "", OK]);
    let run = scgi(["request", &address, "--retry", "2", "--fail"]).ok();
    // The body of the first is not printed.
    assert_eq!((run.text(), count.load(Ordering::SeqCst)), ("ok\n", 3), "{}", run.stderr);
    let lines: Vec<_> = run.stderr.lines().collect();
    assert_eq!(
        lines[0],
        "scgi: the server answered 503 Service Unavailable; attempt 1 of 2 follows in 1s"
    );
    assert!(lines[1].ends_with("; attempt 2 of 2 follows in 2s"), "{}", run.stderr);
}

#[test]
fn retry_ends_with_the_last_response() {
    let (address, count) = replies(&[BUSY, BUSY]);
    let run = scgi(["request", &address, "--retry", "1", "--fail"]);
    assert_eq!((run.code, run.text()), (Some(22), "busy\n"), "{}", run.stderr);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn retry_is_not_for_what_may_have_been_done_or_was_printed() {
    const CUT: &str = "Status: 200 OK\r\nContent-Length: 9\r\n\r\nok\n";
    const NOT_FOUND: &str = "Status: 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    for (reply, more, code) in [
        (&[BUSY, OK], &["-d", "x"][..], 22),
        (&["", OK], &["-d", "x"], 1),
        (&[CUT, OK], &[], 1),
        (&[NOT_FOUND, OK], &[], 22),
    ] {
        let (address, count) = replies(reply);
        let begun = Instant::now();
        let run = scgi([&["request", &address, "--retry", "3", "--fail"], more].concat());
        assert_eq!(run.code, Some(code), "{reply:?}: {}", run.stderr);
        assert_eq!(count.load(Ordering::SeqCst), 1, "{reply:?}: {}", run.stderr);
        assert!(!run.stderr.contains("follows in"), "{:?}: {}", begun.elapsed(), run.stderr);
    }
}

//! Stops while handlers and peers misbehave: good requests are answered, and the server ends in time.

use std::io::Write as _;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use scgi_blocking::{Address, Request, Response, Serve, Stream, Summary};

use crate::harness::{MS, Running, on_each, read_all, wait_until};

/// Bad requests or peers at the same time.
const BAD: usize = 10;

/// What is aborted is aborted after this.
const DEADLINE: Duration = Duration::from_secs(1);

/// A request with a body of so many bytes, without the body.
fn request(method: &str, len: usize) -> Vec<u8> {
    let block = format!("CONTENT_LENGTH\0{len}\0SCGI\x001\0REQUEST_METHOD\0{method}\0");
    format!("{}:{block},", block.len()).into_bytes()
}

fn with_bounds<H, M>(server: Serve<H, M>) -> Serve<H, M> {
    server.with_max_connections(64).with_shutdown_deadline(DEADLINE)
}

/// Connects and sends this on each connection.
fn send_each(server: &Running, bytes: &[u8]) -> Vec<Stream> {
    let send = |_| {
        let mut stream = server.connect();
        stream.write_all(bytes).expect("written");
        stream
    };
    (0..BAD).map(send).collect()
}

/// Asks until no one can connect; returns how many answers came that begin with this.
fn ask_until_stopped(address: &Address, method: &str, status: &str) -> u64 {
    let mut answered = 0;
    while let Ok(mut stream) = Stream::connect(address) {
        let mut reply = Vec::new();
        let is_sent = stream.write_all(&request(method, 0)).is_ok();
        let is_read = std::io::Read::read_to_end(&mut stream, &mut reply).is_ok();
        let is_whole = is_sent && is_read && reply.starts_with(status.as_bytes());
        // On TCP, one that connects between the last accept and the end of listening is reset. The
        // server has not served it, which the caller checks.
        assert!(is_whole || matches!(address, Address::Tcp(_)), "{method}: no whole answer");
        answered += u64::from(is_whole);
    }
    answered
}

/// Stops the server while clients ask for this too, and calls `then`. Returns how many of their
/// requests were answered.
fn stop_under_load(server: Running, asked: (&str, &str), then: impl FnOnce()) -> (Summary, u64) {
    let (method, status) = asked;
    let (answered, begun) = thread::scope(|scope| {
        let ask = || ask_until_stopped(&server.address, method, status);
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        let accepted = server.counters.accepted();
        wait_until(|| server.counters.accepted() > accepted + 20);
        let begun = Instant::now();
        server.shutdown.stop();
        then();
        let answered = clients.into_iter().map(|client| client.join().expect("answers"));
        (answered.sum(), begun)
    });
    let summary = server.thread.join().expect("no panic").expect("a summary");
    // What waits for its peer has a second to end after the deadline.
    assert!(begun.elapsed() < DEADLINE + 4000 * MS, "{:?}", begun.elapsed());
    assert_eq!(summary.without_place, 0, "{summary:?}");
    (summary, answered)
}

const GOOD: (&str, &str) = ("GET", "Status: 200 ");

/// Closed until it is opened for good.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().expect("no panic") = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let is_open = self.is_open.lock().expect("no panic");
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).expect("no panic"));
    }
}

#[test]
fn a_stop_while_handlers_panic_answers_all() {
    let handler = |request: Request| -> Response {
        if request.head().method() == Some(b"PANIC") {
            // Without the hook, which may take long to print where it was.
            resume_unwind(Box::new("on purpose"));
        }
        Response::new("done")
    };
    on_each("stop-panic", &handler, with_bounds, |server| {
        let (summary, answered) = stop_under_load(server, ("PANIC", "Status: 500 "), || {});
        assert!(answered > 8, "{answered}");
        assert_eq!((summary.served, summary.aborted), (answered, 0));
    });
}

#[test]
fn a_stop_while_handlers_block_aborts_only_them() {
    let gate = Arc::new(Gate::default());
    let blocks = Arc::clone(&gate);
    let handler = move |request: Request| {
        if request.head().method() == Some(b"BLOCK") {
            blocks.wait();
        }
        Response::new("done")
    };
    on_each("stop-block", &handler, with_bounds, |server| {
        let blocked = send_each(&server, &request("BLOCK", 0));
        wait_until(|| server.counters.active() == BAD as u64);
        let (summary, answered) = stop_under_load(server, GOOD, || {});
        assert_eq!(summary.served, answered + BAD as u64);
        assert_eq!(summary.aborted, BAD as u64);
        drop(blocked);
    });
    gate.open();
}

#[test]
fn a_stop_while_handlers_wait_for_a_lock_answers_all_once_it_is_free() {
    // Whether the one that holds the lock may return.
    let gate = Arc::new(Mutex::new(Arc::new(Gate::default())));
    let (lock, holds) = (Arc::new(Mutex::new(())), Arc::clone(&gate));
    let handler = move |request: Request| {
        match request.head().method() {
            Some(b"HOLD") => {
                let gate = Arc::clone(&holds.lock().expect("no panic"));
                let _guard = lock.lock().expect("no panic");
                gate.wait();
            }
            Some(b"LOCK") => drop(lock.lock().expect("no panic")),
            _ => {}
        }
        Response::new("done")
    };
    on_each("stop-lock", &handler, with_bounds, |server| {
        let now = Arc::new(Gate::default());
        *gate.lock().expect("no panic") = Arc::clone(&now);
        let mut holder = server.connect();
        holder.write_all(&request("HOLD", 0)).expect("written");
        wait_until(|| server.counters.active() == 1);
        sleep(50 * MS);
        let mut waiting = send_each(&server, &request("LOCK", 0));
        waiting.push(holder);
        wait_until(|| server.counters.active() == 1 + BAD as u64);
        let (summary, answered) = stop_under_load(server, GOOD, || {
            sleep(50 * MS);
            now.open();
        });
        for stream in &mut waiting {
            assert!(read_all(stream).ends_with("done"));
        }
        assert_eq!(summary.served, answered + 1 + BAD as u64);
        assert_eq!(summary.aborted, 0, "{summary:?}");
    });
}

#[test]
fn a_stop_ends_bodies_that_threads_of_handlers_keep() {
    let (report, reported) = mpsc::channel();
    let handler = move |request: Request| {
        if request.head().method() == Some(b"KEEP") {
            let (mut body, report) = (request.into_body(), report.clone());
            // It waits for the rest of the body.
            thread::spawn(move || report.send(body.discard().is_err()));
        }
        Response::new("done")
    };
    on_each("stop-keep", &handler, with_bounds, |server| {
        let mut kept = send_each(&server, &[request("KEEP", 5), b"ab".to_vec()].concat());
        // The answers come although the requests are not complete. The peers stay.
        for stream in &mut kept {
            assert!(read_all(stream).ends_with("done"));
        }
        let (summary, answered) = stop_under_load(server, GOOD, || {});
        assert_eq!(summary.served, answered + BAD as u64);
        for _ in 0..BAD {
            let has_failed = reported.recv_timeout(5000 * MS).expect("the thread is woken");
            assert!(has_failed, "a body without its end");
        }
        drop(kept);
    });
}

#[test]
fn a_stop_while_heads_come_slowly_answers_those_that_come_in_time() {
    let handler = |_: Request| Response::new("done");
    on_each("stop-slow", &handler, with_bounds, |server| {
        let all = request("GET", 0);
        let mut slow = send_each(&server, &all[..10]);
        let never = send_each(&server, &all[..10]);
        wait_until(|| server.counters.active() == 2 * BAD as u64);
        let (summary, answered) = stop_under_load(server, GOOD, || {
            sleep(50 * MS);
            for stream in &mut slow {
                stream.write_all(&all[10..]).expect("written");
            }
        });
        for stream in &mut slow {
            assert!(read_all(stream).ends_with("done"));
        }
        assert_eq!(summary.served, answered + 2 * BAD as u64);
        assert_eq!(summary.aborted, BAD as u64, "{summary:?}");
        drop(never);
    });
}

//! Many more connections than threads. A process of its own, as it needs many descriptors.
#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scgi_blocking::{Listener, Request, Response, Stream, serve};

const CONNECTIONS: usize = 10_000;
/// On TCP, so many that all of them fit into the listener's queue. Where that is full, the system
/// answers a client that the server never sees.
const TCP_CONNECTIONS: usize = 4000;
const THREADS: usize = 4;
const CLIENTS: usize = 20;

/// Lets this process open as many descriptors as the system permits.
fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a limit");
    let is_enough = maximum.is_none_or(|maximum| maximum as usize > CONNECTIONS + 200);
    assert!(is_enough, "this test needs `ulimit -Hn` of 10200: {maximum:?}");
}

#[test]
fn ten_thousand_connections_against_four_threads_are_answered() {
    flood("flood", false);
}

/// The server is stopped when all of them have been sent.
#[test]
fn a_stop_while_ten_thousand_connections_wait_answers_all() {
    flood("flood-stop", true);
}

fn flood(name: &str, is_stopped: bool) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    raise_limit();
    let folder = std::env::temp_dir();
    let path = folder.join(format!("scgi-blocking-{name}-{}", std::process::id()));
    let unix = format!("unix:{}", path.display());
    for (address, connections) in [("127.0.0.1:0", TCP_CONNECTIONS), (&unix, CONNECTIONS)] {
        let listener = Listener::bind(address).expect("bound");
        let address = listener.local_address().expect("its address");
        let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let peak = Arc::clone(&most);
        let handler = move |_: Request| {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            Response::new("done")
        };
        let server = serve(listener, handler).with_max_connections(THREADS);
        let (shutdown, counters) = (server.shutdown_handle(), server.counters());
        let running = thread::spawn(|| server.run());
        // All are open at the same time: an answer is read only when every request was sent.
        let sent = std::sync::Barrier::new(CLIENTS);
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let ask = |_| {
                        let mut stream = Stream::connect(&address).expect("connected");
                        stream.write_all(b"0:,").expect("written");
                        stream
                    };
                    let streams: Vec<_> = (0..connections / CLIENTS).map(ask).collect();
                    if sent.wait().is_leader() && is_stopped {
                        shutdown.stop();
                    }
                    for mut stream in streams {
                        let mut reply = String::new();
                        stream.read_to_string(&mut reply).expect("read");
                        assert!(reply.ends_with("done"), "{reply:?}");
                    }
                });
            }
        });
        shutdown.stop();
        let summary = running.join().expect("no panic").expect("a summary");
        assert_eq!(summary.served, connections as u64);
        assert_eq!((summary.aborted, summary.without_place, counters.evicted()), (0, 0, 0));
        assert!(most.load(Ordering::SeqCst) <= THREADS, "more than there may be");
    }
}

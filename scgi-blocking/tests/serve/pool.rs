//! How many threads there are, and what happens while there are too few.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use scgi_blocking::{ConnectionConfig, Request, Response};

use crate::harness::{MS, Running, get, on_each, read_all, wait_until};

/// Clients that ask again as soon as they are answered; returns how many answers came.
fn closed_loop(server: &Running, clients: usize, time: Duration) -> usize {
    let answered = AtomicUsize::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while begun.elapsed() < time {
                    assert!(server.exchange(b"0:,").starts_with("Status: 200 "));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    answered.into_inner()
}

#[test]
fn handlers_that_wait_get_threads() {
    // Each is shorter or not much longer than the time between two looks.
    for wait in [1, 5, 14] {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        let handler = move |_: Request| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(wait * MS);
            now.fetch_sub(1, Ordering::SeqCst);
            Response::new("done")
        };
        on_each(
            "wait",
            &handler,
            |s| s,
            |server| {
                seen.store(0, Ordering::SeqCst);
                closed_loop(&server, 16, 400 * MS);
                // How many run at once does not depend on how busy the machine is. A pool that is
                // starved stays at two.
                let most = seen.load(Ordering::SeqCst);
                assert!(most > 4, "{most} at once with {wait} ms");
                server.stop();
            },
        );
    }
}

#[test]
fn a_burst_gets_threads_at_once_and_again_after_a_pause() {
    const BURST: usize = 64;
    let (arrived, all_arrived) = (Arc::new(Mutex::new(0)), Arc::new(Condvar::new()));
    // Each waits until all of its burst run: fewer threads would never finish.
    let handler = move |_: Request| {
        let mut arrived = arrived.lock().expect("no panic");
        *arrived += 1;
        all_arrived.notify_all();
        let bursts = (*arrived - 1) / BURST + 1;
        let wait = all_arrived
            .wait_timeout_while(arrived, 10_000 * MS, |arrived| *arrived < bursts * BURST)
            .expect("no panic");
        Response::new(if wait.1.timed_out() { "alone" } else { "done" })
    };
    on_each(
        "burst",
        &handler,
        |s| s,
        |server| {
            for _ in 0..2 {
                let mut streams: Vec<_> = (0..BURST).map(|_| server.connect()).collect();
                for stream in &mut streams {
                    stream.write_all(b"0:,").expect("written");
                }
                for stream in &mut streams {
                    assert!(read_all(stream).ends_with("done"));
                }
                sleep(100 * MS);
            }
            server.stop();
        },
    );
}

#[test]
fn slow_peers_and_handlers_that_block_keep_no_one_else_waiting() {
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ended);
    // The first that blocks holds the lock, the others wait for it.
    let handler = move |request: Request| {
        if request.head().method() == Some(b"BLOCK") {
            let _ = released.lock().expect("no panic").recv();
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Response::new("done")
    };
    on_each(
        "blocked",
        &handler,
        |s| {
            let config = ConnectionConfig::default().with_head_timeout(120_000 * MS);
            s.with_config(config).with_max_connections(64).with_shutdown_deadline(100 * MS)
        },
        |server| {
            let silent: Vec<_> = (0..20).map(|_| server.connect()).collect();
            let block = "CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_METHOD\0BLOCK\0";
            let block = format!("{}:{block},", block.len());
            let mut blocked: Vec<_> = (0..20).map(|_| server.connect()).collect();
            for stream in &mut blocked {
                stream.write_all(block.as_bytes()).expect("written");
            }
            wait_until(|| server.counters.active() == 40);
            for _ in 0..20 {
                let response = server.request(&get(), "").expect("a response");
                assert_eq!(response.into_body().collect(10).expect("a body"), "done");
            }
            // All of them are still there: no request got the thread of one whose head was late.
            assert!(server.counters.active() >= 40, "{:?}", server.counters);
            assert_eq!(server.counters.evicted(), 0);
            // At the stop, too, they hold no one up beyond the deadline.
            server.shutdown.stop();
            let begun = Instant::now();
            let summary = server.thread.join().expect("no panic").expect("a summary");
            assert!(summary.aborted >= 20, "{summary:?}");
            assert!(begun.elapsed() < 2500 * MS, "{:?}", begun.elapsed());
            for _ in 0..20 {
                release.send(()).expect("a handler");
            }
            // Those of the next server must not be released instead.
            wait_until(|| ended.load(Ordering::SeqCst) == 20);
            ended.store(0, Ordering::SeqCst);
            drop((silent, blocked));
        },
    );
}

#[test]
fn a_flood_against_four_threads_is_answered() {
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&most));
    let handler = move |_: Request| {
        let count = now.fetch_add(1, Ordering::SeqCst) + 1;
        peak.fetch_max(count, Ordering::SeqCst);
        sleep(Duration::from_micros(200));
        now.fetch_sub(1, Ordering::SeqCst);
        Response::new("done")
    };
    on_each(
        "flood",
        &handler,
        |s| s.with_max_connections(4),
        |server| {
            let answered = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..20 {
                    scope.spawn(|| {
                        let mut streams: Vec<_> = (0..40).map(|_| server.connect()).collect();
                        for stream in &mut streams {
                            stream.write_all(b"0:,").expect("written");
                        }
                        for stream in &mut streams {
                            assert!(read_all(stream).ends_with("done"));
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(answered.into_inner(), 800);
            assert_eq!(server.stop().served, 800);
        },
    );
    assert_eq!(most.load(Ordering::SeqCst), 4, "as many as may be, and no more");
}

#[cfg(target_os = "linux")]
#[test]
fn idle_threads_use_no_processor() {
    // How often the watcher has slept.
    let sleeps = || {
        std::fs::read_dir("/proc/self/task")
            .expect("tasks")
            .filter_map(|task| {
                let path = task.ok()?.path();
                let name = std::fs::read_to_string(path.join("comm")).ok()?;
                let switches = std::fs::read_to_string(path.join("status")).ok()?;
                let line = switches.lines().find(|line| line.starts_with("voluntary"))?;
                let count: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
                name.starts_with("idle-watch").then_some(count)
            })
            .sum::<u64>()
    };
    let listener = scgi_blocking::Listener::bind("127.0.0.1:0");
    let listener = listener.expect("bound");
    let address = listener.local_address().expect("its address");
    let server = scgi_blocking::serve(listener, |_: Request| {
        sleep(2 * MS);
        Response::new("done")
    });
    let (shutdown, counters) = (server.shutdown_handle(), server.counters());
    let watcher = thread::Builder::new().name("idle-watch".into()).spawn(|| server.run());
    let thread = watcher.expect("a thread");
    let running = Running { address, shutdown, counters, thread };
    closed_loop(&running, 16, 300 * MS);
    // The longest time for which many threads are kept ready is two seconds.
    sleep(2500 * MS);
    let before = sleeps();
    assert!(before > 0, "there is no such thread");
    sleep(500 * MS);
    assert_eq!(sleeps(), before, "the watcher looks although nothing happens");
    running.stop();
}

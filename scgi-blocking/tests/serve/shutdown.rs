//! How a server ends.

use std::io::{Read as _, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use scgi_blocking::{Address, Error, Listener, Request, Response, Stream, Summary, serve};

use crate::harness::{MS, Running, addresses, head, on_each, read_all, wait_until};

#[test]
fn shutdown_finishes_what_runs() {
    let (enter, entered) = mpsc::channel();
    let handler = move |_: Request| {
        enter.send(()).expect("a test");
        sleep(300 * MS);
        Response::new("late")
    };
    for address in addresses("graceful") {
        let listener = Listener::bind(&address).expect("bound");
        let address = listener.local_address().expect("its address");
        let (stop, stopped) = mpsc::channel::<()>();
        let signal = move || {
            let _ = stopped.recv();
        };
        let server = serve(listener, handler.clone()).with_graceful_shutdown(signal);
        let server = Running::start(address, server);
        let mut stream = server.connect();
        stream.write_all(b"0:,").expect("written");
        entered.recv().expect("in the handler");
        stop.send(()).expect("a signal that waits");
        // New connections are refused although that request still runs.
        wait_until(|| Stream::connect(&server.address).is_err());
        if let Address::Unix(path) = &server.address {
            wait_until(|| !path.exists());
        }
        assert!(read_all(&mut stream).ends_with("late"), "finished");
        // Connections of the loop above may have been accepted before the signal.
        let summary = server.stop();
        assert!(summary.finished >= 1 && summary.aborted == 0, "{summary:?}");
    }
}

#[test]
fn shutdown_aborts_at_the_deadline() {
    let handler = |mut request: Request| -> Result<_, Error> {
        if request.head().content_length() == 0 {
            // Nothing can end this.
            sleep(3000 * MS);
        }
        request.body_mut().discard()?;
        Ok(Response::new(vec![b'x'; 32 << 20]))
    };
    on_each(
        "abort",
        &handler,
        |s| s.with_shutdown_deadline(50 * MS),
        |server| {
            // One waits for a head, one for a body, one for its reply to be taken, one is in a
            // handler.
            let mut streams = [(); 4].map(|()| server.connect());
            streams[1].write_all(&head(5)).expect("written");
            streams[2].write_all(&[&head(2)[..], b"hi"].concat()).expect("written");
            streams[3].write_all(&head(0)).expect("written");
            wait_until(|| server.counters.active() == 4);
            sleep(50 * MS);
            let address = server.address.clone();
            let counters = server.counters.clone();
            server.shutdown.stop();
            let begun = Instant::now();
            let summary = server.thread.join().expect("no panic").expect("a summary");
            let waited = summary.waited;
            assert_eq!(summary, Summary { served: 4, aborted: 4, waited, ..Summary::default() });
            assert!(begun.elapsed() < 1500 * MS, "{:?}", begun.elapsed());
            assert_eq!(counters.active(), 1, "the three that waited have ended");
            assert!(
                Stream::connect(&address).is_err(),
                "a stuck thread does not hold the listener"
            );
        },
    );
}

#[test]
fn a_listener_from_elsewhere_is_left_alive() {
    let tcp = TcpListener::bind("0.0.0.0:0").expect("bound");
    let address = format!("127.0.0.1:{}", tcp.local_addr().expect("its address").port());
    let address: Address = address.parse().expect("an address");
    let kept = tcp.try_clone().expect("the same socket");
    let server = Running::start(address.clone(), serve(tcp, |_: Request| Response::new("")));
    // Several threads wait for connections.
    for _ in 0..3 {
        let streams = [(); 3].map(|()| server.connect());
        wait_until(|| server.counters.active() == 3);
        drop(streams);
        wait_until(|| server.counters.active() == 0);
    }
    assert_eq!(server.stop().served, 9);
    let _client = Stream::connect(&address).expect("still a listener");
    kept.accept().expect("and one that accepts");
}

#[cfg(unix)]
#[test]
fn a_unix_listener_from_elsewhere_is_left_alive() {
    use std::os::unix::net::UnixListener;
    let path = std::env::temp_dir().join(format!("scgi-blocking-else-{}", std::process::id()));
    let unix = UnixListener::bind(&path).expect("bound");
    // A listener that was non-blocking must not make the threads spin or end.
    unix.set_nonblocking(true).expect("set");
    let kept = unix.try_clone().expect("the same socket");
    let address = Address::Unix(path.clone());
    let server = Running::start(address.clone(), serve(unix, |_: Request| Response::new("hi")));
    assert!(server.exchange(b"0:,").ends_with("hi"));
    server.stop();
    let _client = Stream::connect(&address).expect("still a listener");
    kept.accept().expect("and one that accepts");
    std::fs::remove_file(path).expect("its file is not ours to remove");
}

#[cfg(unix)]
#[test]
fn a_unix_listener_whose_file_is_gone_is_stopped_all_the_same() {
    use std::os::unix::net::UnixListener;
    let path = std::env::temp_dir().join(format!("scgi-blocking-lost-{}", std::process::id()));
    let unix = UnixListener::bind(&path).expect("bound");
    std::fs::remove_file(&path).expect("removed");
    let server = serve(unix, |_: Request| Response::new(""));
    let shutdown = server.shutdown_handle();
    let thread = thread::spawn(|| server.run());
    sleep(50 * MS);
    shutdown.stop();
    let begun = Instant::now();
    // On Linux; elsewhere the thread would be left behind.
    let summary = thread.join().expect("no panic").expect("a summary");
    assert_eq!(summary, Summary { waited: summary.waited, ..Summary::default() });
    assert!(begun.elapsed() < 1500 * MS, "{:?}", begun.elapsed());
}

#[test]
fn a_server_that_was_stopped_before_it_ran_ends_at_once() {
    let listener = Listener::bind("127.0.0.1:0").expect("bound");
    let server = serve(listener, |_: Request| Response::new(""));
    server.shutdown_handle().stop();
    let summary = server.run().expect("a summary");
    assert_eq!(summary, Summary { waited: summary.waited, ..Summary::default() });
}

/// Sends a request and reads the answer; `None` if no one can connect, and whether it was whole.
fn try_exchange(address: &Address) -> Option<bool> {
    let mut stream = Stream::connect(address).ok()?;
    let mut reply = Vec::new();
    let is_sent = stream.write_all(b"0:,").is_ok();
    let is_read = stream.read_to_end(&mut reply).is_ok();
    Some(is_sent && is_read && reply.ends_with(b"whole"))
}

#[test]
fn a_stop_under_load_loses_no_request() {
    for wait in [Duration::ZERO, 3 * MS] {
        let handler = move |_: Request| {
            sleep(wait);
            Response::new("whole")
        };
        on_each(
            "load",
            &handler,
            |s| s,
            |server| {
                let (failed, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
                thread::scope(|scope| {
                    for _ in 0..16 {
                        scope.spawn(|| {
                            while let Some(is_whole) = try_exchange(&server.address) {
                                let count = if is_whole { &answered } else { &failed };
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                    }
                    sleep(100 * MS);
                    server.shutdown.stop();
                });
                let (failed, answered) = (failed.into_inner(), answered.into_inner());
                assert!(answered > 16, "{answered}");
                // On TCP, one that connects between the last accept and the end is reset.
                let may_fail = if matches!(server.address, Address::Tcp(_)) { 16 } else { 0 };
                assert!(failed <= may_fail, "{failed} failed, {answered} were answered");
                let summary = server.thread.join().expect("no panic").expect("a summary");
                assert_eq!((summary.aborted, summary.without_place), (0, 0));
            },
        );
    }
}

#[test]
fn what_waits_at_the_cap_is_answered_until_the_deadline() {
    let handler = |_: Request| {
        sleep(50 * MS);
        Response::new("done")
    };
    // Ten rounds of two; or the deadline comes first.
    for (deadline, all) in [(30_000 * MS, true), (125 * MS, false)] {
        on_each(
            "cap",
            &handler,
            |s| s.with_max_connections(2).with_shutdown_deadline(deadline),
            |server| {
                let mut streams: Vec<_> = (0..20).map(|_| server.connect()).collect();
                for stream in &mut streams {
                    stream.write_all(b"0:,").expect("written");
                }
                wait_until(|| server.counters.active() == 2);
                server.shutdown.stop();
                let mut answered = 0;
                for stream in &mut streams {
                    let mut reply = Vec::new();
                    let _ = stream.read_to_end(&mut reply);
                    answered += u64::from(reply.ends_with(b"done"));
                }
                let summary = server.thread.join().expect("no panic").expect("a summary");
                assert_eq!(summary.served + summary.without_place, 20, "{summary:?}");
                if all {
                    assert_eq!(answered, 20);
                    assert_eq!(summary.finished, 20);
                } else {
                    assert!(summary.without_place > 0 && answered < 20, "{summary:?}");
                }
            },
        );
    }
}

#[test]
fn a_first_byte_that_comes_after_the_stop_is_answered() {
    on_each(
        "first",
        &|_: Request| Response::new("done"),
        |s| s.with_max_connections(1),
        |server| {
            // One has a thread, the other waits in the queue.
            let mut streams = [server.connect(), server.connect()];
            wait_until(|| server.counters.active() == 1);
            server.shutdown.stop();
            wait_until(|| Stream::connect(&server.address).is_err());
            sleep(50 * MS);
            for stream in &mut streams {
                stream.write_all(b"0:,").expect("written");
                assert!(read_all(stream).ends_with("done"));
            }
            let summary = server.thread.join().expect("no panic").expect("a summary");
            // Connections of the loop above may have been accepted before the stop.
            assert!(summary.finished >= 2 && summary.aborted == 0, "{summary:?}");
        },
    );
}

#[test]
fn a_listener_from_elsewhere_keeps_what_has_no_place() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = format!("127.0.0.1:{}", tcp.local_addr().expect("its address").port());
    let address: Address = address.parse().expect("an address");
    let kept = tcp.try_clone().expect("the same socket");
    let handler = |_: Request| {
        sleep(200 * MS);
        Response::new("done")
    };
    let server = serve(tcp, handler).with_max_connections(2);
    let server = Running::start(address, server);
    let mut streams: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for stream in &mut streams {
        stream.write_all(b"0:,").expect("written");
    }
    wait_until(|| server.counters.active() == 2);
    let summary = server.stop();
    assert_eq!((summary.served, summary.finished, summary.without_place), (2, 2, 0));
    // The next process, on the same socket.
    let address = Address::from(kept.local_addr().expect("its address"));
    let next = Running::start(address, serve(kept, |_: Request| Response::new("next")));
    let replies: Vec<_> = streams.iter_mut().map(read_all).collect();
    let count = |end| replies.iter().filter(|reply| reply.ends_with(end)).count();
    assert_eq!((count("done"), count("next")), (2, 3));
    // Connections that only woke its threads are not counted.
    assert_eq!(next.stop().served, 3);
}

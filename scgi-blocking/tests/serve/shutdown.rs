//! How a server ends.

use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::Instant;

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

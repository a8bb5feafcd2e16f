//! `serve` over real sockets.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown as End, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use bytes::Bytes;
use scgi_blocking::{
    Address, Body, Client, Config, Counters, Error, Handler, Limits, Listener, Request,
    RequestHead, Response, Serve, Shutdown, Status, Stream, Summary, serve,
};

const MS: Duration = Duration::from_millis(1);

/// A server on a thread of its own.
struct Running {
    address: Address,
    shutdown: Shutdown,
    counters: Counters,
    thread: JoinHandle<io::Result<Summary>>,
}

impl Running {
    fn start<H: Handler<M>, M: 'static>(address: Address, server: Serve<H, M>) -> Self {
        let (shutdown, counters) = (server.shutdown_handle(), server.counters());
        let (done, result) = mpsc::channel();
        thread::spawn(move || done.send(server.run()));
        let thread = thread::spawn(move || result.recv().expect("a server that returns"));
        Self { address, shutdown, counters, thread }
    }

    fn connect(&self) -> Stream {
        Stream::connect(&self.address).expect("connected")
    }

    fn request(&self, head: &RequestHead, body: impl Into<Body>) -> Result<Response, Error> {
        Client::connect(&self.address)?.request(Request::new(head.clone(), body))
    }

    /// Sends the bytes and reads until the end.
    fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("written");
        read_all(&mut stream)
    }

    /// Stops it, which must not take long.
    fn stop(self) -> Summary {
        self.shutdown.stop();
        let begun = Instant::now();
        let summary = self.thread.join().expect("no panic").expect("a summary");
        assert!(begun.elapsed() < 900 * MS, "stopping took {:?}", begun.elapsed());
        summary
    }
}

fn read_all(stream: &mut impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read");
    text
}

fn wait_until(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < 5000 * MS, "it never came");
        sleep(MS);
    }
}

/// An address of each kind of socket; `name` is for one test.
fn addresses(name: &str) -> Vec<Address> {
    let tcp = "127.0.0.1:0".parse().expect("an address");
    if !cfg!(unix) {
        return vec![tcp];
    }
    let name = format!("scgi-blocking-{name}-{}", std::process::id());
    vec![tcp, Address::Unix(std::env::temp_dir().join(name))]
}

/// Runs `test` with a server on each kind of socket.
fn on_each<H, M>(
    name: &str,
    handler: &H,
    with: impl Fn(Serve<H, M>) -> Serve<H, M>,
    test: impl Fn(Running),
) where
    H: Handler<M> + Clone,
    M: 'static,
{
    for address in addresses(name) {
        let listener = Listener::bind(&address).expect("bound");
        let address = listener.local_address().expect("its address");
        test(Running::start(address, with(serve(listener, handler.clone()))));
    }
}

fn get() -> RequestHead {
    RequestHead::builder("GET", "/").build()
}

fn post() -> RequestHead {
    RequestHead::builder("POST", "/").build()
}

/// The start of a request with a body of that length.
fn head(len: u64) -> Vec<u8> {
    let block = format!("CONTENT_LENGTH\0{len}\0SCGI\x001\0");
    format!("{}:{block},", block.len()).into_bytes()
}

fn echo(request: Request) -> Response {
    Response::new(request.into_body())
}

#[test]
fn requests_with_and_without_a_body() {
    let handler = |mut request: Request| -> Result<_, Error> {
        let body = std::mem::take(request.body_mut()).collect(1 << 20)?;
        Ok(Response::new(body).with_status(Status::CREATED))
    };
    on_each(
        "basic",
        &handler,
        |s| s,
        |server| {
            for len in [0, 1, 65_535, 65_536] {
                let body = vec![b'x'; len];
                let response = server.request(&post(), body.clone()).expect("a response");
                assert_eq!(response.status(), Status::CREATED);
                let echoed = response.into_body().collect(1 << 20).expect("a body");
                assert!(echoed == body, "{len} became {}", echoed.len());
            }
            drop(server.connect());
            wait_until(|| server.counters.accepted() == 5 && server.counters.active() == 0);
            assert_eq!(server.stop(), Summary { served: 5, ..Summary::default() });
        },
    );
}

#[test]
fn a_large_body_is_echoed_while_it_is_sent() {
    on_each(
        "echo",
        &echo,
        |s| s,
        |server| {
            let chunk = Bytes::from(vec![7; 100_000]);
            let chunks = std::iter::repeat_n(chunk, 80).map(Ok::<_, io::Error>);
            let body = Body::from_chunks(chunks).with_len(8_000_000);
            let response = server.request(&post(), body).expect("a response");
            let sizes = response.into_body().into_iter().map(|chunk| chunk.expect("a chunk").len());
            assert_eq!(sizes.sum::<usize>(), 8_000_000);
            server.stop();
        },
    );
}

#[test]
fn an_early_reply_arrives_although_the_body_is_not_read() {
    let refuse = |_: Request| Response::new("no").with_status(Status::CONTENT_TOO_LARGE);
    on_each(
        "early",
        &refuse,
        |s| s,
        |server| {
            let response = server.request(&post(), vec![0; 8 << 20]).expect("a response");
            assert_eq!(response.status(), Status::CONTENT_TOO_LARGE);
            assert_eq!(response.into_body().collect(10).expect("a body"), "no");

            // A front server that writes everything before it reads.
            let mut stream = server.connect();
            stream.write_all(&head(8 << 20)).expect("written");
            stream.write_all(&vec![0; 8 << 20]).expect("the rest is read away");
            assert!(read_all(&mut stream).starts_with("Status: 413 "));
            drop(stream);
            server.stop();
        },
    );
}

#[test]
fn malformed_requests_are_answered() {
    let limits = Limits::default().with_header_block(1000).with_body(100);
    let answer = |_: Request| Response::new("");
    on_each(
        "malformed",
        &answer,
        |s| s.with_limits(limits),
        |server| {
            for (bytes, status) in [
                (&b"GET / HTTP/1.1\r\n\r\n"[..], 400),
                (b"5:a\0b\0", 400),
                (b"1001:", 431),
                (&head(101), 413),
            ] {
                let mut stream = server.connect();
                stream.write_all(bytes).expect("written");
                if bytes.starts_with(b"5:") {
                    half_close(&server, &mut stream, b"5:a\0b\0");
                }
                let reply = read_all(&mut stream);
                assert!(reply.starts_with(&format!("Status: {status} ")), "{bytes:?}: {reply}");
            }
            server.stop();
        },
    );
}

/// Ends the write side. `Stream` cannot do that, so it is made anew.
fn half_close(server: &Running, stream: &mut Stream, sent: &[u8]) {
    *stream = match &server.address {
        Address::Tcp(address) => {
            let mut tcp = TcpStream::connect(address.as_str()).expect("connected");
            tcp.write_all(sent).expect("written");
            tcp.shutdown(End::Write).expect("half closed");
            tcp.into()
        }
        #[cfg(unix)]
        Address::Unix(path) => {
            let mut unix = std::os::unix::net::UnixStream::connect(path).expect("connected");
            unix.write_all(sent).expect("written");
            unix.shutdown(End::Write).expect("half closed");
            unix.into()
        }
        _ => unreachable!(),
    };
}

#[test]
fn a_client_that_ended_its_side_gets_its_reply() {
    on_each(
        "half",
        &echo,
        |s| s,
        |server| {
            let mut stream = server.connect();
            half_close(&server, &mut stream, &[&head(2)[..], b"hi"].concat());
            assert!(read_all(&mut stream).ends_with("\r\n\r\nhi"));
            // Cut in the body: the echo fails, and the peer is told why.
            half_close(&server, &mut stream, &[&head(5)[..], b""].concat());
            assert!(read_all(&mut stream).starts_with("Status: 400 "));
            server.stop();
        },
    );
}

#[test]
fn a_handler_that_panics_or_fails_is_answered_with_500() {
    struct Bomb(usize);
    impl Read for Bomb {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(self.0)
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("as the test wants it");
        }
    }
    let handler = |request: Request| match request.head().method() {
        Some(b"PANIC") => panic!("as the test wants it"),
        Some(b"BOMB") => Ok(Response::new(Body::from_reader(Bomb(0)))),
        // More than its length: the body is dropped before its end.
        Some(b"LATE") => Ok(Response::new(Body::from_reader(Bomb(2)).with_len(1))),
        _ => Err("no"),
    };
    // With one thread, a thread that ended would be noticed.
    on_each(
        "panic",
        &handler,
        |s| s.with_max_connections(1),
        |server| {
            for method in ["PANIC", "GET", "BOMB", "LATE", "GET"] {
                let response = server.request(&RequestHead::builder(method, "/").build(), "");
                // A panic after the reply was decided on may cost the reply.
                if method != "LATE" {
                    let status = response.expect("a response").status();
                    assert_eq!(status, Status::INTERNAL_SERVER_ERROR);
                }
            }
            wait_until(|| server.counters.active() == 0);
            assert_eq!(server.counters.refused(Status::INTERNAL_SERVER_ERROR), 5);
            assert_eq!(server.stop().served, 5);
        },
    );
}

#[test]
fn bytes_that_trickle_in_do_not_put_off_the_heads_deadline() {
    let config = Config::default().with_head_timeout(300 * MS);
    on_each(
        "slow",
        &echo,
        |s| s.with_config(config),
        |server| {
            let mut stream = server.connect();
            let begun = Instant::now();
            let mut sent = 0;
            // The rest is read away after the reply, so writing goes on working for a while.
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
fn a_body_that_stops_and_a_handler_that_takes_too_long() {
    let config = Config::default().with_body_timeout(200 * MS).with_request_timeout(600 * MS);
    let handler = |mut request: Request| -> Result<_, Error> {
        if request.head().content_length() == 0 {
            sleep(700 * MS);
        }
        request.body_mut().discard()?;
        Ok(Response::new("done"))
    };
    on_each(
        "late",
        &handler,
        |s| s.with_config(config),
        |server| {
            let begun = Instant::now();
            let reply = server.exchange(&[&head(10)[..], b"hello"].concat());
            assert!(reply.starts_with("Status: 408 "), "{reply}");
            assert!(begun.elapsed() >= 200 * MS && begun.elapsed() < 590 * MS);

            let response = server.request(&get(), "").expect("a response");
            assert_eq!(response.status(), Status::SERVICE_UNAVAILABLE);
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
    let config = Config::default()
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
            assert_eq!(summary, Summary { served: 2, finished: 0, aborted: 2 });
            for sender in senders {
                sender.join().expect("the server closed");
            }
        },
    );
}

#[test]
fn a_peer_that_does_not_read_is_dropped_at_the_deadline() {
    let config = Config::default().with_write_timeout(200 * MS);
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

#[test]
fn a_client_that_goes_away_ends_the_reply() {
    let endless = |_: Request| {
        Response::new(Body::from_chunks(std::iter::repeat_with(|| {
            Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 10_000]))
        })))
    };
    on_each(
        "gone",
        &endless,
        |s| s,
        |server| {
            let mut stream = server.connect();
            stream.write_all(b"0:,").expect("written");
            stream.read_exact(&mut [0; 100_000]).expect("a part");
            drop(stream);
            wait_until(|| server.counters.active() == 0);
            server.stop();
        },
    );
}

#[test]
fn a_reply_that_is_broken_off_does_not_look_complete() {
    let broken =
        |_: Request| Response::new(Body::from_chunks([Ok(Bytes::from("part")), Err("no more")]));
    on_each(
        "broken",
        &broken,
        |s| s,
        |server| {
            let mut stream = server.connect();
            stream.write_all(b"0:,").expect("written");
            let mut all = Vec::new();
            let end = stream.read_to_end(&mut all);
            if matches!(server.address, Address::Tcp(_)) {
                assert_eq!(end.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
            }
            server.stop();
        },
    );
}

#[test]
fn chunks_and_flushes_leave_at_once() {
    let handler = |request: Request| {
        if request.head().method() == Some(b"GET") {
            let chunks = (0..5).map(|n| {
                sleep(if n > 0 { 50 * MS } else { Duration::ZERO });
                Ok::<_, io::Error>(format!("{n}").into())
            });
            Response::new(Body::from_chunks(chunks))
        } else {
            Response::new(Body::from_writer(|out| {
                for n in 0..5 {
                    write!(out, "{n}")?;
                    out.flush()?;
                    sleep(50 * MS);
                }
                Ok(())
            }))
        }
    };
    on_each(
        "pieces",
        &handler,
        |s| s,
        |server| {
            for head in [get(), post()] {
                let mut body = server.request(&head, "").expect("a response").into_body();
                let mut times = Vec::new();
                while let Some(chunk) = body.chunk().expect("a chunk") {
                    assert_eq!(chunk, format!("{}", times.len()));
                    times.push(Instant::now());
                }
                assert_eq!(times.len(), 5);
                for pair in times.windows(2) {
                    assert!(pair[1] - pair[0] > 25 * MS, "{times:?}");
                }
            }
            server.stop();
        },
    );
}

#[test]
fn no_more_connections_than_threads() {
    let (enter, entered) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let (enter, left) = (std::sync::Mutex::new(enter), std::sync::Mutex::new(left));
    let handler = move |_: Request| {
        enter.lock().expect("no panic").send(()).expect("a test");
        left.lock().expect("no panic").recv().expect("a test");
        Response::new("")
    };
    let listener = Listener::bind(&"127.0.0.1:0".parse().expect("an address")).expect("bound");
    let address = listener.local_address().expect("its address");
    let server = Running::start(address, serve(listener, handler).with_max_connections(2));
    let mut streams: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for stream in &mut streams {
        stream.write_all(b"0:,").expect("written");
    }
    for _ in 0..2 {
        entered.recv_timeout(5000 * MS).expect("in the handler");
    }
    assert!(entered.recv_timeout(100 * MS).is_err(), "two at once");
    assert_eq!(server.counters.accepted(), 2, "the rest wait in the backlog");
    for _ in 0..4 {
        leave.send(()).expect("a handler");
    }
    for stream in &mut streams {
        assert!(read_all(stream).starts_with("Status: 200 "));
    }
    assert_eq!(server.stop().served, 4);
}

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
            assert_eq!(summary, Summary { served: 4, finished: 0, aborted: 4 });
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
    assert_eq!(summary, Summary::default());
    assert!(begun.elapsed() < 1500 * MS, "{:?}", begun.elapsed());
}

#[test]
fn a_server_that_was_stopped_before_it_ran_ends_at_once() {
    let listener = Listener::bind(&"127.0.0.1:0".parse().expect("an address")).expect("bound");
    let server = serve(listener, |_: Request| Response::new(""));
    server.shutdown_handle().stop();
    assert_eq!(server.run().expect("a summary"), Summary::default());
}

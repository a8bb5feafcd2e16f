//! Requests, replies, and how many at once.

use bytes::Bytes;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown as End, TcpStream};
use std::sync::{Arc, Mutex, mpsc};

use scgi_blocking::{
    Address, Body, Error, Limits, Listener, Request, RequestHead, Response, Status, Stream,
    Summary, serve,
};

use crate::harness::{MS, Running, echo, get, head, on_each, post, read_all, wait_until};

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
            let summary = server.stop();
            let waited = summary.waited;
            assert_eq!(summary, Summary { served: 5, waited, ..Summary::default() });
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
    let limits = Limits::default().with_max_header_block_len(1000).with_max_body_len(100);
    let answer = |_: Request| Response::new("");
    on_each(
        "malformed",
        &answer,
        |s| s.with_limits(limits),
        |server| {
            for (bytes, status) in [
                (&b"GET / HTTP/1.1\r\n\r\n"[..], "HTTP/1.1 400 "),
                (b"5:a\0b\0", "Status: 400 "),
                (b"1001:", "Status: 431 "),
                (&head(101), "Status: 413 "),
            ] {
                let mut stream = server.connect();
                stream.write_all(bytes).expect("written");
                if bytes.starts_with(b"5:") {
                    half_close(&server, &mut stream, b"5:a\0b\0");
                }
                let reply = read_all(&mut stream);
                assert!(reply.starts_with(status), "{bytes:?}: {reply}");
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
            // Cut in the body: the echo fails, and the response says why.
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
    // The next chunk is made only when the client has the one before.
    let (has_one, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let handler = move |request: Request| {
        let wait = wait.clone();
        let next = move |n: usize| -> io::Result<String> {
            if n > 0 {
                let wait = wait.lock().expect("no panic").recv_timeout(10_000 * MS);
                wait.map_err(io::Error::other)?;
            }
            Ok(n.to_string())
        };
        if request.head().method() == Some(b"GET") {
            Response::new(Body::from_chunks((0..5).map(move |n| next(n).map(Into::into))))
        } else {
            Response::new(Body::from_writer(move |out| {
                for n in 0..5 {
                    out.write_all(next(n)?.as_bytes())?;
                    out.flush()?;
                }
                Ok(())
            }))
        }
    };
    on_each(
        "chunks",
        &handler,
        |s| s,
        |server| {
            for head in [get(), post()] {
                let mut body = server.request(&head, "").expect("a response").into_body();
                for n in 0..5 {
                    let chunk = body.chunk().expect("no error").expect("a chunk");
                    assert_eq!(chunk, n.to_string());
                    if n < 4 {
                        has_one.send(()).expect("the server waits");
                    }
                }
                assert!(body.chunk().expect("no error").is_none());
            }
            server.stop();
        },
    );
}

#[test]
fn no_more_connections_than_threads() {
    let (enter, entered) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let (enter, left) = (Mutex::new(enter), Mutex::new(left));
    let handler = move |_: Request| {
        enter.lock().expect("no panic").send(()).expect("a test");
        left.lock().expect("no panic").recv().expect("a test");
        Response::new("")
    };
    let listener = Listener::bind("127.0.0.1:0").expect("bound");
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

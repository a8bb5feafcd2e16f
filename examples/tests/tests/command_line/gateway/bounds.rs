//! The gateway under clients that are slow, many, or gone.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use super::{connect, gateway, param, send, status};
use crate::tool::EchoServer;

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Waits until the gateway closes; how long that took and what came.
fn until_closed(mut stream: TcpStream) -> (Duration, String) {
    let begun = Instant::now();
    let mut reply = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut reply);
    (begun.elapsed(), String::from_utf8_lossy(&reply).into_owned())
}

#[test]
fn slow_heads_and_idle_connections_end_in_time() {
    let backend = EchoServer::json("tokio");
    let more = ["--browser-head-timeout", "1s", "--browser-idle-timeout", "1s"];
    let gateway = gateway(&backend.address, &more);
    let begun = [
        "",                                                  // the version is not even known
        "P",                                                 // could be HTTP/2
        "GET / HTTP/1.1\r\nHost: lo",                        // half a head
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",                  // HTTP/2 without a request
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",         // idle behind a response
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT", // half of a second head
    ];
    let ends = begun.map(|begun| {
        let mut stream = connect(&gateway);
        stream.write_all(begun.as_bytes()).expect("it is sent");
        thread::spawn(move || (begun, until_closed(stream)))
    });
    for end in ends {
        let (begun, (after, _)) = end.join().expect("no panic");
        let expected = Duration::from_millis(700)..Duration::from_secs(10);
        assert!(expected.contains(&after), "{begun:?} ended after {after:?}");
    }
    // Bytes that trickle renew nothing.
    let mut stream = connect(&gateway);
    let begun = Instant::now();
    while stream.write_all(b"G").is_ok() && begun.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(status(&send(&gateway, GET)), 200);
}

#[test]
fn a_body_that_does_not_come_is_408() {
    let backend = EchoServer::json("tokio");
    let gateway = gateway(&backend.address, &["--browser-body-timeout", "500ms"]);
    let post = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    for head in
        ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        let mut stream = connect(&gateway);
        write!(stream, "{post}{head}").expect("it is sent");
        let (after, reply) = until_closed(stream);
        assert_eq!(status(&reply), 408, "{head}: {reply}");
        assert!(after < Duration::from_secs(15), "{after:?}");
    }
    assert!(gateway.said().contains("408: "), "{}", gateway.said());
}

/// A backend that sends `head` and then a body without end, and the time at which it saw its
/// connection close.
fn endless_backend(head: &'static str) -> (String, thread::JoinHandle<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("its address").to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(head.as_bytes()).expect("the head is sent");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
        Instant::now()
    });
    (address, server)
}

#[test]
fn a_browser_that_does_not_read_ends_the_request() {
    let (address, server) = endless_backend("Status: 200 OK\r\n\r\n");
    let gateway = gateway(&address, &["--browser-write-timeout", "1s"]);
    let mut stream = connect(&gateway);
    stream.write_all(GET.as_bytes()).expect("it is sent");
    let begun = Instant::now();
    let ended = server.join().expect("no panic");
    assert!(ended - begun < Duration::from_secs(10), "{:?}", ended - begun);
    drop(stream);
}

/// HTTP/2 lets a browser stop one response and go on with others: only that one ends.
#[tokio::test]
async fn an_http2_stream_that_is_not_read_ends_alone() {
    use http_body_util::BodyExt as _;
    let (address, server) = endless_backend("Status: 200 OK\r\n\r\n");
    let gateway = gateway(&address, &["--browser-write-timeout", "1s"]);
    let stream = tokio::net::TcpStream::connect(super::authority(&gateway)).await;
    let io = hyper_util::rt::TokioIo::new(stream.expect("a connection"));
    let executor = hyper_util::rt::TokioExecutor::new();
    let http = hyper::client::conn::http2::handshake(executor, io).await;
    let (mut sender, connection) = http.expect("HTTP/2");
    tokio::spawn(connection);
    let request = || {
        let request = hyper::Request::get("http://localhost/");
        request.body(http_body_util::Empty::<bytes::Bytes>::new()).expect("a request")
    };
    let mut stalled = sender.send_request(request()).await.expect("a response");
    let begun = Instant::now();
    let ended = tokio::task::spawn_blocking(|| server.join().expect("no panic")).await;
    let took = ended.expect("no panic") - begun;
    assert!(took < Duration::from_secs(10), "{took:?}");
    // The server is gone by now, and the connection still serves.
    let reply = sender.send_request(request()).await.expect("a response");
    assert_eq!(reply.status(), 502);
    // What was sent comes, and then an error instead of the end.
    while let Some(frame) = stalled.body_mut().frame().await {
        if frame.is_err() {
            return;
        }
    }
    panic!("the response looks complete");
}

/// Two requests; the second hides that the browser leaves: HTTP libraries do not read it
/// before the first is answered.
#[test]
fn a_browser_that_leaves_closes_the_connection_to_the_server() {
    for (begun, how) in [
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            None,
        ),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT", Some(Shutdown::Write)),
        // The server does not read the upload.
        ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n", None),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let gateway = gateway(&listener.local_addr().expect("its address").to_string(), &[]);
        let before = sockets(&gateway);
        let mut browser = connect(&gateway);
        browser.write_all(begun.as_bytes()).expect("it is sent");
        if begun.starts_with("POST") {
            browser.set_nonblocking(true).expect("it is");
            for _ in 0..200 {
                let _ = browser.write(&[b'x'; 65_536]);
                thread::sleep(Duration::from_millis(2));
            }
            browser.set_nonblocking(false).expect("it is");
            // An ordinary close would wait behind the bytes that no one reads, unseen.
            set_socket_linger(&browser, Some(Duration::ZERO)).expect("it is set");
        }
        let (server, _) = listener.accept().expect("a connection");
        let left = Instant::now();
        match how {
            Some(how) => browser.shutdown(how).expect("it is"),
            None => drop(browser),
        }
        // Both connections are closed then. The server cannot see it by itself where bytes that it
        // does not read lie before the end.
        while sockets(&gateway) > before && left.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(10));
        }
        assert!(left.elapsed() < Duration::from_secs(5), "{begun:?}: {:?}", left.elapsed());
        drop(server);
    }
}

/// How many sockets the gateway has open.
fn sockets(gateway: &EchoServer) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", gateway.pid())).expect("its files");
    let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

/// Silence within a response, as of Server-Sent Events: the server's deadline ends it, and neither
/// the head's nor the idle deadline of the browser does.
#[test]
fn a_response_without_events_is_not_idle() {
    for (read_timeout, is_cut) in [("off", false), ("1s", true)] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("its address").to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(b"Status: 200 OK\r\n\r\ndata: 1\n\n").expect("it is sent");
            thread::sleep(Duration::from_secs(3));
            let _ = stream.write_all(b"data: 2\n\n");
        });
        let more = [
            "--read-timeout",
            read_timeout,
            "--browser-idle-timeout",
            "500ms",
            "--browser-head-timeout",
            "500ms",
            "--browser-write-timeout",
            "500ms",
        ];
        let gateway = gateway(&address, &more);
        let reply = send(&gateway, GET);
        assert_eq!(reply.contains("data: 2"), !is_cut, "{reply}");
        assert_eq!(reply.ends_with("0\r\n\r\n"), !is_cut, "{reply}");
        server.join().expect("no panic");
    }
}

#[test]
fn a_full_gateway_closes_the_connection_that_has_no_request() {
    let backend = EchoServer::json("tokio");
    let gateway = gateway(&backend.address, &["--max-connections", "4"]);
    let idle: Vec<_> = (0..4).map(|_| connect(&gateway)).collect();
    thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(status(&send(&gateway, GET)), 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(idle);
}

#[test]
fn requests_beyond_the_bound_are_503() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("its address").to_string();
    let gateway = gateway(&address, &["--max-requests", "2"]);
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(&gateway);
            stream.write_all(GET.as_bytes()).expect("it is sent");
            let accepted = listener.accept().expect("a connection");
            (stream, accepted)
        })
        .collect();
    let reply = send(&gateway, GET);
    assert_eq!(status(&reply), 503, "{reply}");
    assert!(reply.contains("retry-after: 1"), "{reply}");
    drop(waiting);
}

/// Writes a chunked body of so many bytes.
fn chunked(stream: &mut TcpStream, len: usize) -> std::io::Result<()> {
    stream.write_all(
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
          Transfer-Encoding: chunked\r\n\r\n",
    )?;
    let chunk = [b'x'; 65_536];
    let mut left = len;
    while left > 0 {
        let len = left.min(chunk.len());
        write!(stream, "{len:x}\r\n")?;
        stream.write_all(&chunk[..len])?;
        stream.write_all(b"\r\n")?;
        left -= len;
    }
    stream.write_all(b"0\r\n\r\n")
}

/// Resident memory in bytes.
fn resident(gateway: &EchoServer) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    let kib: String = line.chars().filter(char::is_ascii_digit).collect();
    kib.parse::<u64>().expect("a number") * 1024
}

#[test]
fn bodies_without_a_length_wait_in_files_without_a_name() {
    const EACH: usize = 8 << 20;
    let dir = tempfile::tempdir().expect("a folder");
    let backend = EchoServer::json("tokio");
    let path = dir.path().to_str().expect("a path");
    let more = ["--spool-memory", "1MiB", "--spool-size", "100MiB", "--spool-dir", path];
    let gateway = gateway(&backend.address, &more);
    assert_eq!(status(&send(&gateway, GET)), 200);
    let before = resident(&gateway);
    let replies: Vec<_> = thread::scope(|scope| {
        let uploads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = connect(&gateway);
                    chunked(&mut stream, EACH).expect("it is sent");
                    until_closed(stream).1
                })
            })
            .collect();
        uploads.into_iter().map(|upload| upload.join().expect("no panic")).collect()
    });
    for reply in &replies {
        assert_eq!(status(reply), 200, "{reply}");
        assert_eq!(param(reply, "CONTENT_LENGTH"), Some(EACH.to_string()));
    }
    let grown = resident(&gateway).saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes for 64 MiB of bodies");
    assert_eq!(fs::read_dir(dir.path()).expect("the folder").count(), 0);
}

#[test]
fn bounds_of_bodies() {
    let backend = EchoServer::json("tokio");
    let more = ["--max-body", "1MiB", "--spool-memory", "0", "--spool-size", "512KiB"];
    let gateway = gateway(&backend.address, &more);
    for (len, expected) in [(1 << 10, 200), (700 << 10, 503), (3 << 20, 413)] {
        let mut stream = connect(&gateway);
        // The gateway answers before it has read all of it.
        let _ = chunked(&mut stream, len);
        let reply = until_closed(stream).1;
        // The space runs out before the limit is reached.
        let expected = if len > 1 << 20 { 503 } else { expected };
        assert_eq!(status(&reply), expected, "{len}: {reply}");
    }
    for (len, expected) in [(1 << 20, 200), ((1 << 20) + 1, 413)] {
        let mut stream = connect(&gateway);
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n"
        )
        .expect("it is sent");
        stream.write_all(&vec![b'x'; len]).expect("it is read, if only to be discarded");
        let reply = until_closed(stream).1;
        assert_eq!(status(&reply), expected, "{len}: {reply}");
    }
    // Without a folder there is no room, and the reason is on standard error.
    let gateway =
        super::gateway(&backend.address, &["--spool-memory", "0", "--spool-dir", "/nonexistent"]);
    let mut stream = connect(&gateway);
    chunked(&mut stream, 10).expect("it is sent");
    let reply = until_closed(stream).1;
    assert_eq!(status(&reply), 503, "{reply}");
    assert!(gateway.said().contains("--spool-dir"), "{}", gateway.said());
}

/// The gateway with open slow connections and floods of chunks, in 100 MB.
#[test]
fn a_thousand_slow_connections() {
    let backend = EchoServer::json("tokio");
    let gateway = gateway(&backend.address, &[]);
    let slow: Vec<_> = (0..1000)
        .map(|i| {
            let mut stream = connect(&gateway);
            let begun = ["GET / HT", "P", "GET / HTTP/1.1\r\nHost: localhost\r\nX: y"];
            stream.write_all(begun[i % 3].as_bytes()).expect("it is sent");
            stream
        })
        .collect();
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(status(&send(&gateway, GET)), 200);
    }
    let resident = resident(&gateway);
    println!("50 answers in {:?} beside 1,000 slow connections, {resident} bytes", begun.elapsed());
    assert!(resident < 100_000_000, "{resident}");
    drop(slow);
}

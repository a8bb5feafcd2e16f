//! Tunnels through the gateway: which deadlines and bounds hold, and how they end.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hyper::ext::Protocol;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;

use super::{authority, connect, gateway, send, status};
use crate::tool::EchoServer;

const UPGRADE: &str =
    "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const SWITCH: &[u8] = b"Status: 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";

/// A tunnel through the gateway in HTTP/1.1.
fn open(gateway: &EchoServer) -> TcpStream {
    let mut stream = connect(gateway);
    stream.write_all(UPGRADE.as_bytes()).expect("it is sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    stream
}

fn echoes(mut stream: &TcpStream) {
    stream.write_all(b"hello").expect("sent");
    let mut back = [0; 5];
    stream.read_exact(&mut back).expect("an echo");
    assert_eq!(&back, b"hello");
}

/// A server that takes its one upgrade and then does this.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 4096]).expect("a request");
        stream.write_all(SWITCH).expect("sent");
        serve(stream);
    });
    address
}

/// A server that sends without end after its 101. The receiver learns of the end.
fn flooding() -> (String, mpsc::Receiver<()>) {
    let (sender, ended) = mpsc::channel();
    let address = server(move |mut stream| {
        while stream.write_all(&[0; 65_536]).is_ok() {}
        let _ = sender.send(());
    });
    (address, ended)
}

/// Waits until a request is answered: the gateway may see the end of a tunnel a little later.
fn wait_for_place(gateway: &EchoServer) {
    let is_answered = |_| {
        thread::sleep(Duration::from_millis(20));
        let mut reply = Vec::new();
        let mut stream = connect(gateway);
        // One that has no place may be closed before it is answered.
        let _ = stream.write_all(GET.as_bytes());
        let _ = stream.read_to_end(&mut reply);
        reply.starts_with(b"HTTP/1.1 200 ")
    };
    assert!((0..500).any(is_answered), "{}", gateway.said());
}

#[test]
fn silence_does_not_end_one() {
    let echo = EchoServer::start(&["127.0.0.1:0"]);
    let options = [
        "--timeout",
        "--read-timeout",
        "--head-timeout",
        "--write-timeout",
        "--browser-head-timeout",
        "--browser-idle-timeout",
        "--browser-body-timeout",
        "--browser-write-timeout",
    ];
    let options: Vec<_> = options.into_iter().flat_map(|option| [option, "2s"]).collect();
    let gateway = gateway(&echo.address, &options);
    let stream = open(&gateway);
    echoes(&stream);
    thread::sleep(Duration::from_secs(3));
    echoes(&stream);
    // A half-close passes, and what comes back as well.
    stream.shutdown(Shutdown::Write).expect("half a close");
    assert_eq!((&stream).read(&mut [0]).expect("the end"), 0);
    assert_eq!(gateway.said(), "");
}

#[test]
fn it_is_a_request_in_progress() {
    let echo = EchoServer::start(&["127.0.0.1:0"]);
    let gateway = gateway(&echo.address, &["--max-requests", "1"]);
    let stream = open(&gateway);
    for request in [UPGRADE.replace("Connection: ", "Connection: close, ").as_str(), GET] {
        assert_eq!(status(&send(&gateway, request)), 503, "{request}");
    }
    echoes(&stream);
    stream.shutdown(Shutdown::Both).expect("closed");
    drop(stream);
    wait_for_place(&gateway);
}

#[test]
fn a_flood_of_upgrades_at_the_cap() {
    let echo = EchoServer::start(&["127.0.0.1:0"]);
    let gateway = gateway(&echo.address, &["--max-requests", "4", "--max-connections", "8"]);
    let statuses: Vec<_> = thread::scope(|scope| {
        let ask = || {
            let mut stream = connect(&gateway);
            stream.write_all(UPGRADE.as_bytes()).ok()?;
            let mut line = [0; 12];
            stream.read_exact(&mut line).ok()?;
            Some(String::from_utf8_lossy(&line[9..]).into_owned())
        };
        let threads: Vec<_> = (0..60).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    // One that sends its head too late for a place may be closed without an answer.
    let is_right = |status: &Option<String>| {
        status.as_ref().is_none_or(|status| ["101", "503"].contains(&status.as_str()))
    };
    assert!(statuses.iter().all(is_right), "{statuses:?}");
    assert!(statuses.contains(&Some("101".into())), "{statuses:?}");
    wait_for_place(&gateway);
}

#[test]
fn a_peer_that_takes_nothing() {
    // The browser.
    let (address, ended) = flooding();
    let slow = gateway(&address, &["--browser-write-timeout", "500ms"]);
    let stream = open(&slow);
    ended.recv_timeout(Duration::from_secs(20)).expect("the server's tunnel is cut");
    drop(stream);
    // The server.
    let (sender, done) = mpsc::channel::<()>();
    let address = server(move |_stream| {
        let _ = done.recv();
    });
    let slow = gateway(&address, &["--write-timeout", "500ms"]);
    let mut stream = open(&slow);
    stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let error = loop {
        if let Err(error) = stream.write_all(&[0; 65_536]) {
            break error;
        }
    };
    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
    drop(sender);
}

/// A server that sends a few bytes after its 101, and its end. The receiver learns of the end.
fn parting() -> (String, mpsc::Receiver<()>) {
    let (sender, ended) = mpsc::channel();
    let address = server(move |mut stream| {
        stream.write_all(b"bye").expect("sent");
        stream.shutdown(Shutdown::Write).expect("half a close");
        while stream.read(&mut [0]).is_ok_and(|count| count > 0) {}
        let _ = sender.send(());
    });
    (address, ended)
}

/// In HTTP/2 the connection stays, so its stream has a deadline of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_of_http2_that_takes_nothing() {
    // Bytes that wait, and an end that waits behind them.
    takes_nothing(flooding()).await;
    takes_nothing(parting()).await;
}

async fn takes_nothing((address, ended): (String, mpsc::Receiver<()>)) {
    let gateway = gateway(&address, &["--browser-write-timeout", "500ms"]);
    let stream = tokio::net::TcpStream::connect(authority(&gateway)).await.expect("a connection");
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let response = loop {
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("{}/", gateway.address))
            .extension(Protocol::from_static("x"))
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .expect("a request");
        match sender.send_request(request).await {
            Ok(response) => break response,
            // The settings of the server have to come first.
            Err(error) if error.is_user() => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error:?}"),
        }
    };
    assert_eq!(response.status(), StatusCode::OK);
    let _open = hyper::upgrade::on(response).await.expect("a tunnel");
    let ended = tokio::task::spawn_blocking(move || ended.recv_timeout(Duration::from_secs(20)));
    ended.await.expect("no panic").expect("the server's tunnel is cut");
}

#[test]
fn shutdown() {
    let echo = EchoServer::start(&["127.0.0.1:0"]);
    for ends_itself in [true, false] {
        let gateway = gateway(&echo.address, &["--shutdown-deadline", "2s"]);
        let mut stream = open(&gateway);
        gateway.signal(Signal::TERM);
        thread::sleep(Duration::from_millis(100));
        echoes(&stream);
        let (status, told) = if ends_itself {
            stream.shutdown(Shutdown::Write).expect("half a close");
            assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
            (Some(0), " finished, 0 aborted")
        } else {
            (Some(1), "0 finished, 1 aborted")
        };
        let (code, said) = gateway.wait();
        assert_eq!(code, status, "{said}");
        assert!(said.contains(told), "{said}");
        // Not a clean end: the browser learns that it was cut.
        assert!(ends_itself || stream.read(&mut [0]).is_err(), "{said}");
    }
}

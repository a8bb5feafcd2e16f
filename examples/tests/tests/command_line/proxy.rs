//! `scgi proxy` between real front servers and backends, good ones and broken ones.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::scgi_proxy::Proxy;
use crate::tool::{EchoServer, scgi, text};
use crate::watch::Usage;
use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Pid, Signal, kill_process};
use scgi_tests::front::Front;
use scgi_tests::http::Browser;
use scgi_tests::process::{required, scratch_dir};
use ureq::http::Request;

/// A backend that does the same with every connection.
fn backend(answer: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(&answer));
    address
}

/// Reads a small request.
fn read(stream: &mut TcpStream) {
    let mut buf = [0; 65_536];
    let _ = stream.read(&mut buf);
}

/// A backend that sends these bytes and closes.
fn sending(reply: Vec<u8>) -> SocketAddr {
    backend(move |mut stream| {
        read(&mut stream);
        let _ = stream.write_all(&reply);
    })
}

fn close_with_reset(stream: &TcpStream) {
    set_socket_linger(stream, Some(Duration::ZERO)).expect("an option");
}

/// An nginx before the proxy.
fn nginx(proxy: &Proxy) -> Front {
    Front::nginx(proxy.socket_address(), Path::new("/nowhere.sock")).expect("nginx starts")
}

const POST: &[u8] = b"24:CONTENT_LENGTH\x005\0SCGI\x001\0,hello";

#[test]
fn a_good_exchange_behind_nginx() {
    if !required("nginx") {
        return;
    }
    let echo = EchoServer::json("tokio");
    let folder = scratch_dir().expect("a folder");
    let (socket, captures) = (folder.path().join("proxy.sock"), folder.path().join("captures"));
    let tcp = Proxy::start("127.0.0.1:0", &echo.address, &["--save", text(&captures)]);
    let unix = Proxy::start(text(&socket), &echo.address, &["--mode", "666"]);
    let nginx = Front::nginx(tcp.socket_address(), &socket).expect("nginx starts");
    for (path, proxy) in [("/a%20b?c=d", &tcp), ("/unix/a", &unix)] {
        let request = Request::post(format!("{}{path}", nginx.url()));
        let request = request.header("cookie", "id=tops3cret").header("authorization", "tops3cret");
        let reply =
            Browser::new().send(request.body("hello").expect("a request")).expect("a reply");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let shown = proxy.wait_for_end(1);
        assert!(shown.contains(&format!("[1] > POST {path}: ")), "{shown}");
        for line in [
            "then 5 bytes\n",
            "[1]   \"CONTENT_LENGTH\": \"5\"\n",
            "[1]   \"HTTP_COOKIE\": \"[redacted]\"\n",
            "[1]   \"HTTP_AUTHORIZATION\": \"[redacted]\"\n",
            "[1] < 200 OK after ",
            "[1]   \"Content-Type\": \"application/json\"\n",
            &format!("{} of them body; connected in ", reply.body.len()),
        ] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        assert!(!shown.contains("] ! ") && !shown.contains("tops3cret"), "{shown}");
        assert!(!shown.contains('\x1b'), "colours without a terminal");
    }

    // What was captured is what nginx sent: `decode` and `request --raw` take it.
    let capture = captures.join("0001.scgi");
    let decoded = scgi(["decode", "--json", text(&capture)]).ok();
    let captured = fs::read_to_string(captures.join("0001.cgi")).expect("a reply");
    for word in ["tops3cret", "\"body_length\":5,", "[\"REQUEST_URI\",\"/a%20b?c=d\"]"] {
        assert!(decoded.text().contains(word) && captured.contains(word), "{word}");
    }
    let again = scgi(["request", &echo.address, "-i", "--raw", text(&capture)]).ok();
    assert_eq!(again.text(), captured);
}

/// Whatever a client does, the proxy makes no difference: a server behind it passes all cases of
/// `scgi check`, which it does only if bytes, ends and resets pass as they are.
#[test]
fn a_server_passes_every_check_through_it() {
    let folder = scratch_dir().expect("a folder");
    for runtime in ["tokio", "blocking"] {
        let (backend, front) = (folder.path().join("backend"), folder.path().join("front"));
        let echo = EchoServer::start(&["--runtime", runtime, text(&backend)]);
        let tcp = Proxy::start("127.0.0.1:0", &echo.address, &[]);
        let unix = Proxy::start(text(&front), &echo.address, &[]);
        for proxy in [&tcp, &unix] {
            let run = scgi(["check", &proxy.address, "--timeout", "20s"]).ok();
            assert!(run.text().ends_with(" passed, 0 lenient, 0 failed\n"), "{}", run.text());
        }
    }
}

/// What nginx answers, and what the proxy reports about it.
#[test]
fn why_it_is_502() {
    if !required("nginx") {
        return;
    }
    let long = format!("Status: 200 OK\r\nX-Long: {}\r\n\r\n", "v".repeat(7000)).into_bytes();
    for (reply, status, finding) in [
        (&b""[..], 502, "the backend closed without a reply: nginx answers 502"),
        (b"Status: 200 OK\r\nContent-Type: text/plain\r\n", 502, "no empty line ends the head"),
        (b"Status: 200 OK\r\rbody", 502, "end with CR alone: nginx answers 502"),
        (b"Traceback (most recent call last):\n  x\n\n", 502, "(Traceback (most recent call last"),
        (b"Status: 200 OK\r\nX-A: a\0b\r\n\r\n", 502, "(X-A: with the byte 0x00)"),
        (
            b"Status: 200 OK\r\nX A: tops3cret\r\n\r\n",
            502,
            " is not a header field; the server does not",
        ),
        (b"Status: abc\r\n\r\n", 502, "does not have a status code from 200 to 999 (Status: abc)"),
        (&long, 502, "a head of 7028 bytes is over nginx' scgi_buffer_size"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", 404, "send \"Status: 404 Not Found\""),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "Transfer-Encoding is the front"),
        (b"Location: https://e.org/\r\nX-A: b\r\n\r\n", 302, "Location without Status: Apache"),
        (b"Content-Length: 2\r\n\r\nfour", 200, "2 bytes more than Content-Length says"),
    ] {
        let proxy = Proxy::tcp(sending(reply.into()));
        let nginx = nginx(&proxy);
        let reply = Browser::new().get(&format!("{}/", nginx.url())).expect("a reply");
        assert_eq!(reply.status, status, "{finding}");
        let shown = proxy.wait_for_end(1);
        let odd: Vec<_> = shown.lines().filter(|line| line.starts_with("[1] ! ")).collect();
        assert!(odd.iter().any(|line| line.contains(finding)), "{finding}: {shown}");
        assert!(!shown.contains("tops3cret"), "{shown}");
    }
}

#[test]
fn no_backend() {
    if !required("nginx") {
        return;
    }
    let proxy = Proxy::tcp("127.0.0.1:1".parse().expect("an address"));
    let nginx = nginx(&proxy);
    let reply = Browser::new().get(&format!("{}/", nginx.url())).expect("a reply");
    assert_eq!(reply.status, 502);
    let shown = proxy.wait_for_end(1);
    let why = "[1] ! cannot connect to 127.0.0.1:1: Connection refused (os error 111); nothing";
    assert!(shown.contains(why), "{shown}");
}

#[test]
fn a_backend_that_does_not_read_the_request() {
    let proxy = Proxy::tcp(backend(|mut stream| {
        let _ = stream.write_all(b"Status: 413 Content Too Large\r\n\r\n");
    }));
    let mut front = TcpStream::connect(&proxy.address).expect("a connection");
    let block = "CONTENT_LENGTH\x008388608\0SCGI\x001\0";
    let request = [format!("{}:{block},", block.len()).into_bytes(), vec![b'b'; 8 << 20]].concat();
    // Until the proxy takes no more.
    front.write_all(&request).expect_err("a reset");
    let shown = proxy.wait_for_end(1);
    let is_told = shown.contains("the backend broke the connection with the request unread")
        || shown.contains("the backend took only a part of the request (");
    assert!(is_told, "{shown}");
}

#[test]
fn a_status_line_behind_apache() {
    if !required("apache2") {
        return;
    }
    let proxy =
        Proxy::tcp(sending(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhi".into()));
    let apache = Front::apache(proxy.socket_address(), Path::new("/nowhere.sock"));
    let apache = apache.expect("Apache starts");
    let reply = Browser::new().get(&format!("{}/", apache.url())).expect("a reply");
    assert_eq!(reply.status, 500);
    let shown = proxy.wait_for_end(1);
    assert!(shown.contains("Apache answers 500; send \"Status: 200 OK\""), "{shown}");
}

#[test]
fn a_reset_passes_in_both_directions() {
    // From the backend, in the middle of the reply.
    let proxy = Proxy::tcp(backend(|mut stream| {
        read(&mut stream);
        let _ = stream.write_all(b"Status: 200 OK\r\n\r\nhalf");
        thread::sleep(Duration::from_millis(100));
        close_with_reset(&stream);
    }));
    let mut front = TcpStream::connect(&proxy.address).expect("a connection");
    front.write_all(POST).expect("sent");
    let mut reply = Vec::new();
    let error = front.read_to_end(&mut reply).expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(reply.ends_with(b"half"), "{reply:?}");
    let shown = proxy.wait_for_end(1);
    assert!(shown.contains("the backend broke the connection after 22 bytes"), "{shown}");

    // From the front server.
    let (sender, receiver) = std::sync::mpsc::channel();
    let proxy = Proxy::tcp(backend(move |mut stream| {
        let result = stream.read_to_end(&mut Vec::new());
        sender.send(result.map_err(|error| error.kind())).expect("a receiver");
    }));
    let mut front = TcpStream::connect(&proxy.address).expect("a connection");
    front.write_all(POST).expect("sent");
    proxy.wait_for("[1] > ");
    close_with_reset(&front);
    drop(front);
    let seen = receiver.recv_timeout(Duration::from_secs(20)).expect("an end");
    assert_eq!(seen, Err(io::ErrorKind::ConnectionReset));
    let shown = proxy.wait_for_end(1);
    assert!(shown.contains("the front server went away before the end of the reply"), "{shown}");
}

/// As nginx does when its scgi_read_timeout is over: it closes, and the reply comes too late.
#[test]
fn a_front_server_that_does_not_wait() {
    let proxy = Proxy::tcp(backend(|mut stream| {
        stream.read_to_end(&mut Vec::new()).expect("a request");
        let _ = stream.write_all(b"Status: 200 OK\r\n\r\n");
    }));
    let mut front = TcpStream::connect(&proxy.address).expect("a connection");
    front.write_all(POST).expect("sent");
    thread::sleep(Duration::from_millis(1200));
    drop(front);
    let shown = proxy.wait_for_end(1);
    assert!(shown.contains("the front server went away before the end of the reply"), "{shown}");
}

#[test]
fn a_half_close_passes_and_the_reply_still_comes() {
    let folder = scratch_dir().expect("a folder");
    let socket = folder.path().join("proxy.sock");
    let backend = backend(|mut stream| {
        let mut request = Vec::new();
        // Until the front has ended its output.
        stream.read_to_end(&mut request).expect("a request");
        let _ = stream.write_all(format!("Status: 200 OK\r\n\r\n{}", request.len()).as_bytes());
    });
    let proxy = Proxy::start(text(&socket), &backend.to_string(), &[]);
    let mut front = std::os::unix::net::UnixStream::connect(&socket).expect("a connection");
    front.write_all(POST).expect("sent");
    front.shutdown(Shutdown::Write).expect("half a close");
    let mut reply = String::new();
    front.read_to_string(&mut reply).expect("a reply");
    assert_eq!(reply, format!("Status: 200 OK\r\n\r\n{}", POST.len()));
    let shown = proxy.wait_for_end(1);
    assert!(!shown.contains("] ! "), "{shown}");
}

/// Pieces pass when they come, and a body of any length goes through little memory.
#[test]
fn bodies_are_streamed() {
    const BODY: usize = 64 << 20;
    let proxy = Proxy::tcp(backend(|mut stream| {
        let mut buf = vec![0; 1 << 20];
        let _ = stream.read(&mut buf);
        // Before the body has come.
        stream.write_all(b"Status: 200 OK\r\n\r\nearly").expect("sent");
        let mut left = BODY;
        while left > 0 {
            let count = stream.read(&mut buf).expect("a piece");
            assert!(buf[..count].iter().all(|byte| *byte == b'b'), "changed on its way");
            left -= count;
        }
        stream.write_all(b", late").expect("sent");
    }));
    let mut front = TcpStream::connect(&proxy.address).expect("a connection");
    let block = format!("CONTENT_LENGTH\0{BODY}\0SCGI\x001\0");
    front.write_all(format!("{}:{block},", block.len()).as_bytes()).expect("sent");
    let mut early = [0; 23];
    front.read_exact(&mut early).expect("the start of the reply");
    assert!(early.ends_with(b"early"));
    let before = Usage::of(proxy.child.id());
    let piece = vec![b'b'; 1 << 20];
    let mut most = 0;
    for _ in 0..BODY / piece.len() {
        front.write_all(&piece).expect("sent");
        most = most.max(Usage::of(proxy.child.id()).memory);
    }
    let mut late = String::new();
    front.read_to_string(&mut late).expect("the rest");
    assert_eq!(late, ", late");
    drop(front);
    before.await_return(proxy.child.id(), 16 << 20, "a body of 64 MiB");
    assert!(most < before.memory + (16 << 20), "{before:?}, then {most} bytes");
    let shown = proxy.wait_for_end(1);
    assert!(!shown.contains("] ! "), "{shown}");
}

#[test]
fn what_is_no_request_is_told_too() {
    let proxy = Proxy::tcp(sending(b"Status: 400 Bad Request\r\n\r\n".into()));
    let mut front = TcpStream::connect(&proxy.address).expect("a connection");
    front.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    front.read_to_end(&mut Vec::new()).expect("a reply");
    drop(front);
    let shown = proxy.wait_for_end(1);
    assert!(shown.contains("[1] ! the request: this is an HTTP request, not SCGI"), "{shown}");
    // A connection without a byte, as health checks make.
    drop(TcpStream::connect(&proxy.address).expect("a connection"));
    let shown = proxy.wait_for_end(2);
    assert!(!shown.contains("[2] ! "), "{shown}");
}

#[test]
fn what_is_saved_is_never_written_over() {
    let echo = EchoServer::json("tokio");
    let folder = scratch_dir().expect("a folder");
    for number in 1..=2 {
        let save = ["--save", text(folder.path())];
        let mut proxy = Proxy::start("127.0.0.1:0", &echo.address, &save);
        scgi(["request", &proxy.address, &format!("/{number}")]).ok();
        proxy.wait_for_end(number);
        kill_process(Pid::from_child(&proxy.child), Signal::TERM).expect("the signal is sent");
        assert_eq!(proxy.child.wait().expect("its end").code(), Some(0));
        let said = fs::read_to_string(proxy.dir.path().join("said")).expect("text");
        assert_eq!(said, "exchanges: 1, odd ones: 0\n");
    }
    for number in 1..=2 {
        let capture = folder.path().join(format!("000{number}.scgi"));
        let decoded = scgi(["decode", text(&capture)]).ok();
        assert!(decoded.text().contains(&format!("REQUEST_URI=/{number}\n")), "{}", decoded.text());
    }
}

#[test]
fn usage() {
    for args in [
        &["proxy"][..],
        &["proxy", "a:1"],
        &["proxy", "no-address", "a:1"],
        &["proxy", "a:1", "b:1", "--mode", "9"],
    ] {
        assert_eq!(scgi(args).code, Some(2), "{args:?}");
    }
    let run = scgi(["proxy", "/no/such/folder/socket", "a:1"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("scgi: cannot listen on unix:/no/such"), "{}", run.stderr);
}

/// While the backend does not read, the proxy reads nothing either, and only poll(2) shows that the
/// front server has gone.
#[test]
fn a_front_server_that_leaves_while_the_backend_does_not_read() {
    let backend = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let proxy = Proxy::tcp(backend.local_addr().expect("its address"));
    let mut front = TcpStream::connect(proxy.socket_address()).expect("a connection");
    let (_backend, _) = backend.accept().expect("a connection");
    front.set_nonblocking(true).expect("it is");
    let mut idle = 0;
    while idle < 20 {
        match front.write(&[b'x'; 65_536]) {
            Ok(_) => idle = 0,
            Err(_) => idle += 1,
        }
        thread::sleep(Duration::from_millis(5));
    }
    set_socket_linger(&front, Some(Duration::ZERO)).expect("it is set");
    let left = Instant::now();
    drop(front);
    let shown = proxy.wait_for("the front server went away");
    assert!(left.elapsed() < Duration::from_secs(5), "{:?}: {shown}", left.elapsed());
}

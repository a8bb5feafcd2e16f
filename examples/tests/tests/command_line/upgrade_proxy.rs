//! Tunnels through `scgi proxy`: what it shows and keeps of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::scgi_proxy::Proxy;
use crate::tool::{EchoServer, scgi, scgi_with, text};
use crate::websocket_client;
use rustix::net::sockopt::set_socket_linger;
use scgi_tests::process::scratch_dir;

const SWITCH: &[u8] = b"Status: 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

/// A backend that does this with each connection, once it has its request.
fn backend(serve: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            serve(stream);
        }
    });
    address
}

#[test]
fn handshake_and_figures() {
    let echo = EchoServer::start(&["127.0.0.1:0"]);
    let folder = scratch_dir().expect("a folder");
    let captures = folder.path().join("captures");
    let proxy = Proxy::start("127.0.0.1:0", &echo.address, &["--save", text(&captures)]);
    let sent = vec![b's'; 3_000_000];
    let args =
        ["request", &proxy.address, "/chat", "--upgrade", "websocket", "-H", "Cookie: a=tops3cret"];
    let run = scgi_with(args, &sent).ok();
    assert!(run.stdout == sent, "changed on the way");
    let shown = proxy.wait_for_end(1);
    for line in [
        "[1] > GET /chat: ",
        "then 0 bytes, with an upgrade to websocket\n",
        "[1]   \"HTTP_UPGRADE\": \"websocket\"\n",
        "[1] < 101 Switching Protocols after ",
        "[1]   \"Upgrade\": \"websocket\"\n",
        " bytes back, 3000000 and 3000000 of them through a tunnel that was open for ",
        " ms and ended by the front server; connected in ",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(!shown.contains("] ! ") && !shown.contains("tops3cret"), "{shown}");
    // Of the tunnel nothing is kept, and the handshake is whole.
    let reply = fs::read(captures.join("0001.cgi")).expect("a reply");
    assert!(reply.starts_with(b"Status: 101 ") && reply.ends_with(b"\r\n\r\n"), "{reply:?}");
    let request = captures.join("0001.scgi");
    let decoded = scgi(["decode", text(&request)]).ok();
    assert!(decoded.text().contains("HTTP_UPGRADE=websocket\n"), "{}", decoded.text());
    assert!(decoded.text().ends_with("body length: 0\nsurplus: 0\n"), "{}", decoded.text());
}

/// lighttpd sends what its client sent before the 101.
#[test]
fn bytes_before_the_101_and_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let backend = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"early") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a byte");
            request.extend(byte);
        }
        stream.write_all(&[SWITCH, b"with the head"].concat()).expect("sent");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the end");
        stream.write_all(&rest).expect("sent");
    });
    let folder = scratch_dir().expect("a folder");
    let captures = folder.path().join("captures");
    let proxy = Proxy::start("127.0.0.1:0", &address, &["--save", text(&captures)]);
    let mut front = TcpStream::connect(&proxy.address).expect("a connection");
    let request = format!("{}early", websocket_client::scgi());
    front.write_all(request.as_bytes()).expect("sent");
    let mut head = vec![0; SWITCH.len()];
    front.read_exact(&mut head).expect("a head");
    assert_eq!(head, SWITCH);
    front.write_all(b"later").expect("sent");
    front.shutdown(Shutdown::Write).expect("half a close");
    let mut all = String::new();
    front.read_to_string(&mut all).expect("the tunnel");
    assert_eq!(all, "with the headlater");
    backend.join().expect("no panic");
    let shown = proxy.wait_for_end(1);
    assert!(shown.contains(", 10 and 18 of them through a tunnel"), "{shown}");
    assert!(!shown.contains("] ! "), "{shown}");
    assert_eq!(fs::read(captures.join("0001.cgi")).expect("a reply"), SWITCH);
    assert_eq!(fs::read(captures.join("0001.scgi")).expect("a request"), request.as_bytes());
}

/// Sends an upgrade through a proxy and reads until the end, or a reset.
fn ask(proxy: &Proxy, request: &str) -> Vec<u8> {
    let mut front = TcpStream::connect(&proxy.address).expect("a connection");
    front.write_all(request.as_bytes()).expect("sent");
    let mut reply = Vec::new();
    let _ = front.read_to_end(&mut reply);
    reply
}

#[test]
fn ends_of_a_tunnel() {
    for (is_reset, told) in
        [(false, " ms and ended by the backend; "), (true, "broke the tunnel: ")]
    {
        let backend = backend(move |mut stream| {
            stream.write_all(SWITCH).expect("sent");
            thread::sleep(Duration::from_millis(50));
            if is_reset {
                set_socket_linger(&stream, Some(Duration::ZERO)).expect("an option");
            }
        });
        let proxy = Proxy::start("127.0.0.1:0", &backend, &[]);
        assert!(ask(&proxy, &websocket_client::scgi()).starts_with(b"Status: 101 "));
        let shown = proxy.wait_for_end(1);
        assert!(shown.contains(told), "{told}: {shown}");
        assert_eq!(shown.contains("] ! "), is_reset, "{shown}");
    }
}

#[test]
fn what_is_odd_about_a_101() {
    let valid = websocket_client::scgi();
    // Of the same length, so that the netstring is still one.
    let old = valid.replace("HTTP/1.1", "HTTP/1.0");
    let plain = valid.replace("HTTP_UPGRADE", "HTTP_XPGRADE");
    for (request, reply, finding) in [
        (&old, SWITCH, "a 101 to a request that may have none (SERVER_PROTOCOL is not HTTP/1.1): "),
        (&plain, SWITCH, "a 101 to a request that asks for no upgrade: nginx, Apache and lighttpd"),
        (&valid, b"Status: 101 Switching Protocols\r\n\r\n", "the 101 has no Upgrade field: "),
        (
            &valid,
            b"Status: 101 x\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
            "the 101 has a Content-Length, which nginx passes on",
        ),
    ] {
        let backend = backend(move |mut stream| stream.write_all(reply).expect("sent"));
        let proxy = Proxy::start("127.0.0.1:0", &backend, &[]);
        // It passes whatever it is.
        assert_eq!(ask(&proxy, request), reply);
        let shown = proxy.wait_for_end(1);
        assert!(shown.contains(&format!("[1] ! {finding}")), "{finding}: {shown}");
    }
    let echo = EchoServer::start(&["127.0.0.1:0"]);
    let proxy = Proxy::start("127.0.0.1:0", &echo.address, &[]);
    scgi(["request", &proxy.address, "--upgrade", "x", "-p", "SERVER_SOFTWARE=Apache"]);
    let shown = proxy.wait_for_end(1);
    let told = ", with an upgrade that is not valid: Apache does not carry upgrades over SCGI\n";
    assert!(shown.contains(told) && !shown.contains("] ! "), "{shown}");
}

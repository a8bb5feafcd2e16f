//! Attacks on the rules of the gateway, and the requests that must pass.

use super::{authority, gateway, gateway_on, param, send, status};
use crate::tool::EchoServer;

/// A request that ends its connection.
fn get(head: &str) -> String {
    format!("GET /a HTTP/1.1\r\nConnection: close\r\n{head}\r\n")
}

#[test]
fn a_client_cannot_spoof_what_the_gateway_or_a_front_server_says() {
    let backend = EchoServer::json("tokio");
    let gateway = gateway(&backend.address, &[]);
    let reply = send(
        &gateway,
        "GET /a HTTP/1.1\r\nHost: localhost\r\n\
         Connection: close, X-Forwarded-For, X-Forwarded-Proto, Host, Content-Length\r\n\
         X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
         Forwarded: for=192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\nX_Forwarded_For: 192.0.2.1\r\n\
         X_Remote_User: admin\r\nProxy: http://evil/\r\nX-Fine: 1\r\n\r\n",
    );
    assert_eq!(status(&reply), 200, "{reply}");
    for (name, value) in [
        ("HTTP_X_FORWARDED_FOR", Some("127.0.0.1")),
        ("HTTP_X_FORWARDED_PROTO", Some("http")),
        ("REMOTE_ADDR", Some("127.0.0.1")),
        ("HTTP_HOST", Some("localhost")),
        ("HTTP_X_FINE", Some("1")),
        ("HTTPS", None),
        ("HTTP_X_FORWARDED_HOST", None),
        ("HTTP_FORWARDED", None),
        ("HTTP_X_REAL_IP", None),
        ("HTTP_X_REMOTE_USER", None),
        ("HTTP_PROXY", None),
    ] {
        assert_eq!(param(&reply, name).as_deref(), value, "{name}");
    }
}

#[test]
fn a_trusted_proxy_speaks_for_its_clients() {
    let backend = EchoServer::json("tokio");
    let more = ["--trust", "127.0.0.0/8", "--underscores"];
    let gateway = gateway(&backend.address, &more);
    let reply = send(
        &gateway,
        &get(
            "Host: localhost\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\
              X_User: a\r\nX-Forwarded-Host: app.example\r\n",
        ),
    );
    for (name, value) in [
        ("REMOTE_ADDR", "192.0.2.1"),
        ("HTTP_X_FORWARDED_FOR", "6.6.6.6, 192.0.2.1, 127.0.0.1"),
        ("HTTP_X_FORWARDED_HOST", "app.example"),
        ("HTTPS", "on"),
        ("SERVER_PORT", "443"),
        ("REQUEST_SCHEME", "https"),
        ("HTTP_X_USER", "a"),
    ] {
        assert_eq!(param(&reply, name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn params_of_the_command_line() {
    let backend = EchoServer::json("tokio");
    let more = ["-p", "SCRIPT_NAME=/a", "-p", "HTTPS=on", "-p", "UNTRUSTED_CONNECTION=1"];
    let gateway = gateway(&backend.address, &more);
    let reply = send(&gateway, &get("Host: localhost\r\n").replace("/a", "/a/b%20c"));
    for (name, value) in [
        ("SCRIPT_NAME", "/a"),
        ("PATH_INFO", "/b c"),
        ("REQUEST_URI", "/a/b%20c"),
        ("HTTPS", "on"),
        ("REQUEST_SCHEME", "https"),
        ("SERVER_PORT", "443"),
        ("HTTP_X_FORWARDED_PROTO", "https"),
        ("UNTRUSTED_CONNECTION", "1"),
    ] {
        assert_eq!(param(&reply, name).as_deref(), Some(value), "{name}");
    }
    let outside = send(&gateway, &get("Host: localhost\r\n").replace("/a", "/ab"));
    assert_eq!(status(&outside), 404, "{outside}");
}

#[test]
fn hosts_that_are_not_ours_are_refused_on_loopback() {
    let backend = EchoServer::json("tokio");
    let strict = gateway(&backend.address, &[]);
    let open = gateway_on("0.0.0.0:0", &backend.address, &["--host", "app.example"]);
    for (gateway, host, expected) in [
        (&strict, "localhost:1", 200),
        (&strict, "127.0.0.1", 200),
        (&strict, "a.localhost", 200),
        // DNS rebinding: the page's own name leads to this machine.
        (&strict, "rebound.example", 403),
        (&open, "app.example", 200),
        (&open, "rebound.example", 403),
    ] {
        let port = authority(gateway).rsplit_once(':').expect("a port").1;
        let address = format!("http://127.0.0.1:{port}");
        let reply = send_to(&address, &get(&format!("Host: {host}\r\n")));
        assert_eq!(status(&reply), expected, "{host}: {reply}");
        assert_eq!(reply.contains("--host"), expected == 403, "{reply}");
    }
    // The authority of the URI counts before Host, for the program too.
    let reply = send(
        &strict,
        "GET http://rebound.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(reply.starts_with("HTTP/1.1 403 "), "{reply}");
}

fn send_to(url: &str, request: &str) -> String {
    use std::io::{Read as _, Write as _};
    let address = url.strip_prefix("http://").expect("a URL");
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply
}

#[test]
fn a_page_of_another_site_cannot_post_or_upgrade() {
    let backend = EchoServer::json("tokio");
    let gateway = gateway(&backend.address, &["--allow-origin", "https://friend.example"]);
    let same = gateway.address.clone();
    for (method, head, expected) in [
        ("POST", String::new(), 200),
        ("POST", format!("Origin: {same}\r\n"), 200),
        ("POST", "Origin: https://evil.example\r\n".into(), 403),
        ("POST", "Origin: null\r\n".into(), 403),
        ("POST", "Sec-Fetch-Site: cross-site\r\n".into(), 403),
        ("POST", "Sec-Fetch-Site: same-origin\r\nOrigin: https://app.example\r\n".into(), 200),
        ("POST", "Origin: https://friend.example\r\nSec-Fetch-Site: cross-site\r\n".into(), 200),
        ("GET", "Origin: https://evil.example\r\n".into(), 200),
    ] {
        let host = authority(&gateway);
        let reply = send(
            &gateway,
            &format!("{method} / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{head}\r\n"),
        );
        assert_eq!(status(&reply), expected, "{method} {head}: {reply}");
        assert_eq!(reply.contains("--allow-origin"), expected == 403, "{reply}");
    }
    let reply = send(
        &gateway,
        "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://evil.example\r\n\r\n",
    );
    assert_eq!(status(&reply), 403, "{reply}");
}

/// The fault of a client is its own: never 502.
#[test]
fn malformed_requests() {
    let backend = EchoServer::json("tokio");
    let gateway = gateway(&backend.address, &[]);
    let long_uri = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "a".repeat(40_000)
    );
    let long_head =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(500_000));
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: 1\r\n".repeat(200));
    let post = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let rows: &[(&str, u16)] = &[
        ("GET /%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        ("GET /%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        ("GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: close\r\n\r\n", 501),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200),
        (&long_uri, 414),
        (&long_head, 431),
        (&many, 431),
        (&format!("{post}Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n"), 400),
        (&format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501),
        (&format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400),
        (&format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"), 400),
        // Smuggling: two lengths.
        (&format!("{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), 400),
        (&format!("{post}Content-Length: +5\r\n\r\nhello"), 400),
        (&format!("{post}Content-Length: 0x5\r\n\r\nhello"), 400),
        (&format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 400),
        (&format!("{post}X: a\r\n b\r\n\r\n"), 400),
    ];
    for (request, expected) in rows {
        let reply = send(&gateway, request);
        let start = request.get(..120).unwrap_or(request);
        assert_eq!(status(&reply), *expected, "{start:?}: {reply}");
    }
}

/// A request behind a body is one only where the body ends for everyone.
#[test]
fn smuggling_by_length_and_chunks() {
    let backend = EchoServer::json("tokio");
    let gateway = gateway(&backend.address, &[]);
    let reply = send(
        &gateway,
        "POST /first HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    if status(&reply) == 200 {
        assert_eq!(param(&reply, "CONTENT_LENGTH").as_deref(), Some("5"), "{reply}");
        assert_eq!(param(&reply, "HTTP_TRANSFER_ENCODING"), None, "{reply}");
    } else {
        assert_eq!(status(&reply), 400, "{reply}");
    }
    assert!(!reply.contains("/second"), "{reply}");
}

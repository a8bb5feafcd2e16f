//! `scgi gateway`: curl over HTTP/1.1 and HTTP/2 to SCGI servers written by others and to our
//! own, what the backend learns, and what a failed one becomes.

#![cfg(unix)]

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::gateway;
use crate::tool::EchoServer;
use scgi_tests::backend_peer::Peer;
use scgi_tests::http::Browser;
use scgi_tests::process::required;
use ureq::http::Request;

const VERSION_CALL: &str = "<?xml version=\"1.0\"?><methodCall><methodName>system.client_version</methodName></methodCall>";

/// Both versions that curl can speak without TLS.
const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

fn curl(args: &[&str]) -> String {
    let format = ["-sS", "--max-time", "20", "-w", "\n%{http_version} %{http_code}"];
    let output = Command::new("curl").args(format).args(args).output().expect("curl runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn expected(version: &str, status: u16) -> String {
    format!("\n{} {status}", if version == "--http1.1" { "1.1" } else { "2" })
}

#[test]
fn rtorrent() {
    if !["curl", "rtorrent"].into_iter().all(required) {
        return;
    }
    for start in [Peer::rtorrent_tcp, Peer::rtorrent_unix] {
        let peer = start().expect("rTorrent starts");
        let gateway = gateway(&peer.address().to_string(), &[]);
        for version in VERSIONS {
            let url = format!("{}/RPC2", gateway.address);
            let text = curl(&[version, "-H", "Content-Type: text/xml", "-d", VERSION_CALL, &url]);
            assert!(text.contains("<value><string>0."), "{version}: {text}");
            assert!(text.ends_with(&expected(version, 200)), "{version}: {text}");
        }
    }
}

#[test]
fn uwsgi() {
    if !["curl", "uwsgi-core"].into_iter().all(required) {
        return;
    }
    for start in [Peer::uwsgi_tcp, Peer::uwsgi_unix] {
        let peer = start().expect("uWSGI starts");
        let gateway = gateway(&peer.address().to_string(), &[]);
        for version in VERSIONS {
            let url = |path: &str| format!("{}{path}", gateway.address);
            let text = curl(&[version, &url("/a%20b?c")]);
            assert_eq!(text, format!("GET /a b len=0\n{}", expected(version, 200)), "{version}");
            let text = curl(&[version, "-d", "hello", &url("/post")]);
            assert_eq!(text, format!("POST /post len=5\n{}", expected(version, 200)), "{version}");
            // uWSGI closes without a byte when the application raises.
            assert!(curl(&[version, &url("/boom")]).ends_with(&expected(version, 502)));
        }
        assert!(gateway.said().contains("502"), "{}", gateway.said());
    }
}

#[test]
fn what_the_backend_learns() {
    if !required("curl") {
        return;
    }
    let backend = EchoServer::json("tokio");
    let gateway = gateway(&backend.address, &["--trust", "127.0.0.1"]);
    for version in VERSIONS {
        let url = format!("{}/a%20b?c=d", gateway.address);
        let forwarded = "X-Forwarded-For: 192.0.2.1";
        // A body without a stated length, as curl sends standard input in chunks.
        let args =
            [version, "-H", forwarded, "-H", "Transfer-Encoding: chunked", "-d", "hello", &url];
        let text = curl(&args);
        let json = text.strip_suffix(&expected(version, 200)).unwrap_or_else(|| panic!("{text}"));
        let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!((&json["content_length"], &json["body_length"]), (&5.into(), &5.into()));
        for pair in [
            ["REQUEST_METHOD", "POST"],
            ["REQUEST_URI", "/a%20b?c=d"],
            ["QUERY_STRING", "c=d"],
            ["REMOTE_ADDR", "192.0.2.1"],
            ["HTTP_X_FORWARDED_FOR", "192.0.2.1, 127.0.0.1"],
            ["HTTP_X_FORWARDED_PROTO", "http"],
        ] {
            let params = json["params"].as_array().expect("params");
            assert!(params.contains(&serde_json::json!(pair)), "{version} {pair:?}: {json}");
        }
        assert!(!json.to_string().contains("TRANSFER_ENCODING"), "{version}: {json}");
    }
}

#[test]
fn a_backend_that_fails() {
    if !required("curl") {
        return;
    }
    // No server listens there any more.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let gone = gateway(&address.expect("an address").to_string(), &[]);
    // This one never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = silent.local_addr().expect("its address").to_string();
    let late = gateway(&address, &["--head-timeout", "300ms"]);
    for version in VERSIONS {
        assert!(curl(&[version, &gone.address]).ends_with(&expected(version, 502)));
        assert!(curl(&[version, &late.address]).ends_with(&expected(version, 504)));
    }
    assert_eq!(gone.said().matches("GET").count(), 2, "{}", gone.said());
    assert!(gone.said().contains("502: ") && gone.said().contains("nothing listens there"));
    assert!(late.said().contains("504: "), "{}", late.said());
    drop(TcpStream::connect(address));
}

#[test]
fn ten_thousand_requests() {
    const REQUESTS: usize = 10_000;
    let backend = EchoServer::json("tokio");
    let gateway = gateway(&backend.address, &[]);
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let browser = Browser::new();
                loop {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    if id >= REQUESTS {
                        break;
                    }
                    let request = Request::get(format!("{}/{id}", gateway.address)).body(());
                    let reply = browser.send(request.expect("a request")).expect("a reply");
                    let uri = format!("[\"REQUEST_URI\",\"/{id}\"]");
                    assert!(reply.status == 200 && reply.text().contains(&uri), "{reply:?}");
                }
            });
        }
    });
    println!("{REQUESTS} requests in {:?}", begun.elapsed());
    assert_eq!(gateway.said(), "");
}

//! `scgi request` against SCGI servers written by others.

mod tool;

use std::io;

use scgi_examples::backend_peer::Peer;
use scgi_examples::process::required;
use tool::{RUNTIMES, scgi};

const VERSION_CALL: &str = "<?xml version=\"1.0\"?><methodCall><methodName>system.client_version</methodName></methodCall>";

fn with_peer(program: &str, start: fn() -> io::Result<Peer>, check: impl Fn(&str, &str)) {
    if !required(program) {
        return;
    }
    let peer = start().expect("the server starts");
    for runtime in RUNTIMES {
        check(&peer.address().to_string(), runtime);
    }
}

fn ask_rtorrent(address: &str, runtime: &str) {
    let request = ["request", "--runtime", runtime, address, "/RPC2", "--timeout", "10s"];
    let call = ["-H", "Content-Type: text/xml", "-d", VERSION_CALL];
    let run = scgi([&request[..], &call, &["-i"]].concat()).ok();
    let text = run.text();
    assert!(text.starts_with("Status: 200 OK\r\n"), "{text}");
    assert!(text.contains("<value><string>0."), "{text}");
    // It closes on an empty body.
    let run = scgi(request);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
}

fn ask_uwsgi(address: &str, runtime: &str) {
    let request = |args: &[&str]| {
        scgi([&["request", "--runtime", runtime, address, "--timeout", "10s"][..], args].concat())
    };
    assert_eq!(request(&["/a%20b?c"]).ok().text(), "GET /a b len=0\n");
    assert_eq!(request(&["/post", "-d", "hello"]).ok().text(), "POST /post len=5\n");
    assert_eq!(request(&["/big"]).ok().stdout.len(), 200_000);
    assert_eq!(request(&["/stream"]).ok().text().lines().count(), 5);
    let text = request(&["/cookies", "-i"]).ok();
    assert!(text.text().contains("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"), "{}", text.text());
    let text = request(&["/redirect", "-i"]).ok();
    assert!(text.text().starts_with("Status: 302 Found\r\n"), "{}", text.text());
    request(&["/boom"])
        .failed(1, "scgi: the peer broke the protocol: the server closed without a response");
}

#[test]
fn rtorrent_over_tcp() {
    with_peer("rtorrent", Peer::rtorrent_tcp, ask_rtorrent);
}

#[test]
fn rtorrent_over_a_unix_socket() {
    with_peer("rtorrent", Peer::rtorrent_unix, ask_rtorrent);
}

#[test]
fn uwsgi_over_tcp() {
    with_peer("uwsgi-core", Peer::uwsgi_tcp, ask_uwsgi);
}

#[test]
fn uwsgi_over_a_unix_socket() {
    with_peer("uwsgi-core", Peer::uwsgi_unix, ask_uwsgi);
}

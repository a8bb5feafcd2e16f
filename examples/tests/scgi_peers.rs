//! `scgi request` against SCGI servers written by others.

mod tool;

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use scgi_examples::backend_peer::Peer;
use scgi_examples::process::{required, scratch_dir};
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

/// `--rtorrent`: every type of argument and of result, and faults.
fn call_rtorrent(address: &str, runtime: &str) {
    let request = ["request", "--runtime", runtime, address, "--timeout", "10s", "--rtorrent"];
    let call = |words: &[&str]| scgi([&request[..], words].concat());
    let version = call(&["system.client_version"]).ok();
    assert!(version.text().starts_with("0."), "{}", version.text());
    let methods = call(&["system.listMethods"]).ok();
    assert!(methods.text().lines().any(|line| line == "d.multicall2"), "{}", methods.text());
    // Settings that it gives back: a string with what XML escapes, and an integer.
    let odd = "a<b> & \"c\" é ]]>";
    call(&["method.insert", "", runtime, "string", odd]).ok();
    assert_eq!(call(&[runtime]).ok().text(), format!("{odd}\n"));
    call(&["throttle.global_down.max_rate.set", "", "i:65536"]).ok();
    assert_eq!(call(&["throttle.global_down.max_rate"]).ok().text(), "65536\n");
    // A file's bytes, and an array of arrays. The name would move the cursor of a terminal.
    let folder = scratch_dir().expect("a folder");
    let torrent = folder.path().join("a.torrent");
    let info = "d6:lengthi5e4:name4:a\tb\x7f12:piece lengthi16384e6:pieces20:01234567890123456789e";
    fs::write(&torrent, format!("d8:announce18:http://127.0.0.1:14:info{info}e")).expect("a file");
    call(&["load.raw", "", &format!("f:{}", torrent.display())]).ok();
    // It loads later.
    let rows = || call(&["d.multicall2", "", "main", "d.name=", "d.size_bytes="]).ok();
    let deadline = Instant::now() + Duration::from_secs(10);
    while rows().text().is_empty() && Instant::now() < deadline {}
    assert_eq!(rows().text(), "a\\tb\\u{7f}\t5\n");
    call(&["no.such.method", "b:true", "d:1.5"])
        .failed(4, "scgi: fault -506: Method 'no.such.method' not defined");
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
    request(&["/boom"]).failed(
        1,
        "scgi: the peer broke the protocol: the server closed without a response; look \
                    at its log: it refused the request or crashed on it (scgi check tells what it \
                    takes)",
    );
}

#[test]
fn rtorrent_over_tcp() {
    with_peer("rtorrent", Peer::rtorrent_tcp, ask_rtorrent);
    with_peer("rtorrent", Peer::rtorrent_tcp, call_rtorrent);
}

#[test]
fn rtorrent_over_a_unix_socket() {
    with_peer("rtorrent", Peer::rtorrent_unix, ask_rtorrent);
    with_peer("rtorrent", Peer::rtorrent_unix, call_rtorrent);
}

#[test]
fn uwsgi_over_tcp() {
    with_peer("uwsgi-core", Peer::uwsgi_tcp, ask_uwsgi);
}

#[test]
fn uwsgi_over_a_unix_socket() {
    with_peer("uwsgi-core", Peer::uwsgi_unix, ask_uwsgi);
}

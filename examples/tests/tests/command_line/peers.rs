//! `scgi request` against SCGI servers written by others.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::tool::{RUNTIMES, Run, scgi};
use scgi_tests::backend_peer::Peer;
use scgi_tests::process::{required, scratch_dir};

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
    // Settings that it returns: a string with what XML escapes, and an integer.
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
    assert!(rows().text().lines().any(|row| row == "a\\tb\\u{7f}\t5"), "{}", rows().text());
    bell_in_a_name(folder.path(), &call);
    call(&["no.such.method", "b:true", "d:1.5"])
        .failed(4, "scgi: fault -506: Method 'no.such.method' not defined");
}

/// rTorrent passes a control byte of a torrent's name raw, which no XML parser takes.
fn bell_in_a_name(folder: &Path, call: &dyn Fn(&[&str]) -> Run) {
    let torrent = folder.join("bell.torrent");
    let info =
        "d6:lengthi6e4:name9:two\x07bells12:piece lengthi16384e6:pieces20:a1234567890123456789e";
    fs::write(&torrent, format!("d8:announce18:http://127.0.0.1:14:info{info}e")).expect("a file");
    call(&["load.raw", "", &format!("f:{}", torrent.display())]).ok();
    let names = || call(&["d.multicall2", "", "main", "d.hash=", "d.name="]).ok();
    let deadline = Instant::now() + Duration::from_secs(10);
    while names().text().lines().count() < 2 && Instant::now() < deadline {}
    let run = names();
    let line = run.text().lines().find(|line| line.ends_with("\ttwo\u{fffd}bells"));
    let (hash, _) = line.and_then(|line| line.split_once('\t')).expect("the name");
    assert!(run.stderr.contains("warning: 1 characters"), "{}", run.stderr);
    // The same by a call in a call.
    let calls = format!(r#"[{{"methodName": "d.name", "params": ["{hash}"]}}]"#);
    let run = call(&["system.multicall", &calls, "--json"]).ok();
    assert_eq!(run.text(), "[[\"two\u{fffd}bells\"]]\n");
}

/// A request, with the time in which a peer has long answered.
fn request(address: &str, runtime: &str, args: &[&str]) -> Run {
    scgi([&["request", "--runtime", runtime, address, "--timeout", "10s"][..], args].concat())
}

/// What `wsgiapp.py` does, whatever runs it.
fn ask_wsgi(address: &str, runtime: &str) {
    let request = |args: &[&str]| request(address, runtime, args);
    assert_eq!(request(&["/a%20b?c"]).ok().text(), "GET /a b len=0\n");
    assert_eq!(request(&["/post", "-d", "hello"]).ok().text(), "POST /post len=5\n");
    assert_eq!(request(&["/big"]).ok().stdout.len(), 200_000);
    assert_eq!(request(&["/stream"]).ok().text().lines().count(), 5);
    let text = request(&["/cookies", "-i"]).ok();
    assert!(text.text().contains("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"), "{}", text.text());
    let text = request(&["/redirect", "-i"]).ok();
    assert!(text.text().starts_with("Status: 302 Found\r\n"), "{}", text.text());
    let text = request(&["/nocontent", "-i"]).ok();
    assert!(text.text().starts_with("Status: 204 No Content\r\n"), "{}", text.text());
}

fn ask_uwsgi(address: &str, runtime: &str) {
    ask_wsgi(address, runtime);
    request(address, runtime, &["/boom"]).failed(
        1,
        "scgi: the peer broke the protocol: the server closed without a response; look at its \
         log: it refused the request, crashed on it, or speaks FastCGI or uwsgi instead (scgi \
         check tells what it takes)",
    );
}

fn ask_flup(address: &str, runtime: &str) {
    ask_wsgi(address, runtime);
    let run = request(address, runtime, &["/boom", "--fail"]);
    assert_eq!(run.code, Some(22), "{}", run.stderr);
}

/// Its handler prints what it got, with LF and without a status.
fn ask_python_scgi(address: &str, runtime: &str) {
    let text = request(address, runtime, &["/a%20b?c", "-i"]).ok();
    assert!(
        text.text()
            .starts_with("Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"),
        "{}",
        text.text()
    );
    assert!(text.text().contains("REQUEST_URI: '/a%20b?c'\n"), "{}", text.text());
    let text = request(address, runtime, &["/post", "-d", "hello"]);
    assert!(text.text().contains("CONTENT_LENGTH: '5'\n"), "{}", text.stderr);
    // It answers before it reads the body, without a length, ends its side and closes with the body
    // unread. Over TCP a reset follows the end, so that the response is known to be whole; over a
    // Unix socket a reset is no more than a close.
    let folder = scratch_dir().expect("a folder");
    let upload = folder.path().join("upload");
    fs::write(&upload, vec![b'x'; 4 << 20]).expect("a file");
    let run = request(address, runtime, &["/post", "-T", &upload.display().to_string()]).ok();
    assert!(run.text().contains("CONTENT_LENGTH: '4194304'\n"), "{}", run.stderr);
}

fn ask_perl(address: &str, runtime: &str) {
    let text = request(address, runtime, &["/a%20b?c", "-d", "hello", "-i"]).ok();
    let expected = "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello /a b 5\n";
    assert_eq!(text.text(), expected);
}

/// A test for each kind of address.
macro_rules! peer {
    ($name:ident, $program:literal, $tcp:path, $unix:path, $($check:path),+) => {
        mod $name {
            use super::*;

            #[test]
            fn over_tcp() {
                $(with_peer($program, $tcp, $check);)+
            }

            #[test]
            fn over_a_unix_socket() {
                $(with_peer($program, $unix, $check);)+
            }
        }
    };
}

peer!(rtorrent, "rtorrent", Peer::rtorrent_tcp, Peer::rtorrent_unix, ask_rtorrent, call_rtorrent);
peer!(uwsgi, "uwsgi-core", Peer::uwsgi_tcp, Peer::uwsgi_unix, ask_uwsgi);
peer!(flup, "python flup", Peer::flup_tcp, Peer::flup_unix, ask_flup);
peer!(python_scgi, "python scgi", Peer::python_scgi_tcp, Peer::python_scgi_unix, ask_python_scgi);
peer!(perl, "perl SCGI", Peer::perl_tcp, Peer::perl_unix, ask_perl);

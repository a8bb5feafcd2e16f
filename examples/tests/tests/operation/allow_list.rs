//! Who may connect: networks on TCP, users on Unix sockets, on every runtime.

#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::tool::{EchoServer, RUNTIMES, text};
use rustix::process::{Signal, getuid};
use scgi_tests::process::scratch_dir;

const GOOD: &[u8] = b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,";

/// The reply to a good request; empty if the connection is closed without one.
fn ask(mut stream: impl Read + Write) -> String {
    // The server may have closed by now, with what was sent unread.
    let _ = stream.write_all(GOOD);
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    reply
}

#[track_caller]
fn check(server: EchoServer, runtime: &str, allowed: bool, ask: impl Fn(&EchoServer) -> String) {
    for _ in 0..3 {
        let reply = ask(&server);
        assert_eq!(reply.starts_with("Status: 200 OK\r\n"), allowed, "{runtime}: {reply:?}");
        assert_eq!(reply.is_empty(), !allowed, "{runtime}: {reply:?}");
    }
    server.signal(Signal::TERM);
    let (code, said) = server.wait();
    let denials = said.matches("the peer may not connect").count();
    assert_eq!((code, denials), (Some(0), if allowed { 0 } else { 3 }), "{runtime}: {said}");
}

#[test]
fn networks() {
    for runtime in RUNTIMES {
        for (networks, allowed) in [
            (&["127.0.0.0/8"][..], true),
            (&["10.1.0.0/16", "127.0.0.1"], true),
            (&["10.1.0.0/16", "::1"], false),
        ] {
            let mut args = vec!["--runtime", runtime, "127.0.0.1:0"];
            networks.iter().for_each(|network| args.extend(["--allow-network", network]));
            check(EchoServer::start(&args), runtime, allowed, |server| {
                ask(TcpStream::connect(&server.address).expect("a connection"))
            });
        }
    }
}

#[test]
fn users() {
    let me = getuid().as_raw();
    for runtime in RUNTIMES {
        for (uid, allowed) in [(me, true), (me + 1, false)] {
            let folder = scratch_dir().expect("a folder");
            let path = folder.path().join("echo.sock");
            let uid = uid.to_string();
            let server =
                EchoServer::start(&["--runtime", runtime, "--allow-uid", &uid, text(&path)]);
            check(server, runtime, allowed, |_| {
                ask(UnixStream::connect(&path).expect("a connection"))
            });
        }
    }
}

#[test]
fn a_list_of_networks_lets_no_unix_peer_in() {
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("echo.sock");
        let args = ["--runtime", runtime, "--allow-network", "0.0.0.0/0", text(&path)];
        check(EchoServer::start(&args), runtime, false, |_| {
            ask(UnixStream::connect(&path).expect("a connection"))
        });
    }
}

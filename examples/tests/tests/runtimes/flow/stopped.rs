//! A process that is stopped for longer than its deadlines, while bytes come.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::peers::{Peer, head};
use crate::tool::{EchoServer, RUNTIMES, text};

/// Lets bytes come while the server is stopped, for longer than its deadlines.
fn stopped(server: &EchoServer, bytes: impl FnOnce()) {
    // It waits for the peer by now.
    thread::sleep(Duration::from_millis(300));
    server.signal(Signal::STOP);
    bytes();
    thread::sleep(Duration::from_millis(2500));
    server.signal(Signal::CONT);
}

fn connect(server: &EchoServer) -> Peer {
    let stream = std::net::TcpStream::connect(&server.address).expect("a connection");
    Peer::Tcp(stream).with_patience()
}

#[test]
fn bytes_that_wait_after_a_pause_win_over_deadlines() {
    let deadlines = ["--head-timeout", "1s", "--body-timeout", "1s", "--write-timeout", "1s"];
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            scope.spawn(move || {
                let args = [&["--runtime", runtime][..], &deadlines, &["127.0.0.1:0"]].concat();
                let server = EchoServer::start(&args);
                let whole = [head(5), b"hello".to_vec()].concat();
                // Nothing, a part of the head, and a part of the body have come.
                for sent in [0, 10, whole.len() - 2] {
                    let mut peer = connect(&server);
                    peer.write_all(&whole[..sent]).expect("sent");
                    stopped(&server, || peer.write_all(&whole[sent..]).expect("sent"));
                    let response = peer.read_to_end();
                    assert!(!response.is_empty(), "{runtime}: {sent} bytes before the pause");
                }
            });
        }
    });
}

/// A request whose echo is larger than what a Unix socket holds: each of its bytes is shown as four.
fn large_request() -> Vec<u8> {
    let mut block = b"CONTENT_LENGTH\x000\x00SCGI\x001\x00HTTP_X\x00".to_vec();
    block.resize(block.len() + 250_000, 1);
    block.push(0);
    [format!("{}:", block.len()).into_bytes(), block, b",".to_vec()].concat()
}

#[test]
fn room_that_came_in_a_pause_wins_over_the_deadline_of_a_write() {
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            scope.spawn(move || {
                let folder = scgi_tests::process::scratch_dir().expect("a folder");
                let path = folder.path().join("echo.sock");
                let args = ["--runtime", runtime, "--write-timeout", "2s", text(&path)];
                let server = EchoServer::start(&args);
                let stream = UnixStream::connect(&path).expect("a connection");
                let mut peer = Peer::Unix(stream).with_patience();
                peer.write_all(&large_request()).expect("sent");
                let mut first = vec![0; 100_000];
                // The response has begun.
                peer.read_exact(&mut first[..1]).expect("a byte");
                stopped(&server, || peer.read_exact(&mut first[1..]).expect("a part"));
                let rest = peer.read_all();
                let len = first.len() + rest.len();
                assert!(len > 1_000_000, "{runtime}: {len} bytes");
                assert!(first.starts_with(b"Status: 200 OK"), "{runtime}");
            });
        }
    });
}

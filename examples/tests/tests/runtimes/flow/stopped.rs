//! A process that is stopped for longer than its deadlines, while bytes come.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::peers::{Peer, head};
use crate::tool::{EchoServer, RUNTIMES};

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

//! TCP_NODELAY on every path: the option is read from the socket that a server has accepted, or a
//! client has connected, in this process.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use scgi_proto::ClientConfig;

use crate::support::app::Way;
use crate::support::{self, App};

/// Whether the socket of this process between two addresses sends each piece immediately.
fn is_no_delay(local: SocketAddr, peer: SocketAddr) -> bool {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).expect("this process");
    for entry in fs::read_dir("/proc/self/fd").expect("descriptors") {
        let name = entry.expect("an entry").file_name();
        let number = name.to_string_lossy().parse().expect("a number");
        // Another test may have closed it by now.
        let Ok(copy) = pidfd_getfd(&this, number, PidfdGetfdFlags::empty()) else { continue };
        let stream = TcpStream::from(copy);
        let addresses = (stream.local_addr().ok(), stream.peer_addr().ok());
        if addresses == (Some(local), Some(peer)) {
            return stream.nodelay().expect("an option");
        }
    }
    panic!("no socket from {local} to {peer}");
}

/// The second piece of a streamed response is there: the option is set, so that it need not wait for
/// the peer's acknowledgement of the first.
fn accepted_socket_has_no_delay(app: &App, name: &str) {
    let mut peer = TcpStream::connect(app.tcp).expect("connected");
    peer.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let request = b"44:CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_URI\0/stream\0,";
    peer.write_all(request).expect("sent");
    let mut response = Vec::new();
    while !String::from_utf8_lossy(&response).contains("data: 1\n\n") {
        let mut piece = [0; 100];
        let count = peer.read(&mut piece).expect("a piece");
        assert_ne!(count, 0, "{name}: {}", response.escape_ascii());
        response.extend_from_slice(&piece[..count]);
    }
    let client = peer.local_addr().expect("an address");
    assert!(is_no_delay(app.tcp, client), "{name}");
}

#[test]
fn accepted_sockets_send_each_piece_immediately_on_every_path() {
    for (runtime, serve, by) in [
        ("tokio", support::tokio::app as fn() -> App, support::tokio::app_by as fn(Way) -> App),
        ("async-std", support::async_std::app, support::async_std::app_by),
        ("smol", support::smol::app, support::smol::app_by),
        ("threads", support::blocking::app, support::blocking::app_by),
    ] {
        accepted_socket_has_no_delay(&serve(), &format!("{runtime}, serve"));
        for way in [Way::ServeConnection, Way::Connection] {
            accepted_socket_has_no_delay(&by(way), &format!("{runtime}, {way:?}"));
        }
    }
}

#[test]
fn clients_send_each_piece_immediately() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let server = listener.local_addr().expect("an address");
    let check = |name: &str| {
        let (_accepted, client) = listener.accept().expect("a connection");
        assert!(is_no_delay(client, server), "{name}");
    };
    let config = ClientConfig::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let _client = scgi_tokio::Client::connect_with(server, &config).await.expect("connected");
        check("tokio");
    });
    smol::block_on(async {
        let _client =
            scgi_async_std::Client::connect_with(server, &config).await.expect("connected");
        check("smol");
    });
    async_std::task::block_on(async {
        let _client =
            scgi_async_std::Client::connect_with(server, &config).await.expect("connected");
        check("async-std");
    });
    let _client = scgi_blocking::Client::connect_with(server, &config).expect("connected");
    check("blocking");
}

//! The example `event_loop`: whatever a peer does, and behind a real nginx.

#![cfg(unix)]

#[path = "../../../event_loop.rs"]
#[allow(dead_code, reason = "it is a program of its own")]
mod program;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use scgi_tests::front::Front;
use scgi_tests::http::Browser;
use scgi_tests::process::required;
use scgi_tests::programs::example;

use crate::tool::{EchoServer, scgi};

fn start() -> EchoServer {
    let mut command = Command::new(example("event_loop"));
    command.arg("127.0.0.1:0");
    EchoServer::start_command(command)
}

#[test]
fn it_passes_every_case_of_scgi_check() {
    let server = start();
    let run = scgi(["check", &server.address, "--timeout", "20s"]).ok();
    assert!(run.text().ends_with(" passed, 0 lenient, 0 failed\n"), "{}", run.text());
}

#[test]
fn behind_nginx() {
    if !required("nginx") {
        return;
    }
    let server = start();
    let address = server.address.parse().expect("an address");
    let nginx = Front::nginx(address, Path::new("/nowhere.sock")).expect("nginx starts");
    let url = format!("{}/a?b", nginx.url());
    let reply = Browser::new().post(&url, &vec![b'x'; 3 << 20]).expect("a reply");
    assert_eq!((reply.status, reply.text().as_str()), (200, "/a?b with 3145728 bytes\n"));
}

/// A request whose response is larger than what this server's sockets keep: the response shows each
/// of these bytes as four.
fn request_with_large_response() -> Vec<u8> {
    let mut block = b"CONTENT_LENGTH\x000\x00SCGI\x001\x00REQUEST_URI\x00".to_vec();
    block.resize(block.len() + 250_000, 1);
    block.push(0);
    [format!("{}:", block.len()).into_bytes(), block, b",".to_vec()].concat()
}

#[test]
fn a_peer_that_writes_first_is_read_while_the_response_waits() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    // Its connections have the same.
    set_socket_send_buffer_size(&listener, 16 * 1024).expect("an option");
    set_socket_recv_buffer_size(&listener, 128 * 1024).expect("an option");
    listener.set_nonblocking(true).expect("a mode");
    let mut server =
        program::Server::new(mio::net::TcpListener::from_std(listener)).expect("a loop");
    thread::spawn(move || server.run());
    let mut stream = TcpStream::connect(address).expect("a connection");
    set_socket_send_buffer_size(&stream, 128 * 1024).expect("an option");
    stream.set_write_timeout(Some(Duration::from_secs(30))).expect("an option");
    stream.write_all(&request_with_large_response()).expect("it is read");
    stream.write_all(&vec![b'x'; 8 << 20]).expect("more is read while the response waits");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("a response");
    assert!(response.len() > 1_000_000, "{} bytes", response.len());
    assert!(response.ends_with(b" with 0 bytes\n"));
}

#[test]
fn a_slow_head_gets_408_in_ten_seconds() {
    let server = start();
    let mut stream = TcpStream::connect(&server.address).expect("a connection");
    let begun = Instant::now();
    stream.write_all(b"70:CONTENT_").expect("some bytes are taken");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    assert!(reply.starts_with("Status: 408 Request Timeout\r\n"), "{reply}");
    let waited = begun.elapsed();
    assert!(waited > Duration::from_millis(9900) && waited < Duration::from_secs(20), "{waited:?}");
}

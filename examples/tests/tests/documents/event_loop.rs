//! The example `event_loop`: whatever a peer does, and behind a real nginx.

#![cfg(unix)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::tool::{EchoServer, scgi};
use scgi_tests::front::Front;
use scgi_tests::http::Browser;
use scgi_tests::process::required;
use scgi_tests::programs::example;

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

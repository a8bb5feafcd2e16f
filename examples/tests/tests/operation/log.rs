//! What an operator sees: events for what goes wrong, a span for each request, no secrets, and
//! nothing that could forge a line. On every runtime.

#![cfg(unix)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

use crate::tool::{EchoServer, RUNTIMES};
use rustix::process::Signal;

fn echo(runtime: &str, level: &str, more: &[&str]) -> EchoServer {
    let mut command = Command::new(scgi_tests::programs::scgi());
    command.args(["echo", "--runtime", runtime]).args(more).env("RUST_LOG", level);
    EchoServer::start_command(command)
}

fn send(server: &EchoServer, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(&server.address).expect("a connection");
    stream.write_all(bytes).expect("sent");
    stream.shutdown(Shutdown::Write).expect("ended");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply
}

fn request(params: &str) -> Vec<u8> {
    let block = format!("CONTENT_LENGTH\x005\x00SCGI\x001\x00{params}");
    format!("{}:{block},hello", block.len()).into_bytes()
}

/// Ends the server and returns what it said.
fn end(server: EchoServer) -> String {
    server.signal(Signal::TERM);
    server.wait().1
}

#[test]
fn a_span_for_each_request() {
    for runtime in RUNTIMES {
        let server = echo(runtime, "debug", &["127.0.0.1:0"]);
        let params = "REQUEST_METHOD\0POST\0REQUEST_URI\0/form?token=secret1\0\
                      HTTP_COOKIE\0secret2\0HTTP_AUTHORIZATION\0secret3\0";
        let sent = request(params);
        let reply = send(&server, &sent);
        let said = end(server);
        let line = said.lines().find(|line| line.contains("answered")).unwrap_or(&said);
        let (received, answered) = (sent.len(), reply.len());
        for part in [
            "DEBUG request{method=POST uri=/form}: scgi: answered status=200 ",
            &format!("received={received} sent={answered} seconds="),
        ] {
            assert!(line.contains(part), "{runtime}: {line}");
        }
        assert!(!said.contains("secret"), "{runtime}: {said}");
        let counts = "accepted: 1, active: 0, denied: 0, evicted: 0, upgraded: 0, refused_400: 0";
        assert!(said.contains(counts), "{runtime}: {said}");
        let counts = format!("received: {received}, sent: {answered}");
        assert!(said.contains(&counts), "{runtime}: {said}");
    }
}

#[test]
fn refusals_with_their_reason() {
    for runtime in RUNTIMES {
        let server = echo(runtime, "warn", &["--max-body", "4", "127.0.0.1:0"]);
        send(&server, b"GET / HTTP/1.1\r\n\r\n");
        send(&server, &request(""));
        let said = end(server);
        for reason in ["this is an HTTP request", "scgi_pass", "a body of 5 bytes"] {
            assert!(said.contains(reason), "{runtime}, {reason}: {said}");
        }
        assert_eq!(said.matches("WARN").count(), 2, "{runtime}: {said}");
    }
}

#[test]
fn a_body_that_is_cut() {
    for runtime in RUNTIMES {
        let server = echo(runtime, "warn", &["127.0.0.1:0"]);
        let sent = request("REQUEST_URI\0/cut\0");
        send(&server, &sent[..sent.len() - 1]);
        let said = end(server);
        assert!(said.contains("uri=/cut"), "{runtime}: {said}");
        assert!(said.contains("refused status=400"), "{runtime}: {said}");
    }
}

#[test]
fn control_bytes_forge_no_line() {
    for runtime in RUNTIMES {
        let server = echo(runtime, "debug", &["127.0.0.1:0"]);
        let params = "REQUEST_METHOD\0GE\nT\0REQUEST_URI\0/a\r\nWARN forged\x1b[2J\0";
        send(&server, &request(params));
        let said = end(server);
        assert!(said.contains(r"method=GE\nT uri=/a\r\nWARN forged\x1b[2J}"), "{runtime}: {said}");
        assert!(!said.contains('\x1b') && !said.contains("\nWARN forged"), "{runtime}: {said}");
    }
}

#[test]
fn a_listener_that_others_reach() {
    for runtime in RUNTIMES {
        for (address, warned) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
            let said = end(echo(runtime, "warn", &[address]));
            let warnings = said.matches("SCGI has no authentication").count();
            assert_eq!(warnings, usize::from(warned), "{runtime} {address}: {said}");
        }
    }
}

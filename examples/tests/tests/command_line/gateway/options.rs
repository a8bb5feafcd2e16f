//! Other listeners, the access log, and what is printed.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{gateway_on, param, status};
use crate::tool::EchoServer;

fn exchange(mut stream: impl std::io::Read + std::io::Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply
}

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\
                   X-Forwarded-For: 192.0.2.1\r\nUser-Agent: \"x\r\n\r\n";

#[test]
fn http_on_a_unix_socket() {
    let backend = EchoServer::json("tokio");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("http.sock");
    let listen = path.to_str().expect("a path");
    let more = ["--mode", "660", "--trust", "unix"];
    let gateway = gateway_on(listen, &backend.address, &more);
    assert_eq!(gateway.address, format!("unix:{listen}"));
    assert_eq!(fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o660);
    let reply = exchange(UnixStream::connect(&path).expect("a connection"), GET);
    assert_eq!(status(&reply), 200, "{reply}");
    assert_eq!(param(&reply, "REMOTE_ADDR").as_deref(), Some("192.0.2.1"));
    // Host is checked only on loopback, and the operator should know.
    assert!(gateway.said().contains("--host NAME"), "{}", gateway.said());
    // A second one does not take the socket away, and the first one removes it at its end.
    let mut second = Command::new(scgi_tests::programs::scgi());
    let output = second.args(["gateway", listen, &backend.address]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn a_listener_that_the_parent_passes() {
    let backend = EchoServer::json("tokio");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("its address");
    let mut command = Command::new(scgi_tests::programs::scgi());
    command.args(["gateway", "fd:0", &backend.address]).stdin(OwnedFd::from(listener));
    let gateway = EchoServer::start_command(command);
    assert_eq!(gateway.address, format!("http://{address}"));
    let request = GET.replace("app.example", "localhost");
    let reply = exchange(TcpStream::connect(address).expect("a connection"), &request);
    assert_eq!(status(&reply), 200, "{reply}");
}

/// Starts it quietly on a port of its own, with its two outputs in files, and waits for it.
fn start_quiet(dir: &Path, backend: &str, more: &[&str]) -> (std::process::Child, String) {
    let port = scgi_tests::process::free_port().expect("a port");
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(scgi_tests::programs::scgi());
    command.args(["gateway", "--quiet", &address, backend]).args(more).stdin(Stdio::null());
    command.stdout(File::create(dir.join("out")).expect("a file"));
    command.stderr(File::create(dir.join("err")).expect("a file"));
    let child = command.spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(&address).is_err() {
        assert!(Instant::now() < deadline, "it does not listen");
        thread::sleep(Duration::from_millis(10));
    }
    (child, address)
}

#[test]
fn access_logs() {
    let backend = EchoServer::json("tokio");
    for format in ["combined", "json"] {
        let dir = tempfile::tempdir().expect("a folder");
        let more = ["--access-log", format, "--trust", "127.0.0.1", "--host", "app.example"];
        let (mut child, address) = start_quiet(dir.path(), &backend.address, &more);
        let reply = exchange(TcpStream::connect(&address).expect("a connection"), GET);
        assert_eq!(status(&reply), 200, "{reply}");
        let refused = GET.replace("app.example", "evil.example");
        let reply = exchange(TcpStream::connect(&address).expect("a connection"), &refused);
        assert_eq!(status(&reply), 403, "{reply}");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::TERM).expect("the signal is sent");
        assert!(child.wait().expect("its end").success());
        let log = fs::read_to_string(dir.path().join("out")).expect("a log");
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 2, "{log}");
        if format == "combined" {
            assert!(lines[0].starts_with("192.0.2.1 - - ["), "{log}");
            assert!(lines[0].contains("\"GET /a?b HTTP/1.1\" 200 "), "{log}");
            assert!(lines[0].ends_with("\"-\" \"\\x22x\""), "{log}");
            assert!(lines[1].contains("\" 403 "), "{log}");
        } else {
            let entry: serde_json::Value = serde_json::from_str(lines[0]).expect("JSON");
            assert_eq!((&entry["status"], &entry["complete"]), (&200.into(), &true.into()));
            assert_eq!((&entry["client"], &entry["uri"]), (&"192.0.2.1".into(), &"/a?b".into()));
        }
        assert_eq!(fs::read_to_string(dir.path().join("err")).expect("a file"), "");
    }
}

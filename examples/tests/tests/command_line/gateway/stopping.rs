//! SIGTERM with requests in progress, also as process 1 of a container.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use scgi_tests::process::required;

use super::{authority, connect, gateway, status};
use crate::tool::EchoServer;

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A gateway with a request that its server has got and not yet answered.
fn in_progress(more: &[&str]) -> (EchoServer, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let gateway = gateway(&listener.local_addr().expect("its address").to_string(), more);
    let mut browser = connect(&gateway);
    browser.write_all(GET.as_bytes()).expect("it is sent");
    let (server, _) = listener.accept().expect("a connection");
    (gateway, browser, server)
}

fn answer(mut server: TcpStream) {
    let _ = server.read(&mut [0; 4096]).expect("a request");
    server.write_all(b"Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello").expect("it is sent");
}

fn until_closed(mut browser: TcpStream) -> String {
    let mut reply = String::new();
    browser.read_to_string(&mut reply).expect("a reply and a close");
    reply
}

#[test]
fn requests_in_progress_are_finished() {
    for signal in [Signal::TERM, Signal::INT] {
        let (gateway, browser, server) = in_progress(&[]);
        // Connections without a request do not hold it up.
        let _idle = connect(&gateway);
        gateway.signal(signal);
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(authority(&gateway)).is_ok() {
            assert!(Instant::now() < deadline, "it goes on accepting");
            thread::sleep(Duration::from_millis(10));
        }
        answer(server);
        let reply = until_closed(browser);
        assert!(status(&reply) == 200 && reply.ends_with("hello"), "{reply}");
        let (code, said) = gateway.wait();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("after the signal 1 finished, 0 aborted"), "{said}");
    }
}

#[test]
fn the_deadline_and_a_second_signal_abort_requests() {
    for second in [false, true] {
        let deadline = if second { "60s" } else { "300ms" };
        let (gateway, mut browser, _server) = in_progress(&["--shutdown-deadline", deadline]);
        let begun = Instant::now();
        gateway.signal(Signal::TERM);
        if second {
            // Two signals that come together are one.
            while TcpStream::connect(authority(&gateway)).is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
            gateway.signal(Signal::TERM);
        }
        let (code, said) = gateway.wait();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("0 finished, 1 aborted"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        let mut reply = Vec::new();
        // Nothing that looks like a response.
        let _ = browser.read_to_end(&mut reply);
        assert!(reply.is_empty(), "{}", String::from_utf8_lossy(&reply));
    }
}

/// Whether this machine lets a test make a process 1.
fn can_unshare() -> bool {
    if !required("unshare") {
        return false;
    }
    let can = Command::new("unshare").args(["-Upf", "--map-root-user", "true"]).output();
    let can = can.is_ok_and(|output| output.status.success());
    if !can {
        let _ = writeln!(std::io::stderr(), "SKIPPED: unshare -Upf is not allowed here");
    }
    can
}

/// The first process of a namespace gets a signal only if it has a handler for it.
#[test]
fn process_1_of_a_container_stops_with_a_request_in_progress() {
    if !can_unshare() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let backend = listener.local_addr().expect("its address").to_string();
    let mut child = Command::new("unshare")
        .args(["-Upf", "--map-root-user", "--kill-child"])
        .arg(scgi_tests::programs::scgi())
        .args(["gateway", "127.0.0.1:0", &backend])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
    stdout.read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("Listening on http://").expect("an address");
    let mut browser = TcpStream::connect(address).expect("a connection");
    browser.write_all(GET.as_bytes()).expect("it is sent");
    let (server, _) = listener.accept().expect("a connection");
    let id = child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("a list");
    let gateway = children.trim().parse().ok().and_then(Pid::from_raw).expect("one child");
    kill_process(gateway, Signal::TERM).expect("the signal is sent");
    // It is caught, and the request continues.
    thread::sleep(Duration::from_millis(300));
    answer(server);
    let reply = until_closed(browser);
    assert!(status(&reply) == 200 && reply.ends_with("hello"), "{reply}");
    let ended = child.wait().expect("its end");
    assert_eq!(ended.code(), Some(0));
}

//! `scgi echo`: its limits and its end.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::tool::{EchoServer, RUNTIMES, scgi, text};
use rustix::process::Signal;
use scgi_tests::process::scratch_dir;

/// A request without its last byte.
const HELD: &[u8] = b"24:CONTENT_LENGTH\x002\x00SCGI\x001\x00,h";

fn connect(server: &EchoServer, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).expect("a connection");
    stream.write_all(bytes).expect("sent");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    // The server shall have it before the test continues.
    thread::sleep(Duration::from_millis(100));
    stream
}

fn read(stream: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    match stream.read_to_end(&mut reply) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8(reply).expect("text"),
    }
}

#[test]
fn ends_when_all_is_finished() {
    for runtime in RUNTIMES {
        for signal in [Signal::TERM, Signal::INT] {
            let server = EchoServer::json(runtime);
            let mut held = connect(&server, HELD);
            server.signal(signal);
            // A connection to see whether it still listens could be one that it serves.
            thread::sleep(Duration::from_millis(200));
            held.write_all(b"i").expect("sent");
            assert!(read(&mut held).contains("\"body_length\":2"), "{runtime}");
            let (code, said) = server.wait();
            assert_eq!(code, Some(0), "{runtime}: {said}");
            assert_eq!(said, "1 served; after the signal 1 finished, 0 aborted\n", "{runtime}");
        }
    }
}

#[test]
fn tells_that_something_was_aborted() {
    for runtime in RUNTIMES {
        let args = ["--runtime", runtime, "--shutdown-deadline", "300ms", "127.0.0.1:0"];
        let server = EchoServer::start(&args);
        let _held = connect(&server, HELD);
        let started = Instant::now();
        server.signal(Signal::TERM);
        let (code, said) = server.wait();
        assert_eq!(code, Some(1), "{runtime}: {said}");
        assert!(said.ends_with(" 0 finished, 1 aborted\n"), "{runtime}: {said}");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn a_second_signal_ends_it_immediately() {
    for runtime in RUNTIMES {
        let server = EchoServer::start(&["--runtime", runtime, "127.0.0.1:0"]);
        // Its request runs, and would for some time.
        let _upload = connect(&server, HELD);
        server.signal(Signal::TERM);
        thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        server.signal(Signal::INT);
        let (code, said) = server.wait();
        assert!(begun.elapsed() < Duration::from_secs(5), "{runtime}: {:?}", begun.elapsed());
        assert_eq!((code, said.as_str()), (Some(1), "ended by a second signal\n"), "{runtime}");
    }
}

#[test]
fn ends_at_once_when_nothing_runs_and_removes_its_socket() {
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("echo.sock");
        let server = EchoServer::start(&["--runtime", runtime, text(&path)]);
        scgi(["request", text(&path)]).ok();
        server.signal(Signal::TERM);
        let (code, said) = server.wait();
        assert_eq!((code, path.exists()), (Some(0), false), "{runtime}: {said}");
    }
}

#[test]
fn limits_of_the_request() {
    for runtime in RUNTIMES {
        for (flag, value, status) in
            [("--max-head", "100", 431), ("--max-params", "3", 431), ("--max-body", "4", 413)]
        {
            let args = ["--runtime", runtime, flag, value, "127.0.0.1:0"];
            let server = EchoServer::start(&args);
            let format = "%{status}";
            let run =
                scgi(["request", &server.address, "-d", "hello", "-o", "/dev/null", "-w", format]);
            assert_eq!(run.ok().text(), status.to_string(), "{runtime} {flag}");
        }
    }
}

#[test]
fn limits_of_time() {
    for runtime in RUNTIMES {
        for (flag, sent) in [("--head-timeout", &HELD[..9]), ("--body-timeout", HELD)] {
            let args = ["--runtime", runtime, flag, "300ms", "127.0.0.1:0"];
            let server = EchoServer::start(&args);
            let mut stream = connect(&server, sent);
            let started = Instant::now();
            read(&mut stream);
            // The reply ends at once, and not with the drain behind it.
            assert!(started.elapsed() < Duration::from_secs(3), "{runtime} {flag}");
        }
    }
}

#[test]
fn one_connection_at_a_time() {
    for runtime in RUNTIMES {
        let args = ["--runtime", runtime, "--max-connections", "1", "127.0.0.1:0"];
        let server = EchoServer::start(&args);
        let mut held = connect(&server, HELD);
        let run = scgi(["request", &server.address, "--timeout", "300ms"]);
        assert_eq!(run.code, Some(1), "{runtime}");
        held.write_all(b"i").expect("sent");
        assert!(read(&mut held).contains("body length: 2"), "{runtime}");
        scgi(["request", &server.address, "--timeout", "10"]).ok();
    }
}

#[test]
fn cannot_start() {
    let server = EchoServer::json("tokio");
    for runtime in RUNTIMES {
        let run = scgi(["echo", "--runtime", runtime, &server.address]);
        let address = &server.address;
        let reason = "Address already in use (os error 98)";
        run.failed(1, &format!("scgi: cannot listen on {address}: {reason}"));
        let run = scgi(["echo", "--runtime", runtime, "./Cargo.toml"]);
        assert_eq!(run.code, Some(1));
        assert!(
            run.stderr.starts_with("scgi: cannot listen on unix:./Cargo.toml: "),
            "{}",
            run.stderr
        );
    }
    for args in [
        &["echo"][..],
        &["echo", "no-address"],
        &["echo", "--max-connections", "0", "a:1"],
        &["echo", "--head-timeout", "-1", "a:1"],
        &["echo", "--max-body", "lots", "a:1"],
    ] {
        assert_eq!(scgi(args).code, Some(2), "{args:?}");
    }
}

//! `scgi check`, against `scgi echo` and servers that do not do what they should.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::tool::{EchoServer, RUNTIMES, Run, scgi, text};
use scgi_tests::process::scratch_dir;
use serde_json::Value;

fn json(run: &Run) -> Value {
    serde_json::from_slice(&run.stdout).expect("JSON")
}

/// A server that does this with each connection, each in its thread.
fn server(serve: fn(TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Reads what comes within a moment.
fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut buf = [0; 65_536];
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    let count = stream.read(&mut buf).unwrap_or(0);
    buf[..count].to_vec()
}

fn ok(stream: &mut TcpStream) {
    // The client may have gone.
    let _ = stream.write_all(b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nok");
}

/// Answers everything.
fn easy(mut stream: TcpStream) {
    read(&mut stream);
    ok(&mut stream);
}

/// Answers good requests, and neither answers nor closes on anything that begins with a zero or
/// has a param of that name.
fn hanging(mut stream: TcpStream) {
    let bytes = read(&mut stream);
    if bytes.starts_with(b"0") || bytes.windows(7).any(|part| part == b"X_EMPTY") {
        thread::sleep(Duration::from_secs(20));
    }
    ok(&mut stream);
}

#[test]
fn our_servers_pass_every_case() {
    for runtime in RUNTIMES {
        let server = EchoServer::start(&["--runtime", runtime, "127.0.0.1:0"]);
        let run = scgi(["check", &server.address, "--json", "--timeout", "20s"]);
        let report = json(&run);
        let cases = report["cases"].as_array().expect("cases");
        for case in cases {
            assert_eq!(case["mark"], "passed", "{runtime}: {case}");
        }
        assert!(cases.len() >= 50, "{}", cases.len());
        assert_eq!(report["passed"], cases.len());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
}

#[test]
fn a_unix_socket_and_a_request_of_ones_own() {
    let folder = scratch_dir().expect("a folder");
    let path = folder.path().join("echo.sock");
    let _server = EchoServer::start(&["--runtime", "blocking", text(&path)]);
    let args = ["--uri", "/a?b", "-X", "PUT", "-H", "X-A: b", "-p", "C=d", "-d", "body"];
    let run = scgi([&["check", text(&path)][..], &args, &["--only", "1,24,37"]].concat()).ok();
    assert!(run.text().starts_with("Requests\n   1 ok      a good request "), "{}", run.text());
    assert!(run.text().contains("\n\nHow a request arrives\n  24 ok "), "{}", run.text());
    assert!(run.text().ends_with("\n3 passed, 0 lenient, 0 failed\n"), "{}", run.text());
    assert!(!run.text().contains('\x1b'), "colours without a terminal");
}

#[test]
fn a_server_that_takes_everything_is_lenient() {
    let folder = scratch_dir().expect("a folder");
    let junit = folder.path().join("junit.xml");
    let args = ["check", &server(easy), "--only", "1,40,50", "--junit", text(&junit)];
    let run = scgi(args);
    assert_eq!(run.code, Some(3), "{}", run.text());
    assert!(run.text().ends_with("\n1 passed, 2 lenient, 0 failed\n"), "{}", run.text());
    assert!(run.text().contains("accepted: 200"), "{}", run.text());
    let xml = fs::read_to_string(&junit).expect("a report");
    let document = roxmltree::Document::parse(&xml).expect("XML");
    let suite = document.root_element();
    assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("3"), Some("2")));
    let failures = document.descendants().filter(|node| node.has_tag_name("failure"));
    let kinds: Vec<_> = failures.map(|node| node.attribute("type")).collect();
    assert_eq!(kinds, [Some("should"), Some("should")]);
}

#[test]
fn a_hang_fails_whatever_the_case() {
    let run = scgi(["check", &server(hanging), "--timeout", "500ms", "--only", "1,8,50", "--json"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let report = json(&run);
    let marks: Vec<_> =
        report["cases"].as_array().expect("cases").iter().map(|c| &c["mark"]).collect();
    assert_eq!(marks, ["passed", "failed", "failed"], "{report}");
    assert_eq!(report["cases"][2]["what"], "hangs: no reply, even after the end of input");
}

#[test]
fn a_crash_fails_and_ends_the_run_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let bytes = read(&mut stream);
            if bytes.starts_with(b"+") {
                return;
            }
            ok(&mut stream);
        }
    });
    let run = scgi(["check", &address, "--timeout", "500ms", "--only", "1,48,49,50"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.text().contains("then a good request is not answered"), "{}", run.text());
    assert_eq!(run.text().matches("not run: the backend is gone").count(), 2, "{}", run.text());
}

#[test]
fn faults_of_the_reply() {
    let server = server(|mut stream| {
        read(&mut stream);
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nok");
        thread::sleep(Duration::from_secs(20));
    });
    let run = scgi(["check", &server, "--only", "30,31,32,33,34,36"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    for fault in [
        "left open",
        "HTTP status line",
        "a body without Content-Type",
        "1 bytes more than stated",
        "has Connection",
        "2 bytes of body",
    ] {
        assert!(run.text().contains(fault), "{fault}: {}", run.text());
    }
}

#[test]
fn a_server_without_an_answer_to_the_good_request() {
    let silent = server(|mut stream| {
        read(&mut stream);
    });
    let run = scgi(["check", &silent]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("does not answer the good request but closes"), "{}", run.stderr);
    // It accepts and never answers: that is something else than being gone.
    let stuck = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = stuck.local_addr().expect("its address").to_string();
    let run = scgi(["check", &address, "--timeout", "300ms"]);
    assert_eq!(run.code, Some(1));
    let text = "accepts the connection but does not answer within 300ms; it is stuck";
    assert!(run.stderr.contains(text), "{}", run.stderr);
    let run = scgi(["check", "127.0.0.1:1"]);
    assert_eq!(run.code, Some(1));
    let refused = "scgi: cannot connect to 127.0.0.1:1: Connection refused (os error 111); nothing";
    assert!(run.stderr.starts_with(refused), "{}", run.stderr);
}

#[test]
fn usage() {
    for args in [
        &["check"][..],
        &["check", "no-address"],
        &["check", "a:1", "--only", "0"],
        &["check", "a:1", "--only", "1,999"],
        &["check", "a:1", "--only", "x"],
        &["check", "a:1", "--timeout", "soon"],
    ] {
        assert_eq!(scgi(args).code, Some(2), "{args:?}");
    }
    let run = scgi(["check", "--list"]).ok();
    assert!(run.text().lines().count() >= 50, "{}", run.text());
    assert!(run.text().starts_with("   1 must   a good request "), "{}", run.text());
}

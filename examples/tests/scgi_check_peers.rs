//! `scgi check` against SCGI servers written by others: it comes to an end, and tells what is
//! known of them.

mod tool;

use std::io;

use scgi_examples::backend_peer::Peer;
use scgi_examples::process::required;
use serde_json::Value;
use tool::scgi;

/// The report on a server, unless it is not installed. `marks` are (name of a case, its mark).
fn check(program: &str, start: fn() -> io::Result<Peer>, request: &[&str], marks: &[(&str, &str)]) {
    if !required(program) {
        return;
    }
    let peer = start().expect("the server starts");
    let address = peer.address().to_string();
    let run = scgi([&["check", &address, "--json", "--timeout", "1s"][..], request].concat());
    let report: Value = serde_json::from_slice(&run.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", run.stderr));
    let cases = report["cases"].as_array().expect("cases");
    let all = scgi(["check", "--list"]).ok().text().lines().count();
    assert_eq!(cases.len(), all);
    let expected = if report["failed"] != 0 {
        1
    } else if report["lenient"] != 0 {
        3
    } else {
        0
    };
    assert_eq!(run.code, Some(expected), "{}", run.stderr);
    for (name, mark) in marks {
        let case = cases.iter().find(|case| case["name"] == *name).expect("a case");
        assert_eq!(case["mark"], *mark, "{case}");
    }
    let gone = cases.iter().filter(|case| case["what"] == "not run: the backend is gone").count();
    assert_eq!(gone, 0, "{report}");
}

const VERSION_CALL: &str =
    "<methodCall><methodName>system.client_version</methodName></methodCall>";

#[test]
fn rtorrent() {
    let request = ["--uri", "/RPC2", "-H", "Content-Type: text/xml", "-d", VERSION_CALL];
    let marks = [
        ("a good request", "passed"),
        ("byte by byte", "passed"),
        // It closes without a reply.
        ("no body: CONTENT_LENGTH is 0", "failed"),
        ("; in place of the comma", "lenient"),
    ];
    check("rtorrent", Peer::rtorrent_tcp, &request, &marks);
}

#[test]
fn uwsgi() {
    let marks = [
        ("a good request", "passed"),
        ("HTTP_COOKIE twice", "passed"),
        ("the reply to HEAD has no body", "lenient"),
        ("CONTENT_LENGTH twice, different", "lenient"),
    ];
    check("uwsgi-core", Peer::uwsgi_tcp, &[], &marks);
}

#[test]
fn python_scgi() {
    let marks = [("a good request", "passed"), ("byte by byte", "passed")];
    check("python scgi", Peer::python_scgi, &[], &marks);
}

#[test]
fn flup() {
    let marks = [("a good request", "passed"), ("byte by byte", "passed")];
    check("python flup", Peer::flup, &[], &marks);
}

#[test]
fn perl() {
    let marks = [("a good request", "passed"), ("byte by byte", "passed")];
    check("perl SCGI", Peer::perl, &[], &marks);
}

//! `scgi request -v` and `--offline`: what is sent, what comes, and what would be sent.

use std::fs;

use scgi_tests::process::scratch_dir;

use crate::tool::{EchoServer, RUNTIMES, scgi, text, vector};

/// The lines with a mark in front, without it.
fn marked<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(mark)).collect()
}

#[test]
fn verbose_shows_request_and_response_head_on_each_runtime() {
    for runtime in RUNTIMES {
        let server = EchoServer::start(&["--runtime", runtime, "127.0.0.1:0"]);
        let args = ["request", "--runtime", runtime, &server.address, "/a?b", "-d", "hello", "-v"];
        let run = scgi(args).ok();
        let sent = marked(&run.stderr, "> ");
        assert_eq!(sent[..2], ["CONTENT_LENGTH=5", "SCGI=1"], "{runtime}: {}", run.stderr);
        assert!(sent.contains(&"REQUEST_URI=/a?b"), "{runtime}: {}", run.stderr);
        // The server prints what it got.
        let got: Vec<_> = run.text().lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(sent, got, "{runtime}");
        let came = marked(&run.stderr, "< ");
        assert_eq!(came[0], "Status: 200 OK", "{runtime}: {}", run.stderr);
        let notes = marked(&run.stderr, "* ");
        assert_eq!(notes[0], format!("connecting to {}", server.address), "{runtime}");
        assert!(notes[1].starts_with("connected in "), "{runtime}: {notes:?}");
        assert_eq!(notes[2], "and 5 bytes of body", "{runtime}");
        let end = format!("and {} bytes of body; head after ", run.stdout.len());
        assert!(notes[3].starts_with(&end), "{runtime}: {notes:?}");
    }
}

#[test]
fn verbose_shows_what_a_server_that_fails_got() {
    let run = scgi(["request", "-v", "127.0.0.1:1"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.starts_with("* connecting to 127.0.0.1:1\nscgi: cannot connect"),
        "{}",
        run.stderr
    );
}

#[test]
fn verbose_escapes_control_bytes() {
    let server = EchoServer::start(&["127.0.0.1:0"]);
    let run = scgi(["request", "-v", &server.address, "-H", "X: \u{1b}[31m"]).ok();
    assert!(!run.stderr.contains('\u{1b}') && run.stderr.contains("> HTTP_X="), "{}", run.stderr);
}

#[test]
fn offline_prints_what_a_request_sends() {
    let folder = scratch_dir().expect("a folder");
    let saved = folder.path().join("sent.scgi");
    let server = EchoServer::start(&["127.0.0.1:0"]);
    for more in [
        &["/x?y=z"][..],
        &["-d", "hello"],
        &["-X", "HEAD"],
        &["-H", "Host: h", "-T", "/etc/passwd"],
    ] {
        let request =
            |flags: &[&str]| scgi([&["request", &server.address][..], more, flags].concat()).ok();
        request(&["--save", text(&saved)]);
        let decoded = scgi(["decode", text(&saved)]).ok();
        assert_eq!(request(&["--offline"]).text(), decoded.text(), "{more:?}");
    }
}

#[test]
fn offline_needs_no_server_and_refuses_what_cannot_be_sent() {
    let capture = vector("nginx/post_bin_4k", "scgi");
    let decoded = scgi(["decode", text(&capture)]).ok();
    let shown = scgi(["request", "/no/such.sock", "--offline", "--raw", text(&capture)]).ok();
    assert_eq!(shown.text(), decoded.text());

    let folder = scratch_dir().expect("a folder");
    let bad = folder.path().join("bad");
    fs::write(&bad, "5:abc").expect("a file");
    let run = scgi(["request", "/no/such.sock", "--offline", "--raw", text(&bad)]);
    run.failed(1, "scgi: the bytes end before the head of a request is complete");
    let run = scgi(["request", "/no/such.sock", "--offline", "-p", "CONTENT_LENGTH=7"]);
    assert_eq!((run.code, run.text()), (Some(1), ""), "{}", run.stderr);
}

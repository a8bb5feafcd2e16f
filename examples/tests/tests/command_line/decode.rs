//! `scgi decode` on captures of real front servers.

use std::fs;
use std::path::PathBuf;

use crate::tool::{scgi, scgi_with, text, vector};
use scgi_tests::process::scratch_dir;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// All captures of one front server, without their extension.
fn captures(server: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(vector(server, "")).expect("the vectors");
    let paths = folder.map(|entry| entry.expect("an entry").path());
    let captures: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ext| ext == "scgi")).collect();
    assert!(captures.len() > 30, "only {} of {server}", captures.len());
    captures
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// What `decode --json` must print for a capture, from the description beside it.
fn expected(capture: &std::path::Path) -> (bool, Value) {
    let recorded = json_of(&fs::read(capture.with_extension("json")).expect("a description"));
    let value = json!({
        "params": recorded["headers"],
        "content_length": recorded["content_length"],
        "body_length": recorded["body_len"],
        "surplus": recorded["surplus_after_body"],
    });
    (recorded["complete"] == true, value)
}

fn decodes(server: &str) {
    for capture in captures(server) {
        let name = text(&capture);
        let run = scgi(["decode", "--json", name]);
        let (complete, expected) = expected(&capture);
        if !complete {
            assert_eq!(run.code, Some(1), "{name}");
            assert!(run.stdout.is_empty(), "{name}");
            assert!(
                run.stderr.contains("the input ended in the request body, at least "),
                "{name}"
            );
            continue;
        }
        let run = run.ok();
        assert_eq!(json_of(&run.stdout), expected, "{name}");
        assert_eq!(run.text().lines().count(), 1, "{name}");
        assert_eq!(run.stderr, "", "{name}");
    }
}

#[test]
fn nginx() {
    decodes("nginx");
}

#[test]
fn apache() {
    decodes("apache");
}

#[test]
fn lighttpd() {
    decodes("lighttpd");
}

#[test]
fn any_chunk_gives_the_same() {
    for name in
        ["nginx/get_query", "nginx/nobuf_surplus", "nginx/post_bin_4k", "lighttpd/post_form"]
    {
        let path = vector(name, "scgi");
        let whole = scgi(["decode", "--json", text(&path)]).ok();
        for chunk in ["1", "2", "7", "4096", "18446744073709551615"] {
            let chunked = scgi(["decode", "--json", "--chunk", chunk, text(&path)]).ok();
            assert_eq!(chunked.text(), whole.text(), "{name} {chunk}");
        }
    }
    let cut = vector("apache/post_cut_short", "scgi");
    let whole = scgi(["decode", text(&cut)]);
    assert_eq!(scgi(["decode", "--chunk", "1", text(&cut)]).stderr, whole.stderr);
}

#[test]
fn standard_input_and_text() {
    let run =
        scgi_with(["decode"], b"28:CONTENT_LENGTH\x002\x00A\x00\xff\x1b[2J\x00B\x00\x00,hi").ok();
    let text = "CONTENT_LENGTH=2\nA=\\xff\\x1b[2J\nB=\n\nparams: 3\ncontent length: 2\nbody length: 2\n\
                surplus: 0\n";
    assert_eq!(run.text(), text);

    let run = scgi_with(["decode", "--json"], b"4:A\x00\xff\x00,").ok();
    let json =
        "{\"params\":[[\"A\",\"\u{ff}\"]],\"content_length\":0,\"body_length\":0,\"surplus\":0}\n";
    assert_eq!(run.text(), json);
}

#[test]
fn the_shortest_request_and_what_follows() {
    let run = scgi_with(["decode", "--json"], b"0:,\r\n").ok();
    assert_eq!(json_of(&run.stdout)["surplus"], 2);
    scgi_with(["decode", "--strict"], b"0:,")
        .failed(1, "scgi: standard input: the header block is empty");
}

#[test]
fn input_that_is_no_whole_request() {
    for (input, reason) in [
        (&b""[..], "the input is empty"),
        (b"4", "standard input: the input ended in the netstring length, at least "),
        (b"4:A\0", "standard input: the input ended in the header block, at least "),
        (b"24:CONTENT_LENGTH\x005\x00SCGI\x001\x00,abc", "at least 2 bytes early"),
        (b"24:CONTENT_LENGTH\x00x\x00SCGI\x001\x00,", "CONTENT_LENGTH at offset "),
        (b"GET / HTTP/1.1\r\n\r\n", "standard input: this is an HTTP request, not SCGI: "),
        (b"09:", "the netstring length begins with a superfluous zero"),
    ] {
        for args in [&["decode"][..], &["decode", "--json"], &["decode", "--chunk", "1"]] {
            let run = scgi_with(args, input);
            assert_eq!((run.code, run.text()), (Some(1), ""), "{input:?}");
            assert!(run.stderr.starts_with("scgi: "), "{}", run.stderr);
            assert!(run.stderr.contains(reason), "{} is not {reason}", run.stderr);
            assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        }
    }
}

#[test]
fn strict_refuses_what_nginx_sends_twice() {
    let path = vector("nginx/dup_cookie", "scgi");
    let run = scgi(["decode", "--json", text(&path)]).ok();
    assert_eq!(run.text().matches("HTTP_COOKIE").count(), 2);
    let run = scgi(["decode", "--strict", text(&path)]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.ends_with(" appears twice\n"), "{}", run.stderr);
    scgi(["decode", "--strict", text(&vector("nginx/get_query", "scgi"))]).ok();
}

#[test]
fn limits_are_told() {
    let path = vector("nginx/post_bin_4k", "scgi");
    for (limit, value, reason) in [
        ("--max-head", "64", "over the limit of 64 bytes"),
        ("--max-params", "3", "there are more than 3 params"),
        ("--max-body", "4095", "a body of 4096 bytes is over the limit of 4095 bytes"),
    ] {
        let run = scgi(["decode", limit, value, text(&path)]);
        assert_eq!(run.code, Some(1), "{limit}");
        assert!(run.stderr.contains(reason), "{}", run.stderr);
    }
    scgi(["decode", "--max-head", "1MiB", "--max-body", "4KiB", text(&path)]).ok();
}

#[test]
fn the_body_goes_to_a_file() {
    let folder = scratch_dir().expect("a folder");
    let out = folder.path().join("body");
    let capture = vector("nginx/nobuf_surplus", "scgi");
    scgi(["decode", "--body-out", text(&out), text(&capture)]).ok();
    let body = fs::read(&out).expect("the body");
    let recorded = json_of(&fs::read(capture.with_extension("json")).expect("a description"));
    assert_eq!(recorded["body_sha256"], format!("{:x}", Sha256::digest(&body)));

    // A file that cannot be made, and one that is left alone when there is no request.
    let nowhere = folder.path().join("none/body");
    assert_eq!(scgi(["decode", "--body-out", text(&nowhere), text(&capture)]).code, Some(1));
    assert_eq!(scgi_with(["decode", "--body-out", text(&out)], b"x").code, Some(1));
    assert_eq!(fs::read(&out).expect("the body"), body);
}

#[test]
fn usage() {
    for args in [
        &["decode", "--chunk", "0", "x"][..],
        &["decode", "--chunk", "-1", "x"],
        &["decode", "a", "b"],
        &["decode", "--max-head", "1x"],
        &["decode", "--nothing"],
        &["nothing"],
        &[],
    ] {
        let run = scgi(args);
        assert_eq!((run.code, run.text()), (Some(2), ""), "{args:?}");
        assert!(!run.stderr.is_empty());
    }
    let run = scgi(["decode", "no-such-file"]);
    run.failed(1, "scgi: no-such-file: No such file or directory (os error 2)");
}

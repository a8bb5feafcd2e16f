//! What the program shows on a terminal and nowhere else: colours and a progress bar.

use std::fs;
use std::process::{Command, Stdio};

use crate::tool::{EchoServer, RUNTIMES, scgi, text};
use scgi_tests::process::{required, scratch_dir};

/// What a terminal gets of a run of the program; `before` sets its variables.
fn on_a_terminal(before: &str, args: &[&str]) -> String {
    let program = scgi_tests::programs::scgi();
    let line = format!("{before} '{}' {}", program.display(), args.join(" "));
    let mut script = Command::new("script");
    // Of the caller's variables those that switch colours off are not for the test.
    script.args(["-qec", &line, "/dev/null"]).env_remove("NO_COLOR").env("TERM", "xterm");
    let output = script.stdin(Stdio::null()).output().expect("script runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    shown
}

#[test]
fn colours() {
    if !required("script") {
        return;
    }
    let server = EchoServer::json("tokio");
    let check = ["check", &server.address, "--only", "1"];
    let shown = on_a_terminal("", &check);
    assert!(shown.contains("1 \x1b[32mok     \x1b[0m a good request"), "{shown:?}");
    let shown = on_a_terminal("NO_COLOR=1", &check);
    assert!(shown.contains("1 ok      a good request") && !shown.contains('\x1b'), "{shown:?}");
    assert!(!scgi(check).ok().stdout.contains(&b'\x1b'));
}

#[test]
fn a_progress_bar() {
    if !required("script") {
        return;
    }
    let folder = scratch_dir().expect("a folder");
    let file = folder.path().join("upload");
    fs::write(&file, vec![0; 4 << 20]).expect("a file");
    let server = EchoServer::json("tokio");
    for runtime in RUNTIMES {
        let upload = ["request", &server.address, "--runtime", runtime, "-T", text(&file)];
        let shown = on_a_terminal("", &upload);
        assert!(shown.contains(" of 4.00 MiB sent, "), "{runtime}: {shown:?}");
        let run = scgi(upload).ok();
        assert!(run.stderr.is_empty() && run.text().starts_with('{'), "{runtime}: {run:?}");
    }
}

#[test]
fn control_characters_of_a_head() {
    use std::io::{Read as _, Write as _};
    if !required("script") {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"Status: 200 OK\r\nX: a\x1b[2J\xc2\x9b\xff\r\n\r\n\x1bbody");
        }
    });
    let request = ["request", "-i", &address];
    let shown = on_a_terminal("", &request);
    // The body is the program's business.
    assert!(
        shown.contains("X: a\\u{1b}[2J\\u{9b}\\xff\r") && shown.contains("\x1bbody"),
        "{shown:?}"
    );
    let run = scgi(request).ok();
    assert!(run.stdout.windows(7).any(|part| part == b"a\x1b[2J\xc2\x9b"), "{run:?}");
}

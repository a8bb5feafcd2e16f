//! The examples do what their first lines say.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::tool::{EchoServer, scgi};
use rustix::process::{Signal, getgid};
use scgi_tests::programs::example;

/// An example on a free port, with more arguments.
fn start(name: &str, arguments: &[&str]) -> EchoServer {
    let mut command = Command::new(example(name));
    command.arg("127.0.0.1:0").args(arguments);
    EchoServer::start_command(command)
}

/// What a request to an example prints.
fn get(server: &EchoServer, arguments: &[&str]) -> String {
    let arguments = [&["request", &server.address], arguments].concat();
    String::from_utf8(scgi(arguments).ok().stdout).expect("text")
}

#[test]
fn files_are_uploaded_and_downloaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start("files", &[folder.path().to_str().expect("text")]);
    assert_eq!(get(&server, &["/a.txt", "-X", "PUT", "-d", "hello"]), "stored\n");
    assert_eq!(fs::read_to_string(folder.path().join("a.txt")).expect("the file"), "hello");
    assert_eq!(get(&server, &["/a.txt"]), "hello");
    assert_eq!(get(&server, &["/../a.txt"]), "not a file name\n");
    assert_eq!(get(&server, &["/b.txt"]), "there is no such file\n");
}

#[test]
fn form_keeps_its_entries() {
    let server = start("form", &[]);
    get(&server, &["/", "-d", "text=<b>first"]);
    assert!(get(&server, &["/"]).contains("<li>&lt;b&gt;first"));
}

#[test]
fn mounted_app_knows_its_prefix() {
    let server = start("mounted", &[]);
    let prefix = ["-p", "SCRIPT_NAME=/app"];
    let home = get(&server, &[&["/app/"], &prefix[..]].concat());
    assert_eq!(home, "<a href=\"/app/about\">About</a>");
    assert_eq!(get(&server, &[&["/app/about"], &prefix[..]].concat()), "About this app\n");
}

#[test]
fn events_end_at_shutdown() {
    let server = start("events", &[]);
    let mut client = Command::new(scgi_tests::programs::scgi());
    let client = client.args(["request", &server.address, "/events"]);
    let output = client.stdout(std::process::Stdio::piped()).spawn().expect("scgi");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    server.signal(Signal::INT);
    let output = output.wait_with_output().expect("its output");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("data: "));
}

#[test]
fn unix_socket_has_its_rights() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.sock");
    let mut command = Command::new(example("unix_socket"));
    command.arg(Path::new(&path)).arg(getgid().as_raw().to_string());
    let server = EchoServer::start_command(command);
    let mode = fs::metadata(&path).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(get(&server, &["/"]), "hello\n");
}

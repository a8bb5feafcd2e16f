//! Fossil, whose own SCGI server is cloned from through the gateway, and other real programs.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use scgi_tests::process::{Running, free_port, required, scratch_dir};

use super::gateway;
use crate::tool::scgi;

/// Runs Fossil in a folder that is its home too.
fn fossil(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("fossil");
    command.args(args).current_dir(dir).env("HOME", dir).env("FOSSIL_USER", "tester");
    command.env("USER", "tester");
    let output = command.output().expect("Fossil runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn fossil_is_cloned_through_the_gateway() {
    if !required("fossil") {
        return;
    }
    let dir = scratch_dir().expect("a folder");
    let path = dir.path();
    fossil(path, &["init", "repo.fossil"]);
    fs::create_dir(path.join("checkout")).expect("a folder");
    let checkout = path.join("checkout");
    fossil(&checkout, &["open", "../repo.fossil"]);
    // More than one round of its protocol, and not to be compressed well.
    let mut state = 1_u32;
    let content: String = (0..300_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + (state >> 24) as u8 % 26)
        })
        .collect();
    fs::write(checkout.join("file.txt"), &content).expect("a file");
    fossil(&checkout, &["add", "file.txt"]);
    fossil(&checkout, &["commit", "-m", "first", "--no-warnings"]);

    let port = free_port().expect("a port");
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new("fossil");
    command.args(["server", "--scgi", "--localhost", "--port", &port.to_string(), "repo.fossil"]);
    command.current_dir(path).env("HOME", path).env("USER", "tester");
    let mut server = Running::spawn(&mut command).expect("Fossil starts");
    server.wait_until(|| TcpStream::connect(&address).is_ok()).expect("Fossil listens");

    let gateway = gateway(&address, &[]);
    fossil(path, &["clone", &gateway.address, "clone.fossil"]);
    let log = fossil(path, &["cat", "-R", "clone.fossil", "file.txt"]);
    assert!(log == content, "{} bytes of {}", log.len(), content.len());
    // It redirects to the Host of the request: `http://index` where there is none.
    let run = scgi(["request", "-i", &address, "/"]).ok();
    assert!(run.text().contains("Location: http://localhost/"), "{}", run.text());
}

//! Each client against each server, and how much memory a large body takes in a server.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sha2::{Digest, Sha256};

const RUNTIMES: [&str; 4] = ["tokio", "async-std", "smol", "blocking"];

/// `scgi echo` on one runtime, ended when dropped.
struct Echo {
    child: Child,
    address: String,
}

impl Echo {
    fn start(runtime: &str, address: &str) -> Self {
        let mut child = Command::new(scgi_tests::programs::scgi())
            .args(["echo", address, "--runtime", runtime])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("Listening on ").expect("the address").to_owned();
        Self { child, address }
    }

    /// The largest memory so far, in KiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the state of the process");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("its peak");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(echo: &Echo, runtime: &str, file: &Path) -> String {
    let output = Command::new(scgi_tests::programs::scgi())
        .args(["request", &echo.address, "/", "--runtime", runtime, "--timeout", "60s", "-T"])
        .arg(file)
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn sixteen_pairs() {
    let folder = tempfile::tempdir().expect("a folder");
    let body: Vec<u8> = (0..300_000).map(|i| (i % 253) as u8).collect();
    let file = folder.path().join("body");
    fs::write(&file, &body).expect("written");
    let hash = format!("{:x}", Sha256::digest(&body));
    let mut count = 0;
    for server in RUNTIMES {
        let unix = format!("unix:{}", folder.path().join(server).display());
        for address in ["127.0.0.1:0", &unix] {
            let echo = Echo::start(server, address);
            for client in RUNTIMES {
                let reply = send(&echo, client, &file);
                assert!(reply.contains(&hash), "{client} to {server} at {address}: {reply}");
                count += 1;
            }
        }
    }
    assert_eq!(count, 32);
}

#[test]
fn memory_is_flat() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("body");
    let mut writer = fs::File::create(&file).expect("created");
    let mebibyte = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        writer.write_all(&mebibyte).expect("written");
    }
    let small = folder.path().join("small");
    fs::write(&small, "warm").expect("written");
    for runtime in RUNTIMES {
        let echo = Echo::start(runtime, "127.0.0.1:0");
        send(&echo, "tokio", &small);
        let before = echo.peak();
        let reply = send(&echo, "tokio", &file);
        assert!(reply.contains("body length: 67108864"), "{reply}");
        let growth = echo.peak() - before;
        println!("{runtime}: {growth} KiB more for a body of 64 MiB");
        assert!(growth < 2048, "{runtime}: {growth} KiB");
    }
}

//! Many requests, mixed with hostile ones, on every runtime: each good one is answered right, and
//! nothing is left behind.
//!
//! `SCGI_SOAK` sets how many requests each runtime gets: 5,000 if it is not set, 250,000 for a
//! long run.

#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::alone::one_at_a_time;
use crate::tool::EchoServer;
use crate::watch::Usage;
use rustix::process::Signal;
use sha2::{Digest, Sha256};

/// Requests at once.
const CLIENTS: usize = 64;

/// Numbers that look random and are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }
}

/// Every captured request that is small enough to be sent often.
fn captures() -> Vec<Vec<u8>> {
    let vectors = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scgi-proto/tests/vectors");
    let mut captures = Vec::new();
    for folder in fs::read_dir(vectors).expect("the vectors") {
        for file in fs::read_dir(folder.expect("a folder").path()).expect("a folder") {
            let path = file.expect("a file").path();
            if path.extension().is_some_and(|extension| extension == "scgi") {
                let bytes = fs::read(path).expect("a capture");
                captures.extend((1..20_000).contains(&bytes.len()).then_some(bytes));
            }
        }
    }
    assert!(captures.len() > 100, "{} captures", captures.len());
    captures
}

/// A capture with some of it changed, cut off, or repeated.
fn mutate(capture: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = capture.to_vec();
    for _ in 0..=numbers.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = numbers.below(bytes.len());
        match numbers.below(5) {
            0 => bytes[at] = numbers.next().to_le_bytes()[0],
            1 => bytes.truncate(at),
            2 => bytes.insert(at, b"0:,\0\n"[numbers.below(5)]),
            3 => drop(bytes.remove(at)),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

/// Sends what may be anything. Whatever comes back, it has to end.
fn attack(address: &str, bytes: &[u8]) {
    let mut stream = connect(address);
    // The server may have closed by now.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let begun = Instant::now();
    let _ = stream.read_to_end(&mut Vec::new());
    let took = begun.elapsed();
    let start = &bytes[..bytes.len().min(300)];
    assert!(took < Duration::from_secs(15), "{took:?} after {}", start.escape_ascii());
}

/// Sends a request that no other one is like, and checks its echo.
fn ask(address: &str, id: usize, numbers: &mut Numbers) {
    let len = [0, 1, 100, 4096, 70_000][numbers.below(5)];
    let body: Vec<_> = (0..len).map(|_| numbers.next().to_le_bytes()[0]).collect();
    let block = format!("CONTENT_LENGTH\0{len}\0SCGI\x001\0REQUEST_METHOD\0POST\0X_ID\0{id}\0");
    let mut stream = connect(address);
    stream.write_all(format!("{}:{block},", block.len()).as_bytes()).expect("sent");
    stream.write_all(&body).expect("sent");
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).expect("a reply");
    let reply = String::from_utf8(reply).expect("text");
    let json = reply.split("\r\n\r\n").nth(1).unwrap_or_else(|| panic!("{reply:?}"));
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(json["body_length"], len, "{reply}");
    assert_eq!(json["body_sha256"], format!("{:x}", Sha256::digest(&body)), "{reply}");
    assert_eq!(json["params"][3], serde_json::json!(["X_ID", id.to_string()]), "{reply}");
}

/// Sends `count` requests from many clients, every third of them hostile.
fn run(address: &str, count: usize, captures: &[Vec<u8>]) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for client in 1..=CLIENTS {
            let next = &next;
            scope.spawn(move || {
                let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ (client as u64) << 32);
                loop {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    if id >= count {
                        break;
                    }
                    if id % 3 == 2 {
                        let capture = &captures[numbers.below(captures.len())];
                        attack(address, &mutate(capture, &mut numbers));
                    } else {
                        ask(address, id, &mut numbers);
                    }
                }
            });
        }
    });
}

/// Has more connections held at once than the load will, so that a server with threads has made
/// as many as it will ever want for that: it gets up to twice as many as are held.
fn make_threads(address: &str) {
    let head = b"24:CONTENT_LENGTH\x001\x00SCGI\x001\x00,";
    let mut streams: Vec<_> = (0..3 * CLIENTS).map(|_| connect(address)).collect();
    for stream in &mut streams {
        stream.write_all(head).expect("sent");
    }
    // Longer than the server takes to see that its threads are held, each time.
    thread::sleep(Duration::from_millis(500));
    for mut stream in streams {
        stream.write_all(b"x").expect("sent");
        stream.read_to_end(&mut Vec::new()).expect("a reply");
    }
}

fn soak(runtime: &str) {
    // Two would be 128 clients at once.
    let _guard = one_at_a_time();
    let count = env::var("SCGI_SOAK").map_or(5000, |count| count.parse().expect("a number"));
    let captures = captures();
    let server = EchoServer::json(runtime);
    // Threads and memory that a busy server keeps are there after this; what grows on leaks.
    make_threads(&server.address);
    let first = 1000 + count / 5;
    run(&server.address, first, &captures);
    let first = first + 3 * CLIENTS;
    let before = Usage::of(server.pid());
    let begun = Instant::now();
    run(&server.address, count, &captures);
    println!("{runtime}: {count} requests in {:?}", begun.elapsed());
    before.await_return(server.pid(), 8 << 20, runtime);
    server.signal(Signal::TERM);
    let (code, said) = server.wait();
    assert_eq!(code, Some(0), "{runtime}: {said}");
    // A thread may still be on its way from the last close back to the next accept.
    let last = said.lines().last().unwrap_or_default();
    let served = format!("{} served; after the signal ", first + count);
    assert!(last.starts_with(&served) && last.ends_with(" 0 aborted"), "{runtime}: {last}");
    assert!(!said.contains("panicked"), "{runtime}: {said}");
}

#[test]
fn tokio() {
    soak("tokio");
}

#[test]
fn async_std() {
    soak("async-std");
}

#[test]
fn smol() {
    soak("smol");
}

#[test]
fn blocking() {
    soak("blocking");
}

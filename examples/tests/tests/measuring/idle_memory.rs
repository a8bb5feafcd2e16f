//! What a connection that sends nothing takes of a server's memory: 10,000 of them, beside the
//! bare accept loop of the same runtime (`floor`).
//!
//! Figures of a release build: `cargo test --release -p scgi-tests --examples`, then the same
//! with `--test measuring -- idle_memory --nocapture`.

#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::alone::alone;
use crate::tool::{EchoServer, text};
use crate::watch::Usage;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scgi_tests::process::scratch_dir;
use scgi_tests::programs::example;

const CONNECTIONS: usize = 10_000;

/// Threads of the blocking server, which serves no more connections at once by default.
const POOL: usize = 256;

/// Lets this process and the servers open as many descriptors as the system permits.
fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a limit");
    // A server uses three quarters of them.
    let enough = maximum.is_none_or(|maximum| maximum as usize / 4 * 3 > CONNECTIONS);
    assert!(enough, "this test needs `ulimit -Hn` of 14000: {maximum:?}");
}

fn connect(path: &Path) -> UnixStream {
    UnixStream::connect(path).expect("a connection")
}

fn ask(path: &Path) {
    let mut stream = connect(path);
    stream.write_all(b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,").expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    assert_eq!(reply.len(), 265, "{reply}");
}

/// Bytes by which an example's memory grows for each of so many connections that send nothing.
fn bytes_each(name: &str, args: &[&str], connections: usize) -> u64 {
    raise_limit();
    let folder = scratch_dir().expect("a folder");
    let path = folder.path().join("a.sock");
    let mut command = Command::new(example(name));
    command.args(args).arg(text(&path));
    let server = EchoServer::start_command(command);
    // What a server needs once is there after this.
    (0..20).for_each(|_| ask(&path));
    let before = Usage::of(server.pid());
    let held: Vec<_> = (0..connections).map(|_| connect(&path)).collect();
    let begun = Instant::now();
    while Usage::of(server.pid()).descriptors < connections {
        assert!(begun.elapsed() < Duration::from_secs(60), "{name}: not all are accepted");
        thread::sleep(Duration::from_millis(50));
    }
    // The last ones have a descriptor, and their task next.
    thread::sleep(Duration::from_millis(500));
    let after = Usage::of(server.pid());
    drop(held);
    // To wake all at once takes memory too, and allocators give little back.
    before.await_return(server.pid(), 2 * (after.memory - before.memory), name);
    let bytes = (after.memory - before.memory) / connections as u64;
    println!("{name} {}: {bytes} bytes for each of {connections}", args.join(" "));
    bytes
}

/// Compares a server with the bare loop of its runtime.
#[track_caller]
fn compare(hello: &str, runtime: &str, may_take: u64) {
    let server = bytes_each(hello, &["--max-connections", "20000"], CONNECTIONS);
    let floor = bytes_each("floor", &[runtime], CONNECTIONS);
    assert!(server <= floor + may_take, "{hello}: {server} bytes, floor {floor}");
}

#[test]
fn tokio() {
    alone(|| {
        compare("hello_tokio", "tokio", 300);
    });
}

#[test]
fn smol() {
    alone(|| {
        compare("hello_smol", "smol", 1024);
    });
}

#[test]
fn async_std() {
    alone(|| {
        compare("hello_async_std", "async-std", 1024);
    });
}

/// A thread takes what it has used of its stack, and its buffers.
#[test]
fn a_full_pool_of_threads() {
    alone(|| {
        let each = bytes_each("hello_blocking", &[], POOL);
        assert!(each <= 64 * 1024, "{each} bytes for each thread");
    });
}

//! Peers that hold on to connections, and too many of them: good requests are answered all the
//! same, and what was taken is given back.
//!
//! Each test runs on every runtime, against `scgi echo` as a process of its own.

#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::alone::one_at_a_time;
use crate::tool::{EchoServer, RUNTIMES, text};
use crate::watch::Usage;
use rustix::process::Signal;
use scgi_tests::process::scratch_dir;

/// A small complete request.
const GOOD: &[u8] = b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,";

/// A request without the last byte of its body.
const HELD: &[u8] = b"24:CONTENT_LENGTH\x002\x00SCGI\x001\x00,h";

/// What a server may keep of memory that it needed at its busiest, in bytes: allocators give
/// little back, and each of up to 256 threads keeps its stack.
fn slack(runtime: &str) -> u64 {
    if runtime == "blocking" { 32 << 20 } else { 12 << 20 }
}

fn connect(server: &EchoServer) -> TcpStream {
    let stream = TcpStream::connect(&server.address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream
}

/// Asks once; returns the reply and how long it took.
fn ask(server: &EchoServer) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = connect(server);
    stream.write_all(GOOD).expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    (reply, begun.elapsed())
}

#[track_caller]
fn ask_well(server: &EchoServer, runtime: &str) -> Duration {
    let (reply, took) = ask(server);
    assert!(reply.starts_with("Status: 200 OK\r\n"), "{runtime}: {reply:?}");
    took
}

/// Sends one byte a second of a head on each stream, until the server has closed all of them;
/// returns how long that took.
fn drip(streams: Vec<TcpStream>) -> Duration {
    let begun = Instant::now();
    let mut streams = streams;
    while !streams.is_empty() {
        streams.retain_mut(|stream| !is_closed(stream));
        let second = begun.elapsed().as_secs();
        while begun.elapsed().as_secs() == second && !streams.is_empty() {
            streams.retain_mut(|stream| !is_closed(stream));
            thread::sleep(Duration::from_millis(50));
        }
        // A write to a closed one fails; the next look finds that out too.
        streams.retain_mut(|stream| stream.write_all(b"x").is_ok());
    }
    begun.elapsed()
}

/// Whether the server ended a connection, with or without a reply.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a mode");
    let mut reply = [0; 512];
    loop {
        match stream.read(&mut reply) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn slow_heads_keep_nobody_out() {
    let _guard = one_at_a_time();
    const HEAD_TIMEOUT: Duration = Duration::from_secs(3);
    for runtime in RUNTIMES {
        let server = EchoServer::start(&[
            "--runtime",
            runtime,
            "--max-connections",
            "256",
            "--head-timeout",
            "3s",
            "127.0.0.1:0",
        ]);
        ask_well(&server, runtime);
        let before = Usage::of(server.pid());
        let streams: Vec<_> = (0..1000).map(|_| connect(&server)).collect();
        let mut streams = streams;
        for stream in &mut streams {
            stream.write_all(b"500:").expect("sent");
        }
        let dripping = thread::spawn(move || drip(streams));
        let took = ask_well(&server, runtime);
        // What holds without eviction: (1000 / 256, rounded up, + 1) x the timeout.
        assert!(took < 5 * HEAD_TIMEOUT, "{runtime}: answered after {took:?}");
        // What eviction makes of it.
        assert!(took < HEAD_TIMEOUT, "{runtime}: answered after {took:?}");
        let closed = dripping.join().expect("no panic");
        // No client holds a place for longer, however many bytes it sends; a second is the drip's.
        assert!(closed < HEAD_TIMEOUT * 2 + Duration::from_secs(2), "{runtime}: {closed:?}");
        println!("{runtime}: answered after {took:?}, all slow ones closed after {closed:?}");
        before.await_return(server.pid(), slack(runtime), runtime);
        ask_well(&server, runtime);
    }
}

#[test]
fn held_bodies_end_in_time() {
    let _guard = one_at_a_time();
    for runtime in RUNTIMES {
        let args = ["--runtime", runtime, "--body-timeout", "500ms", "127.0.0.1:0"];
        let server = EchoServer::start(&args);
        ask_well(&server, runtime);
        let before = Usage::of(server.pid());
        let mut streams: Vec<_> = (0..200).map(|_| connect(&server)).collect();
        for stream in &mut streams {
            stream.write_all(HELD).expect("sent");
        }
        let begun = Instant::now();
        for stream in &mut streams {
            let mut reply = String::new();
            stream.read_to_string(&mut reply).expect("a reply");
            assert!(reply.starts_with("Status: 408 "), "{runtime}: {reply:?}");
        }
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(400), "{runtime}: {took:?}");
        assert!(took < Duration::from_secs(4), "{runtime}: {took:?}");
        drop(streams);
        before.await_return(server.pid(), slack(runtime), runtime);
        ask_well(&server, runtime);
    }
}

/// Peers that are gone silently, as after a lost network: nothing comes any more, and what
/// was taken is given back when the deadline of each stage has passed.
#[test]
fn half_open_peers_end_in_time() {
    let _guard = one_at_a_time();
    for runtime in RUNTIMES {
        let timeouts = ["--head-timeout", "500ms", "--body-timeout", "500ms"];
        let args = [&["--runtime", runtime][..], &timeouts, &["127.0.0.1:0"]].concat();
        let server = EchoServer::start(&args);
        ask_well(&server, runtime);
        let before = Usage::of(server.pid());
        let begun = Instant::now();
        let silent: Vec<_> = [&b""[..], b"2", b"24:", &HELD[..20], &HELD[..HELD.len() - 1], HELD]
            .into_iter()
            .cycle()
            .take(180)
            .map(|sent| {
                let mut stream = connect(&server);
                stream.write_all(sent).expect("sent");
                stream
            })
            .collect();
        // All of them stay open on this side.
        before.await_return(server.pid(), slack(runtime), runtime);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(8), "{runtime}: {took:?}");
        drop(silent);
        ask_well(&server, runtime);
    }
}

/// A request whose echo is larger than what a socket holds: each of its bytes is shown as four.
fn large_request() -> Vec<u8> {
    let mut block = b"CONTENT_LENGTH\x000\x00SCGI\x001\x00HTTP_X\x00".to_vec();
    block.resize(block.len() + 250_000, 1);
    block.push(0);
    let mut request = format!("{}:", block.len()).into_bytes();
    request.extend(block);
    request.push(b',');
    request
}

#[test]
fn slow_readers_end_in_time() {
    let _guard = one_at_a_time();
    let request = large_request();
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("echo.sock");
        let args = ["--runtime", runtime, "--write-timeout", "500ms", text(&path)];
        let server = EchoServer::start(&args);
        ask_unix(&path, runtime);
        let before = Usage::of(server.pid());
        let mut streams: Vec<_> = (0..50).map(|_| connect_unix(&path)).collect();
        for stream in &mut streams {
            stream.write_all(&request).expect("sent");
        }
        // They read nothing: the server closes, and its descriptors are free again.
        before.await_return(server.pid(), 4 * slack(runtime), runtime);
        for stream in &mut streams {
            let mut reply = Vec::new();
            // A close with nothing unread is not a reset on a Unix socket.
            let _ = stream.read_to_end(&mut reply);
            assert!(reply.len() < 900_000, "{runtime}: {} bytes, the whole reply", reply.len());
        }
        ask_unix(&path, runtime);
    }
}

fn connect_unix(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream
}

#[track_caller]
fn ask_unix(path: &Path, runtime: &str) {
    let mut stream = connect_unix(path);
    stream.write_all(GOOD).expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    assert!(reply.starts_with("Status: 200 OK\r\n"), "{runtime}: {reply:?}");
}

#[test]
fn connections_without_a_byte_cost_nothing() {
    let _guard = one_at_a_time();
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("echo.sock");
        let server = EchoServer::start(&["--runtime", runtime, text(&path)]);
        ask_unix(&path, runtime);
        let before = Usage::of(server.pid());
        for _ in 0..100_000 {
            drop(UnixStream::connect(&path).expect("a connection"));
        }
        before.await_return(server.pid(), slack(runtime), runtime);
        ask_unix(&path, runtime);
    }
}

/// Processor time that a process has used so far.
fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a stat");
    // The name in parentheses may hold blanks; utime and stime are the 12th and 13th after it.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("ticks")).sum();
    // USER_HZ, which is 100 wherever Linux runs.
    Duration::from_millis(ticks * 10)
}

/// Takes the request's last byte and returns the reply.
fn finish(stream: &mut TcpStream) -> String {
    stream.write_all(b"i").expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply
}

#[test]
fn few_descriptors_are_enough_for_many_clients() {
    let _guard = one_at_a_time();
    for runtime in RUNTIMES {
        let args = ["--runtime", runtime, "127.0.0.1:0"];
        let server = EchoServer::start_in_shell(r#"ulimit -n 64; exec "$@""#, &args);
        let server = &server;
        thread::scope(|scope| {
            let clients: Vec<_> = (0..500).map(|_| scope.spawn(|| ask(server).0)).collect();
            for client in clients {
                let reply = client.join().expect("no panic");
                assert!(reply.starts_with("Status: 200 OK\r\n"), "{runtime}: {reply:?}");
            }
        });
        // The cap keeps below what the system allows, so nothing fails.
        assert_eq!(server.said(), "", "{runtime}");
    }
}

#[test]
fn no_descriptor_left() {
    let _guard = one_at_a_time();
    // The program has opened so many itself that the server cannot have its share.
    let script = r#"ulimit -n 64; for n in {10..50}; do eval "exec $n</dev/null"; done; exec "$@""#;
    for runtime in RUNTIMES {
        let server = EchoServer::start_in_shell(script, &["--runtime", runtime, "127.0.0.1:0"]);
        let mut held: Vec<_> = (0..40).map(|_| connect(&server)).collect();
        for stream in &mut held {
            stream.write_all(HELD).expect("sent");
        }
        thread::sleep(Duration::from_millis(500));
        let used = cpu_time(server.pid());
        thread::sleep(Duration::from_secs(2));
        let used = cpu_time(server.pid()) - used;
        assert!(used <= Duration::from_millis(100), "{runtime}: {used:?} of CPU while waiting");
        let lines = server.said();
        assert_eq!(lines.matches("cannot accept").count(), 1, "{runtime}: {lines}");
        // None is lost: those that were not accepted waited.
        for stream in &mut held {
            let reply = finish(stream);
            assert!(reply.starts_with("Status: 200 OK\r\n"), "{runtime}: {reply:?}");
        }
        drop(held);
        ask_well(&server, runtime);
        println!("{runtime}: {used:?} of CPU in 2 s without descriptors");
        server.signal(Signal::TERM);
        assert_eq!(server.wait().0, Some(0), "{runtime}");
    }
}

#[test]
fn a_signal_lets_what_runs_finish() {
    let _guard = one_at_a_time();
    for runtime in RUNTIMES {
        for hanging in [5, 0] {
            let args = ["--runtime", runtime, "--shutdown-deadline", "2s", "127.0.0.1:0"];
            let server = EchoServer::start(&args);
            let mut streams: Vec<_> = (0..200).map(|_| connect(&server)).collect();
            for stream in &mut streams {
                stream.write_all(HELD).expect("sent");
            }
            // All 200 are with their handlers: so many descriptors beside the server's own.
            let begun = Instant::now();
            while Usage::of(server.pid()).descriptors < 200 {
                assert!(begun.elapsed() < Duration::from_secs(10), "{runtime}: not all accepted");
                thread::sleep(Duration::from_millis(10));
            }
            thread::sleep(Duration::from_millis(200));
            server.signal(Signal::TERM);
            thread::sleep(Duration::from_millis(100));
            for stream in &mut streams[hanging..] {
                let reply = finish(stream);
                assert!(reply.starts_with("Status: 200 OK\r\n"), "{runtime}: {reply:?}");
            }
            let (code, said) = server.wait();
            let finished = 200 - hanging;
            let expected =
                format!("200 served; after the signal {finished} finished, {hanging} aborted\n");
            assert!(said.ends_with(&expected), "{runtime}: {said}");
            assert_eq!(code, Some(i32::from(hanging > 0)), "{runtime}: {said}");
        }
    }
}

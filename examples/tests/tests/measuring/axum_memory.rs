//! Large bodies through an axum app over SCGI: the server's memory stays where it was, and a slow
//! reader stops the producer.

#![cfg(target_os = "linux")]

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body as AxumBody;
use axum::routing::get;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use scgi_blocking::{Address, Body, Client, Request, RequestHead};

use crate::alone::one_at_a_time;

const GIB: u64 = 1 << 30;

/// What the server may need more than after a small request.
const SLACK: u64 = 4 << 20;

/// The example `axum_app`, ended with the value.
struct App {
    child: Child,
    address: Address,
}

impl App {
    fn start() -> Self {
        let test = std::env::current_exe().expect("this program");
        let folder = test.parent().and_then(|deps| deps.parent()).expect("the build's folder");
        let program = folder.join("examples/axum_app");
        assert!(program.is_file(), "run `cargo build --workspace --bins --examples` first");
        let mut command = Command::new(program);
        let mut child =
            command.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().expect("the app starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("Listening on ").expect("an address");
        Self { child, address: address.parse().expect("an address") }
    }

    fn ask(&self, method: &str, uri: &str, body: Body) -> Body {
        let head = RequestHead::builder(method, uri).build();
        let client = Client::connect(&self.address).expect("a connection");
        let response = client.request(Request::new(head, body)).expect("a response");
        assert_eq!(response.status().code(), 200, "{uri}");
        response.into_body()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of a process in bytes, as Linux reports it.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).expect("resident memory");
    kib.parse::<u64>().expect("a number") * 1024
}

/// Asks for memory all the time until dropped; returns the most there was.
fn peak_during(pid: u32, act: impl FnOnce()) -> u64 {
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = 0;
            while done.load(Ordering::SeqCst) == 0 {
                peak = peak.max(memory(pid));
                thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        act();
        done.store(1, Ordering::SeqCst);
        watcher.join().expect("no panic")
    })
}

#[test]
fn a_gibibyte_each_way() {
    let _guard = one_at_a_time();
    let app = App::start();
    let pid = app.child.id();
    let warm_up = vec![0; 1 << 20];
    app.ask("POST", "/upload", warm_up.into()).discard().expect("a reply");
    let mut some = app.ask("GET", "/download", Body::empty());
    some.read_exact(&mut vec![0; 1 << 20]).expect("some of it");
    drop(some);
    thread::sleep(Duration::from_millis(100));
    let before = memory(pid);

    let begun = Instant::now();
    let peak = peak_during(pid, || {
        let source = std::io::repeat(7).take(GIB);
        let body = Body::from_reader(source).with_len(GIB);
        let reply = app.ask("POST", "/upload", body).collect(100).expect("a reply");
        assert_eq!(reply, format!("{GIB} bytes"));
    });
    println!("up: {:?}, {} KiB more at most", begun.elapsed(), peak.saturating_sub(before) >> 10);
    assert!(peak < before + SLACK, "{before} became {peak}");

    let begun = Instant::now();
    let peak = peak_during(pid, || {
        let mut body = app.ask("GET", "/download", Body::empty());
        let mut len = 0;
        while let Some(chunk) = body.chunk().expect("the body") {
            assert!(chunk.iter().all(|&byte| byte == b'.'));
            len += chunk.len() as u64;
        }
        assert_eq!(len, GIB);
    });
    println!("down: {:?}, {} KiB more at most", begun.elapsed(), peak.saturating_sub(before) >> 10);
    assert!(peak < before + SLACK, "{before} became {peak}");
}

/// Serves chunks of 64 KiB without end, and counts them.
fn start_producer(made: Arc<AtomicUsize>) -> Address {
    let chunk = Bytes::from(vec![b'.'; 64 * 1024]);
    let produce = move || {
        let (made, chunk) = (Arc::clone(&made), chunk.clone());
        let chunks = stream::repeat_with(move || {
            made.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(chunk.clone())
        });
        // Each its own turn, as from a file or another server.
        AxumBody::from_stream(chunks.then(async |chunk| {
            tokio::task::yield_now().await;
            chunk
        }))
    };
    let app = Router::new().route("/", get(async move || produce()));
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = scgi_tokio::Listener::bind("127.0.0.1:0").await.expect("bound");
            sender.send(listener.local_address().expect("its address")).expect("a test");
            let _ = scgi_tokio::serve(listener, app).await;
        });
    });
    receiver.recv().expect("the server starts")
}

/// Waits until the count has not changed for a while, and returns it.
fn standstill(made: &AtomicUsize) -> usize {
    let begun = Instant::now();
    loop {
        let count = made.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(300));
        if made.load(Ordering::SeqCst) == count {
            return count;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "the producer does not stop");
    }
}

#[test]
fn a_slow_reader_stops_the_producer() {
    let _guard = one_at_a_time();
    let made = Arc::new(AtomicUsize::new(0));
    let address = start_producer(Arc::clone(&made));
    let client = Client::connect(&address).expect("a connection");
    let head = RequestHead::builder("GET", "/").build();
    let mut body = client.request(Request::new(head, "")).expect("a response").into_body();
    body.read_exact(&mut [0; 1000]).expect("the first bytes");
    let first = standstill(&made);
    // What the sockets hold: some MiB of a stream without end.
    assert!((1..200).contains(&first), "{first} chunks");
    body.read_exact(&mut vec![0; 100 * 64 * 1024]).expect("more");
    let second = standstill(&made);
    println!("{first} chunks, then {second}");
    assert!(second > first && second < first + 300, "{first} chunks, then {second}");
}

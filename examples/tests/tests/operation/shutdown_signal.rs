//! Handlers learn that their server stops: a response without an end of its own does not hold a
//! restart. On every runtime, and the example `events`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use rustix::process::{Pid, Signal, kill_process};
use scgi_proto::{Address, Summary};
use scgi_tests::programs;

const GOOD: &[u8] =
    b"58:CONTENT_LENGTH\x000\x00SCGI\x001\x00REQUEST_METHOD\x00GET\x00REQUEST_URI\x00/a\x00,";

/// Far more than a test may take: anyone who waits for it fails.
const DEADLINE: Duration = Duration::from_secs(300);

fn ask(address: &Address) -> TcpStream {
    let Address::Tcp(address) = address else { panic!("{address}") };
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    stream.write_all(GOOD).expect("sent");
    stream
}

/// Reads an event, calls `stop`, and reads the end.
fn watch(address: &Address, stop: impl FnOnce()) {
    let mut stream = BufReader::new(ask(address));
    let mut line = String::new();
    while line != "event\n" {
        line.clear();
        assert_ne!(stream.read_line(&mut line).expect("a line"), 0, "it goes on");
    }
    stop();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the end");
    assert!(rest.ends_with("bye\n"), "{rest:?}");
}

#[track_caller]
fn ended_in_time(summary: Summary) {
    assert_eq!((summary.served, summary.finished, summary.aborted), (1, 1, 0), "{summary:?}");
    assert!(summary.waited < Duration::from_secs(60), "{summary:?}");
}

/// Events without end, until the server stops.
macro_rules! endless {
    ($adapter:ident, $request:expr) => {{
        let signal = $request.shutdown_signal();
        let events = stream::iter([Ok::<_, $adapter::BoxError>("event\n".into())])
            .chain(stream::pending())
            .take_until(signal.clone())
            .chain(stream::iter([Ok("bye\n".into())]));
        assert!(!signal.is_set());
        $adapter::Response::new($adapter::Body::from_stream(events))
    }};
}

#[test]
fn a_stream_ends_on_tokio() {
    use scgi_tokio::{Listener, Request, serve};

    for workers in [0, 2] {
        let runtime = match workers {
            0 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
            _ => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        };
        let summary = runtime.expect("a runtime").block_on(async {
            let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".into())).await;
            let listener = listener.expect("a listener");
            let address = listener.local_address().expect("its address");
            let (stop, stopped) = tokio::sync::oneshot::channel();
            let client = thread::spawn(move || watch(&address, || stop.send(()).expect("it runs")));
            let summary = serve(listener, async |request: Request| endless!(scgi_tokio, request))
                .with_shutdown_deadline(DEADLINE)
                .with_graceful_shutdown(async { stopped.await.expect("sent") })
                .await;
            client.join().expect("no panic");
            summary.expect("it ran")
        });
        ended_in_time(summary);
    }
}

#[test]
fn a_stream_ends_in_axum() {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use scgi_tokio::extract::Shutdown;
    use scgi_tokio::{Listener, serve};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let summary = runtime.expect("a runtime").block_on(async {
        let events = async |Shutdown(signal): Shutdown| {
            let events = stream::iter([Ok::<_, std::io::Error>("event\n")])
                .chain(stream::pending())
                .take_until(signal)
                .chain(stream::iter([Ok("bye\n")]));
            Body::from_stream(events)
        };
        let app = Router::new().route("/a", get(events));
        let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".into())).await;
        let listener = listener.expect("a listener");
        let address = listener.local_address().expect("its address");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let client = thread::spawn(move || watch(&address, || stop.send(()).expect("it runs")));
        let summary = serve(listener, app)
            .with_shutdown_deadline(DEADLINE)
            .with_graceful_shutdown(async { stopped.await.expect("sent") })
            .await;
        client.join().expect("no panic");
        summary.expect("it ran")
    });
    ended_in_time(summary);
}

macro_rules! on_futures {
    ($name:ident, $serve:path, $block_on:path) => {
        #[test]
        fn $name() {
            use scgi_async_std::{Listener, Request};

            let summary = $block_on(async {
                let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".into())).await;
                let listener = listener.expect("a listener");
                let address = listener.local_address().expect("its address");
                let (stop, stopped) = tokio::sync::oneshot::channel();
                let client =
                    thread::spawn(move || watch(&address, || stop.send(()).expect("it runs")));
                let handler = async |request: Request| endless!(scgi_async_std, request);
                let summary = $serve(listener, handler)
                    .with_shutdown_deadline(DEADLINE)
                    .with_graceful_shutdown(async { stopped.await.expect("sent") })
                    .await;
                client.join().expect("no panic");
                summary.expect("it ran")
            });
            ended_in_time(summary);
        }
    };
}

on_futures!(a_stream_ends_on_smol, scgi_async_std::smol::serve, smol::block_on);
on_futures!(
    a_stream_ends_on_async_std,
    scgi_async_std::async_std::serve,
    async_std::task::block_on
);

#[test]
fn a_stream_ends_on_threads() {
    use scgi_blocking::{Body, Listener, Request, Response, serve};

    let listener = Listener::bind(Address::Tcp("127.0.0.1:0".into())).expect("a listener");
    let address = listener.local_address().expect("its address");
    let server = serve(listener, |request: Request| {
        let signal = request.shutdown_signal();
        let mut events = 0;
        Response::new(Body::from_chunks(std::iter::from_fn(move || {
            events += 1;
            match events {
                1 => Some(Ok::<_, std::io::Error>("event\n".into())),
                // Where it would sleep until the next event.
                2 => Some(Ok(if signal.wait(DEADLINE) { "bye\n" } else { "late\n" }.into())),
                _ => None,
            }
        })))
    });
    let shutdown = server.shutdown_handle();
    let client = thread::spawn(move || watch(&address, || shutdown.stop()));
    let summary = server.with_shutdown_deadline(DEADLINE).run().expect("it runs");
    client.join().expect("no panic");
    ended_in_time(summary);
}

/// As its readers do: Ctrl-C while a browser shows the events.
#[test]
fn the_example_ends_its_streams() {
    let mut command = Command::new(programs::example("events"));
    let mut child = command.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().expect("it runs");
    let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("Listening on ").expect("the address");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let request = b"63:CONTENT_LENGTH\x000\x00SCGI\x001\x00REQUEST_METHOD\x00GET\x00REQUEST_URI\x00/events\x00,";
    stream.write_all(request).expect("sent");
    let mut stream = BufReader::new(stream);
    line.clear();
    while !line.starts_with("data: ") {
        line.clear();
        assert_ne!(stream.read_line(&mut line).expect("a line"), 0, "an event comes");
    }
    let begun = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).expect("the signal is sent");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the end of the stream");
    assert!(child.wait().expect("its end").success());
    // The shutdown deadline is 30 s.
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    line.clear();
    stdout.read_line(&mut line).expect("the summary");
    assert!(line.starts_with("1 streams ended in "), "{line}");
}

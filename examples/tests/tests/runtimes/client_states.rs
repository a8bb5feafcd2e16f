//! The client's table of the guide `flow`, cell by cell, over TCP and Unix sockets on each runtime. The
//! page is the data, as for the tests on the machine alone (`scgi-proto/tests/client_states.rs`).

#![cfg(target_os = "linux")]

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::pending;
use futures_util::{StreamExt as _, future};
use scgi_proto::{Address, ClientConfig, Error, RequestHead, Timeout};
use tokio::sync::Notify;

use crate::peers::Peer;
use crate::places::Listener;
use crate::table;

const RUNTIMES: [&str; 4] = ["tokio", "smol", "async-std", "blocking"];

/// More than the buffers of a socket hold.
const LARGE: usize = 32 << 20;

/// The deadline of a cell, and one that would end it sooner if it ran.
const DEADLINE: Duration = Duration::from_millis(900);
const SOONER: Duration = Duration::from_millis(300);

/// How far the response is, and what the server has sent of it then.
const RESPONSES: [(&str, usize, &[u8]); 3] = [
    ("no head", 1, b""),
    ("a part of the head", 1, b"Status: 200 OK\r\n"),
    ("the body", 2, b"Status: 200 OK\r\n\r\nhello"),
];

/// What the client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    Bytes(usize),
    /// So many bytes, once the server has ended its side.
    Later(usize),
    /// One chunk, and no more.
    Waits,
    /// One chunk, and an error once the server has sent its part.
    Fails,
}

/// Why a state cannot be shown.
fn cannot_be_shown(call: &str, runtime: &str, is_unix: bool) -> Option<&'static str> {
    match call {
        "head queued" => Some("the head leaves as soon as the source waits: *source awaited*"),
        "source awaited" if runtime == "blocking" => {
            Some("the thread is in the source, and nothing else can happen")
        }
        "write failed" if !is_unix => {
            Some("a write fails on TCP only after a reset, which ends all")
        }
        _ => None,
    }
}

fn upload(call: &str) -> Upload {
    match call {
        "bytes wait" => Upload::Bytes(LARGE),
        // No event reports that the server reads no more to a write that waits already.
        "write failed" => Upload::Later(LARGE),
        "source awaited" => Upload::Waits,
        "source failed" => Upload::Fails,
        _ => Upload::Bytes(10),
    }
}

fn timeout(deadline: &str) -> Timeout {
    match deadline {
        "connect" => Timeout::Connect,
        "write" => Timeout::RequestWrite,
        "head" => Timeout::ResponseHead,
        "body" => Timeout::ResponseBody,
        "call" => Timeout::Call,
        other => panic!("{other}"),
    }
}

/// With this deadline only; where only that of the whole call runs, those of the server are sooner.
fn config(deadline: &str) -> ClientConfig {
    let config = ClientConfig::default()
        .with_connect_timeout(Duration::from_secs(60))
        .with_write_timeout(Duration::MAX)
        .with_head_timeout(Duration::MAX)
        .with_body_timeout(Duration::MAX);
    match deadline {
        "connect" => config.with_connect_timeout(DEADLINE),
        "write" => config.with_write_timeout(DEADLINE),
        "head" => config.with_head_timeout(DEADLINE),
        "body" => config.with_body_timeout(DEADLINE),
        "call" => {
            config.with_call_timeout(DEADLINE).with_write_timeout(SOONER).with_head_timeout(SOONER)
        }
        _ => config,
    }
}

/// The first chunk of a body that has more, and its length.
const CHUNK: Bytes = Bytes::from_static(b"hello");
const DECLARED: u64 = 100;

macro_rules! run {
    ($adapter:ident, $address:ident, $config:ident, $body:expr $(, [$await:tt])?) => {{
        let head = RequestHead::builder("POST", "/").build();
        let client = $adapter::Client::connect_with($address, $config)$(.$await)?;
        let request = $adapter::Request::new(head, $body);
        match client {
            Err(error) => Err(error),
            Ok(client) => match client.request(request)$(.$await)? {
                Err(error) => Err(error),
                Ok(response) => response.into_body().collect(100)$(.$await)?,
            },
        }
    }};
}

macro_rules! async_body {
    ($adapter:ident, $upload:ident, $ready:ident) => {{
        let first = futures_util::stream::once(future::ready(Ok::<_, io::Error>(CHUNK)));
        match $upload {
            Upload::Bytes(len) => $adapter::Body::from(vec![b'x'; len]),
            Upload::Later(len) => {
                let ready = Arc::clone($ready);
                let all = futures_util::stream::once(async move {
                    ready.notified().await;
                    Ok::<_, io::Error>(Bytes::from(vec![b'x'; len]))
                });
                $adapter::Body::from_stream(all).with_len(len as u64)
            }
            Upload::Waits => $adapter::Body::from_stream(first.chain(pending())).with_len(DECLARED),
            Upload::Fails => {
                let ready = Arc::clone($ready);
                let error = futures_util::stream::once(async move {
                    ready.notified().await;
                    Err(io::Error::other("the source"))
                });
                $adapter::Body::from_stream(first.chain(error)).with_len(DECLARED)
            }
        }
    }};
}

fn call(
    runtime: &str,
    address: &Address,
    config: &ClientConfig,
    upload: Upload,
    ready: &Arc<Notify>,
) -> Result<Bytes, Error> {
    match runtime {
        "tokio" => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(async {
                let body = async_body!(scgi_tokio, upload, ready);
                run!(scgi_tokio, address, config, body, [await])
            }),
        "smol" => smol::block_on(async {
            let body = async_body!(scgi_async_std, upload, ready);
            run!(scgi_async_std, address, config, body, [await])
        }),
        "async-std" => async_std::task::block_on(async {
            let body = async_body!(scgi_async_std, upload, ready);
            run!(scgi_async_std, address, config, body, [await])
        }),
        _ => {
            let body = match upload {
                Upload::Bytes(len) => scgi_blocking::Body::from(vec![b'x'; len]),
                Upload::Later(len) => {
                    let ready = Arc::clone(ready);
                    let all = move || {
                        smol::block_on(ready.notified());
                        Ok::<_, io::Error>(Bytes::from(vec![b'x'; len]))
                    };
                    scgi_blocking::Body::from_chunks(std::iter::once_with(all)).with_len(len as u64)
                }
                Upload::Waits => panic!("it cannot be shown"),
                Upload::Fails => {
                    let ready = Arc::clone(ready);
                    let error = move || {
                        smol::block_on(ready.notified());
                        Err(io::Error::other("the source"))
                    };
                    let chunks = [Ok(CHUNK)].into_iter().chain(std::iter::once_with(error));
                    scgi_blocking::Body::from_chunks(chunks).with_len(DECLARED)
                }
            };
            run!(scgi_blocking, address, config, body)
        }
    }
}

/// Accepts a connection, reads nothing, and sends this.
fn accept(listener: &Listener, ends_reading: bool, response: &[u8]) -> Peer {
    let mut peer = listener.accept();
    if ends_reading {
        peer.shutdown(Shutdown::Read);
    }
    peer.write_all(response).expect("it is sent");
    peer
}

fn check(name: &str, runtime: &str, is_unix: bool, state: &str, deadline: &str, response: &[u8]) {
    let ((listener, place), config) = (Listener::bind(is_unix), config(deadline));
    let address = place.server();
    let is_full = state == "not connected";
    let waiting = if is_full { listener.fill(&place) } else { Vec::new() };
    let (begun, ready) = (Instant::now(), Arc::<Notify>::default());
    let result = thread::scope(|scope| {
        let accept = || {
            let held = accept(&listener, state == "write failed", response);
            ready.notify_one();
            held
        };
        let accepted = (!is_full).then(|| scope.spawn(accept));
        let result = call(runtime, &address, &config, upload(state), &ready);
        // Only now may the connection end.
        drop(accepted.map(|accepted| accepted.join().expect("a connection")));
        result
    });
    drop(waiting);
    match (deadline, result) {
        ("over", result) => assert!(matches!(result, Err(Error::Body(_))), "{name}: {result:?}"),
        (deadline, Err(Error::Timeout(passed))) => {
            assert_eq!(passed, timeout(deadline), "{name}");
            assert!(begun.elapsed() >= DEADLINE, "{name}: {:?}", begun.elapsed());
        }
        (_, result) => panic!("{name}: {result:?}"),
    }
}

#[test]
fn each_state_has_the_deadline_of_the_page() {
    let rows = table::rows("call");
    assert_eq!(rows.len(), 7);
    thread::scope(|scope| {
        for row in &rows {
            for runtime in RUNTIMES {
                for is_unix in [false, true] {
                    for (response, column, bytes) in RESPONSES {
                        let (call, deadline) = (row[0], row[column]);
                        let transport = if is_unix { "Unix" } else { "TCP" };
                        let name = format!("{runtime}, {transport}: {call}, {response}");
                        let is_absent = deadline.strip_prefix("never: ");
                        let is_again = call == "not connected" && !bytes.is_empty();
                        let reason = is_absent.or_else(|| cannot_be_shown(call, runtime, is_unix));
                        if let Some(reason) = reason {
                            println!("{name}: {reason}");
                        } else if !is_again {
                            let thread = thread::Builder::new().name(name.clone());
                            let check =
                                move || check(&name, runtime, is_unix, call, deadline, bytes);
                            thread.spawn_scoped(scope, check).expect("a thread");
                        }
                    }
                }
            }
        }
    });
}

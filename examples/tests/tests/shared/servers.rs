//! A server on each runtime, in this process.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size;
use scgi_proto::ConnectionConfig;

use crate::peers::Peer;
use crate::places::{Listener, Place};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    Tokio,
    AsyncStd,
    Smol,
    Blocking,
}

pub(crate) const RUNTIMES: [Runtime; 4] =
    [Runtime::Tokio, Runtime::AsyncStd, Runtime::Smol, Runtime::Blocking];

/// What a handler does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Program {
    /// Drops its body and answers with so many bytes.
    Answers(usize),
    /// The same, while another task reads the body.
    Elsewhere(usize),
    /// Holds its body for so long.
    Holds(Duration),
    /// Drops its body and waits for so long.
    Waits(Duration),
    /// Waits a moment for a chunk, then works for so long.
    GivesUp(Duration),
    /// Answers with what it got.
    Collects,
}

/// What the handlers of a server do now, and have done.
#[derive(Debug, Default)]
struct Seen {
    running: AtomicUsize,
    count: AtomicUsize,
}

struct Running(Arc<Seen>);

impl Running {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.running.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(seen))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A server that runs as long as the process.
#[derive(Debug)]
pub(crate) struct Server {
    place: Place,
    seen: Arc<Seen>,
}

struct Setup {
    listener: Listener,
    program: Program,
    config: ConnectionConfig,
    max_connections: usize,
    seen: Arc<Seen>,
}

impl Server {
    pub(crate) fn start(
        runtime: Runtime,
        unix: bool,
        program: Program,
        config: ConnectionConfig,
        max_connections: usize,
    ) -> Self {
        let (listener, place) = Listener::bind(unix);
        if !unix {
            // Its connections have the same: what the system keeps unread is known then.
            set_socket_recv_buffer_size(&listener, 128 * 1024).expect("an option");
        }
        let seen = Arc::<Seen>::default();
        let served = Arc::clone(&seen);
        let setup = Setup { listener, program, config, max_connections, seen: served };
        thread::spawn(move || match runtime {
            Runtime::Tokio => on_tokio(setup, unix),
            Runtime::AsyncStd => on_async_std(setup),
            Runtime::Smol => on_smol(setup),
            Runtime::Blocking => on_threads(setup),
        });
        Self { place, seen }
    }

    pub(crate) fn connect(&self) -> Peer {
        self.place.connect()
    }

    /// The address, if it is on TCP.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.place.address()
    }

    /// The path of its Unix socket, if it has one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.place.path()
    }

    pub(crate) fn is_unix(&self) -> bool {
        self.place.path().is_some()
    }

    /// Waits until so many handlers run.
    pub(crate) fn await_running(&self, count: usize, name: &str) {
        await_value(&self.seen.running, count, name);
    }

    /// Bytes that tasks beside the handlers have read.
    pub(crate) fn count(&self) -> usize {
        self.seen.count.load(Ordering::SeqCst)
    }
}

fn await_value(value: &AtomicUsize, expected: usize, name: &str) {
    let begun = Instant::now();
    loop {
        let now = value.load(Ordering::SeqCst);
        if now == expected {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{name}: {now}, not {expected}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The program on an asynchronous crate: they have the same names.
macro_rules! program {
    ($krate:ident, $sleep:path, $spawn:expr, $program:expr, $seen:expr, $request:expr) => {{
        let (seen, request): (Arc<Seen>, $krate::Request) = ($seen, $request);
        let _running = Running::new(&seen);
        let mut body = request.into_body();
        let response = match $program {
            Program::Answers(len) => {
                drop(body);
                $krate::Response::new(vec![b'r'; len])
            }
            Program::Elsewhere(len) => {
                let seen = Arc::clone(&seen);
                $spawn(async move {
                    while let Ok(Some(chunk)) = body.chunk().await {
                        seen.count.fetch_add(chunk.len(), Ordering::SeqCst);
                    }
                });
                $krate::Response::new(vec![b'r'; len])
            }
            Program::Holds(time) => {
                $sleep(time).await;
                drop(body);
                $krate::Response::new("held")
            }
            Program::Waits(time) => {
                drop(body);
                $sleep(time).await;
                $krate::Response::new("waited")
            }
            Program::GivesUp(time) => {
                {
                    let chunk = std::pin::pin!(body.chunk());
                    let moment = std::pin::pin!($sleep(Duration::from_millis(50)));
                    futures_util::future::select(chunk, moment).await;
                }
                $sleep(time).await;
                $krate::Response::new("gave up")
            }
            Program::Collects => $krate::Response::new(body.collect(1 << 20).await?),
        };
        Ok::<_, $krate::Error>(response)
    }};
}

/// Serves on an async crate.
macro_rules! serve {
    ($serve:path, $krate:ident, $sleep:path, $spawn:expr, $setup:ident, $listener:expr) => {{
        let Setup { program, config, max_connections, seen, .. } = $setup;
        let server = $serve($listener, move |request: $krate::Request| {
            let seen = Arc::clone(&seen);
            async move { program!($krate, $sleep, $spawn, program, seen, request) }
        });
        let server = server.with_config(config).with_max_connections(max_connections);
        server.await.expect("a server");
    }};
}

fn on_tokio(setup: Setup, is_one_thread: bool) {
    let mut builder = if is_one_thread {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = setup.listener.into_tokio();
        serve!(scgi_tokio::serve, scgi_tokio, tokio::time::sleep, tokio::spawn, setup, listener);
    });
}

fn on_async_std(setup: Setup) {
    use async_std::task::{block_on, sleep, spawn};
    block_on(async {
        let listener = setup.listener.into_futures();
        serve!(scgi_async_std::async_std::serve, scgi_async_std, sleep, spawn, setup, listener);
    });
}

fn on_smol(setup: Setup) {
    use smol::Timer;
    let spawn = |task| smol::spawn(task).detach();
    smol::block_on(async {
        let listener = setup.listener.into_futures();
        serve!(scgi_async_std::smol::serve, scgi_async_std, Timer::after, spawn, setup, listener);
    });
}

fn on_threads(setup: Setup) {
    let Setup { listener, program, config, max_connections, seen } = setup;
    let listener = listener.into_blocking();
    let handler = move |request: scgi_blocking::Request| {
        let _running = Running::new(&seen);
        let body = request.into_body();
        Ok::<_, scgi_blocking::Error>(match program {
            Program::Answers(len) | Program::Elsewhere(len) => {
                drop(body);
                scgi_blocking::Response::new(vec![b'r'; len])
            }
            Program::Holds(time) | Program::GivesUp(time) => {
                thread::sleep(time);
                drop(body);
                scgi_blocking::Response::new("held")
            }
            Program::Waits(time) => {
                drop(body);
                thread::sleep(time);
                scgi_blocking::Response::new("waited")
            }
            Program::Collects => scgi_blocking::Response::new(body.collect(1 << 20)?),
        })
    };
    let server = scgi_blocking::serve(listener, handler);
    server.with_config(config).with_max_connections(max_connections).run().expect("a server");
}

//! A server whose program takes upgrades, on each runtime.

use std::convert::identity;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use scgi_proto::driver::Counters;
use scgi_proto::{Address, ConnectionConfig, Params, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, WebSocket};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::peers::Peer;
use crate::places::{Listener, Place};
use crate::servers::Runtime;

/// How long something may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// From the stop of a server to the end of what is still open.
pub(super) const SHUTDOWN: Duration = Duration::from_secs(6);

/// Connections at the same time; on threads, the upgraded ones have a bound of their own.
pub(super) const PLACES: usize = 4;

/// How long the path `/slow` works before it answers.
const WORK: Duration = Duration::from_millis(300);

/// So many fields with such a value are more than the buffers of a connection take.
pub(super) const LONG: usize = 128;
pub(super) const LONG_VALUE: &str = match std::str::from_utf8(&[b'x'; 64 * 1024]) {
    Ok(text) => text,
    Err(_) => unreachable!(),
};

/// What a test counts: handlers that have begun, and programs of upgrades that have ended.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) begun: AtomicUsize,
    pub(super) ended: AtomicUsize,
}

/// Held by the program of an upgrade.
pub(super) struct Open(pub(super) Arc<Seen>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a server says when it has stopped: connections finished and aborted.
type Ends = (u64, u64);

pub(super) struct Server {
    pub(super) runtime: Runtime,
    pub(super) name: String,
    pub(super) seen: Arc<Seen>,
    pub(super) counters: Counters,
    place: Place,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Ends>,
}

struct Setup {
    listener: Listener,
    seen: Arc<Seen>,
    stop: oneshot::Receiver<()>,
    counters: oneshot::Sender<Counters>,
}

/// A write that waits has a short deadline.
fn config() -> ConnectionConfig {
    ConnectionConfig::default().with_write_timeout(Duration::from_secs(1))
}

impl Server {
    pub(super) fn start(runtime: Runtime, unix: bool) -> Self {
        let name = format!("{runtime:?}, {}", if unix { "Unix" } else { "TCP" });
        Self::run(runtime, unix, name, move |setup| match runtime {
            Runtime::Tokio => on_tokio(setup, unix),
            Runtime::AsyncStd => on_async_std(setup),
            Runtime::Smol => on_smol(setup),
            Runtime::Blocking => on_threads(setup),
        })
    }

    /// One whose program is an axum app.
    pub(super) fn start_axum(unix: bool) -> Self {
        let name = format!("axum, {}", if unix { "Unix" } else { "TCP" });
        Self::run(Runtime::Tokio, unix, name, move |setup| on_axum(setup, unix))
    }

    fn run(
        runtime: Runtime,
        unix: bool,
        name: String,
        run: impl FnOnce(Setup) -> Ends + Send + 'static,
    ) -> Self {
        let (listener, place) = Listener::bind(unix);
        let seen = Arc::<Seen>::default();
        let (stop, stopped) = oneshot::channel();
        let (give, counters) = oneshot::channel();
        let setup = Setup { listener, seen: Arc::clone(&seen), stop: stopped, counters: give };
        let running = thread::spawn(move || run(setup));
        let counters = counters.blocking_recv().expect("it starts");
        Self { runtime, name, seen, counters, place, stop, running }
    }

    pub(super) fn connect(&self) -> Peer {
        self.place.connect()
    }

    /// The address, if it is on TCP.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.place.address()
    }

    /// The path of its Unix socket, if it has one.
    pub(super) fn path(&self) -> Option<&Path> {
        self.place.path()
    }

    /// Its address, as clients take it.
    pub(super) fn scgi_address(&self) -> Address {
        self.place.server()
    }

    /// Waits until it is so.
    pub(super) fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{}: {what}: {:?}", self.name, self.counters);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until no connection is left, then checks how many were upgraded.
    pub(super) fn assert_free_after(&self, upgraded: u64) {
        self.wait_until("a connection is left", || self.counters.active() == 0);
        assert_eq!(self.counters.upgraded(), upgraded, "{}", self.name);
    }

    /// Lets it stop. Its end is awaited with [`Stopping::end`].
    pub(super) fn stop(self) -> Stopping {
        self.stop.send(()).expect("it runs");
        let Self { running, counters, name, place, .. } = self;
        Stopping { running, counters, name, place }
    }
}

pub(super) struct Stopping {
    place: Place,
    running: JoinHandle<Ends>,
    counters: Counters,
    name: String,
}

impl Stopping {
    /// Waits for the end of the server. Returns how many connections were finished and aborted.
    pub(super) fn end(self) -> Ends {
        let ends = self.running.join().expect("no panic");
        let begun = Instant::now();
        loop {
            let left = (self.counters.active(), self.place.sockets());
            if left == (0, 0) {
                return ends;
            }
            assert!(begun.elapsed() < PATIENCE, "{}: {left:?} {:?}", self.name, self.counters);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Place {
    /// Open sockets at the server's end, its listener included. The system knows them by address,
    /// which no other test has.
    fn sockets(&self) -> usize {
        /// Those that a process holds, of the states in `/proc/net/tcp`: established, closed by the
        /// peer, and listening.
        const HELD: [&str; 3] = ["01", "08", "0A"];
        match self {
            Self::Tcp(address) => {
                let port = format!(":{:04X}", address.port());
                let table = std::fs::read_to_string("/proc/net/tcp").expect("the system says");
                let is_held = |line: &&str| {
                    let mut fields = line.split_ascii_whitespace().skip(1);
                    let (local, state) = (fields.next(), fields.nth(1));
                    local.is_some_and(|local| local.ends_with(&port))
                        && state.is_some_and(|state| HELD.contains(&state))
                };
                table.lines().filter(is_held).count()
            }
            Self::Unix(path, _) => {
                let table = std::fs::read_to_string("/proc/net/unix").expect("the system says");
                let path = path.to_str().expect("text");
                table.lines().filter(|line| line.ends_with(path)).count()
            }
        }
    }
}

/// A head that no socket takes in one piece.
fn lengthen<B>(response: Response<B>) -> Response<B> {
    (0..LONG).fold(response, |response, _| response.with_field("X-Long", LONG_VALUE))
}

pub(super) fn breaks() {
    panic!("a fault of the program of an upgrade");
}

/// What proves to the client of a WebSocket that its request was understood.
fn accept_key(params: &Params) -> String {
    derive_accept_key(params.get("HTTP_SEC_WEBSOCKET_KEY").unwrap_or_default())
}

/// A WebSocket that sends back each message.
async fn socket(io: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Error> {
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// The same on a thread.
fn socket_on_thread(io: scgi_blocking::Upgraded) -> Result<(), Error> {
    let mut socket = WebSocket::from_raw_socket(io, Role::Server, None);
    loop {
        match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message)?,
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The program on an asynchronous crate, by the path of the request.
macro_rules! program {
    ($krate:ident, $io:ident, $compat:path, $sleep:expr, $seen:expr, $request:expr) => {{
        use $io::io::{AsyncReadExt as _, AsyncWriteExt as _};
        use $krate::{Response, Upgraded};
        let (seen, request): (Arc<Seen>, $krate::Request) = ($seen, $request);
        seen.begun.fetch_add(1, Ordering::SeqCst);
        let path = request.head().path().unwrap_or_default().into_owned();
        let is_offered = request.upgrade().is_some_and(|offer| offer.offers("echo"));
        let switching = Response::switching_protocols("echo");
        match &path[..] {
            b"/offer" => Response::new(if is_offered { "offered" } else { "not offered" }),
            b"/untaken" => switching,
            b"/changed" => {
                let open = Open(seen);
                Response::new("").with_upgrade(async move |_: Upgraded| drop(open))
            }
            b"/breaks" => switching.with_upgrade(async move |io: Upgraded| {
                let _held = (io, Open(seen));
                breaks();
            }),
            b"/pours" => switching.with_upgrade(async move |mut io: Upgraded| {
                let _open = Open(seen);
                while io.write_all(&[b'x'; 100_000]).await.is_ok() {}
            }),
            b"/socket" => Response::switching_protocols("websocket")
                .with_field("Sec-WebSocket-Accept", accept_key(request.head().params()))
                .with_upgrade(async move |io: Upgraded| socket($compat(io)).await),
            b"/signal" => switching.with_upgrade(async move |mut io: Upgraded| {
                let _open = Open(seen);
                io.shutdown_signal().await;
                io.write_all(b"bye").await?;
                io.flush().await
            }),
            path => {
                if path == b"/slow" {
                    $sleep(WORK).await;
                }
                let switching = if path == b"/long" { lengthen(switching) } else { switching };
                switching.with_upgrade(async move |mut io: Upgraded| {
                    let _open = Open(seen);
                    let mut buf = [0; 4096];
                    loop {
                        let count = io.read(&mut buf).await?;
                        if count == 0 {
                            return std::io::Result::Ok(());
                        }
                        io.write_all(&buf[..count]).await?;
                        io.flush().await?;
                    }
                })
            }
        }
    }};
}

/// Runs a server of an asynchronous crate until its test stops it.
macro_rules! run_server {
    ($server:expr, $stop:expr, $counters:expr) => {{
        let (server, stop) = ($server, $stop);
        let server = server.with_config(config()).with_max_connections(PLACES);
        $counters.send(server.counters()).expect("it is awaited");
        let stop = async move {
            // A server whose test is over runs as long as the process.
            if stop.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let server = server.with_graceful_shutdown(stop).with_shutdown_deadline(SHUTDOWN);
        let summary = server.await.expect("a server");
        (summary.finished, summary.aborted)
    }};
}

/// Serves on an asynchronous crate.
macro_rules! serve {
    ($serve:path, $krate:ident, $io:ident, $compat:path, $sleep:expr, $setup:ident, $on:expr) => {{
        let Setup { seen, stop, counters, .. } = $setup;
        let server = $serve($on, move |request: $krate::Request| {
            let seen = Arc::clone(&seen);
            async move { program!($krate, $io, $compat, $sleep, seen, request) }
        });
        run_server!(server, stop, counters)
    }};
}

/// The app of the tests of axum.
fn on_axum(setup: Setup, is_one_thread: bool) -> Ends {
    tokio_runtime(is_one_thread).block_on(async {
        let listener = setup.listener.into_tokio();
        let Setup { seen, stop, counters, .. } = setup;
        let server = scgi_tokio::serve(listener, super::axum::app(&seen));
        run_server!(server, stop, counters)
    })
}

fn tokio_runtime(is_one_thread: bool) -> tokio::runtime::Runtime {
    let mut builder = if is_one_thread {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder.enable_all().build().expect("a runtime")
}

fn on_tokio(setup: Setup, is_one_thread: bool) -> Ends {
    tokio_runtime(is_one_thread).block_on(async {
        let listener = setup.listener.into_tokio();
        serve!(scgi_tokio::serve, scgi_tokio, tokio, identity, tokio::time::sleep, setup, listener)
    })
}

fn on_async_std(setup: Setup) -> Ends {
    use async_std::task::{block_on, sleep};
    use scgi_async_std::async_std::serve;
    block_on(async {
        let listener = setup.listener.into_futures();
        serve!(
            serve,
            scgi_async_std,
            smol,
            FuturesAsyncReadCompatExt::compat,
            sleep,
            setup,
            listener
        )
    })
}

fn on_smol(setup: Setup) -> Ends {
    use scgi_async_std::smol::serve;
    use smol::Timer;
    smol::block_on(async {
        let listener = setup.listener.into_futures();
        serve!(
            serve,
            scgi_async_std,
            smol,
            FuturesAsyncReadCompatExt::compat,
            Timer::after,
            setup,
            listener
        )
    })
}

/// The program on threads, by the path of the request.
fn on_thread(seen: &Arc<Seen>, request: &scgi_blocking::Request) -> scgi_blocking::Response {
    use std::io::Write as _;

    use scgi_blocking::{Response, Upgraded};
    seen.begun.fetch_add(1, Ordering::SeqCst);
    let path = request.head().path().unwrap_or_default().into_owned();
    let is_offered = request.upgrade().is_some_and(|offer| offer.offers("echo"));
    let switching = Response::switching_protocols("echo");
    let open = Open(Arc::clone(seen));
    match &path[..] {
        b"/offer" => Response::new(if is_offered { "offered" } else { "not offered" }),
        b"/untaken" => switching,
        b"/changed" => Response::new("").with_upgrade(move |_: Upgraded| drop(open)),
        b"/breaks" => switching.with_upgrade(move |io: Upgraded| {
            let _held = (io, open);
            breaks();
        }),
        b"/pours" => switching.with_upgrade(move |mut io: Upgraded| {
            let _open = open;
            while io.write_all(&[b'x'; 100_000]).is_ok() {}
        }),
        b"/socket" => Response::switching_protocols("websocket")
            .with_field("Sec-WebSocket-Accept", accept_key(request.head().params()))
            .with_upgrade(socket_on_thread),
        b"/signal" => switching.with_upgrade(move |mut io: Upgraded| {
            let _open = open;
            assert!(io.shutdown_signal().wait(PATIENCE));
            io.write_all(b"bye")
        }),
        path => {
            if path == b"/slow" {
                thread::sleep(WORK);
            }
            let switching = if path == b"/long" { lengthen(switching) } else { switching };
            switching.with_upgrade(move |io: Upgraded| {
                let _open = open;
                std::io::copy(&mut &io, &mut &io).map(drop)
            })
        }
    }
}

fn on_threads(setup: Setup) -> Ends {
    let Setup { listener, seen, stop, counters } = setup;
    let handler = move |request: scgi_blocking::Request| on_thread(&seen, &request);
    let server = scgi_blocking::serve(listener.into_blocking(), handler)
        .with_config(config())
        .with_max_connections(PLACES)
        .with_max_upgraded(PLACES)
        .with_shutdown_deadline(SHUTDOWN);
    counters.send(server.counters()).expect("it is awaited");
    let shutdown = server.shutdown_handle();
    thread::spawn(move || {
        if stop.blocking_recv().is_ok() {
            shutdown.stop();
        }
    });
    let summary = server.run().expect("a server");
    (summary.finished, summary.aborted)
}

//! Serving: the threads that accept and answer.

use std::fmt;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::time::Duration;

use scgi_proto::server::ServerConfig;
#[cfg(all(feature = "systemd", unix))]
use scgi_proto::systemd::Notifier;
use scgi_proto::{Address, AllowList, ConnectionConfig, Counters, Error, Limits, Summary};

use crate::answer::answer;
use crate::connection::Connection;
use crate::handler::Handler;
use crate::listener::Listener;
use crate::pool::{self, Shutdown};
use crate::upgraded::InPlace;

/// Connections served at once, and so threads, by default: what Apache's worker allows (its
/// `MaxRequestWorkers` is 256 for processes, 400 for threads). Enough for handlers that wait for
/// a database or a slow reader; idle threads cost some 20 KiB each, and none is made before all
/// others are busy.
const MAX_CONNECTIONS: usize = 256;

/// Serves every connection of `listener` with `handler`, until the shutdown signal if there is
/// one.
///
/// A malformed request is answered with 400, 413 or 431, a failed or panicked handler with 500;
/// errors of single connections never end the server.
///
/// Each thread accepts, answers, and accepts again. If all are busy, more are made, as
/// [`Serve::with_max_connections`] describes; beyond that number, connections wait in the listen
/// backlog.
///
/// # Examples
/// ```no_run
/// use scgi_blocking::{Listener, Request, Response, serve};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind("/run/app/app.sock")?;
/// let summary = serve(listener, |_: Request| Response::new("hello"))
///     .with_graceful_shutdown(|| std::thread::sleep(std::time::Duration::from_secs(60)))
///     .run()?;
/// println!("{summary:?}");
/// # Ok(()) }
/// ```
pub fn serve<M, H: Handler<M>>(listener: impl Into<Listener>, handler: H) -> Serve<H, M> {
    Serve {
        listener: listener.into(),
        handler,
        settings: ServerConfig::new(MAX_CONNECTIONS),
        signal: None,
        shutdown: Shutdown::default(),
        max_upgraded: MAX_CONNECTIONS,
        kind: PhantomData,
    }
}

/// A server about to run: set what differs from the defaults, then [`run`](Self::run) it.
#[must_use = "a server does nothing before `run`"]
pub struct Serve<H, M> {
    listener: Listener,
    handler: H,
    settings: ServerConfig,
    signal: Option<Box<dyn FnOnce() + Send>>,
    shutdown: Shutdown,
    max_upgraded: usize,
    kind: PhantomData<fn() -> M>,
}

impl<H, M> Serve<H, M> {
    /// What the server counts, to be read while it runs.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.settings.registry.counters()
    }

    /// The address it listens on, with the port that was chosen for port 0. A listener has it as
    /// `local_address`.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.listener.local_address()
    }

    /// Replaces the bounds, rules and deadlines of each connection.
    pub fn with_config(mut self, config: ConnectionConfig) -> Self {
        self.settings.config = config;
        self
    }

    /// Replaces the bounds on requests.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.settings.config = self.settings.config.with_limits(limits);
        self
    }

    /// Connections served at once, which is the number of threads at most: 256 by default, what
    /// Apache allows, but never more than three eighths of the descriptors that the process may
    /// open (on Linux; a quarter of them on other Unix systems), as each thread may keep one for its
    /// wake-ups. The rest wait in the listen backlog, unless a connection without a complete head
    /// can be closed for them (on Unix): the oldest goes first.
    ///
    /// While fewer connections than that are open, none waits longer than 5 ms for a thread, whether
    /// handlers or slow peers keep the others busy. A burst of more than 64 on an idle server has
    /// 20 ms, because the threads must be made first. Where the processors are the limit, more
    /// threads would not help, and connections wait as long as that takes.
    ///
    /// A server begins with as many threads as there are processors. Threads that were made stay,
    /// and rest while fewer are needed, without using a processor. If the system refuses to make
    /// a thread, the others continue to serve. This is logged at most once a minute, and tried again
    /// after 100 ms.
    ///
    /// # Panics
    /// If it is 0.
    pub fn with_max_connections(mut self, count: usize) -> Self {
        self.settings.set_max_connections(count);
        self
    }

    /// Closes connections of peers that are not on the list, before anything is read. By default
    /// everyone may connect.
    pub fn with_allow_list(mut self, list: AllowList) -> Self {
        self.settings.allow_list = list;
        self
    }

    /// Upgraded connections, WebSockets for example, at the same time: 256 by default. Each has a
    /// thread of its own, which is not one of those that answer requests, so it takes no place of
    /// [`with_max_connections`](Self::with_max_connections). Beyond that number, and if the system
    /// refuses to make a thread, a response with status 101 becomes one with 503. Each takes two
    /// descriptors.
    pub fn with_max_upgraded(mut self, count: usize) -> Self {
        self.max_upgraded = count;
        self
    }

    /// Tells the handler who connected ([`Request::peer`](crate::Request::peer)), which costs a
    /// system call.
    pub fn with_peers(mut self) -> Self {
        self.settings.asks_peer = true;
        self
    }

    /// Tells systemd when the server accepts connections, when it stops, and (with `WatchdogSec=`)
    /// that its threads are looked after: for services with `Type=notify`.
    #[cfg(all(feature = "systemd", unix))]
    pub fn with_systemd(mut self) -> Self {
        self.settings.notifier = Some(Notifier::from_env());
        self
    }

    /// Stops accepting when `signal` returns, and finishes what runs. It is called on a thread of
    /// its own. [`shutdown_handle`](Self::shutdown_handle) does the same without one.
    ///
    /// Connections that wait to be accepted are still accepted and answered, also beyond
    /// [`with_max_connections`](Self::with_max_connections): each as a place becomes free, until the
    /// deadline. Then the listener is closed. On a Unix socket under Linux no connection is lost
    /// between the two. On TCP one can be: a client that connects within some microseconds is reset.
    /// A socket that another process may have too, from systemd for example, stays open. There the
    /// server takes only as many connections as it has places for, and leaves the rest to the next
    /// process.
    pub fn with_graceful_shutdown(mut self, signal: impl FnOnce() + Send + 'static) -> Self {
        self.signal = Some(Box::new(signal));
        self
    }

    /// Time for what runs to finish after the signal: 30 s by default. The rest is aborted:
    /// reads and writes of those connections end, and a thread that is inside a handler is left
    /// behind.
    pub fn with_shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.settings.shutdown_deadline = deadline;
        self
    }

    /// What stops this server, from any thread.
    #[must_use]
    pub fn shutdown_handle(&self) -> Shutdown {
        self.shutdown.clone()
    }
}

impl<H, M> fmt::Debug for Serve<H, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl<M: 'static, H: Handler<M>> Serve<H, M> {
    /// Runs the server until it is stopped.
    ///
    /// # Errors
    /// If not even one thread can be made. Errors of accepting and of connections end nothing.
    pub fn run(self) -> io::Result<Summary> {
        if let Ok(address) = self.listener.local_address() {
            scgi_proto::server::trace_listening(&address);
        }
        let Self { listener, handler, settings, signal, shutdown, max_upgraded, .. } = self;
        pool::run(listener, handler, &settings, max_upgraded, shutdown, signal)
    }
}

/// Serves the one request of a stream that is not a socket of a [`Listener`]: a TLS stream, a pipe,
/// any [`Read`] + [`Write`].
///
/// # Errors
/// What went wrong with the connection, after the peer got a response where that was possible.
///
/// # Examples
/// ```
/// use scgi_blocking::{Client, ClientConfig, ConnectionConfig, Request, RequestHead, Response, serve_connection};
/// # #[cfg(unix)]
/// # fn main() -> Result<(), scgi_blocking::Error> {
/// use std::os::unix::net::UnixStream;
///
/// let (near, far) = UnixStream::pair()?;
/// std::thread::spawn(|| {
///     serve_connection(far, |_: Request| Response::new("hello"), &ConnectionConfig::default())
/// });
/// let request = Request::new(RequestHead::builder("GET", "/").build(), "");
/// let response = Client::new(near, &ClientConfig::default()).request(request)?;
/// assert_eq!(response.into_body().collect(100)?, "hello");
/// # Ok(()) }
/// # #[cfg(not(unix))]
/// # fn main() {}
/// ```
#[expect(clippy::needless_pass_by_value, reason = "the handler is taken as by `serve`")]
pub fn serve_connection<IO, M, H>(
    io: IO,
    handler: H,
    config: &ConnectionConfig,
) -> Result<(), Error>
where
    IO: Read + Write + Send + 'static,
    H: Handler<M>,
{
    answer(Connection::new(io, config), &handler, &InPlace)
}

//! Serving: the accept loop, and one connection's way from request to reply.

use std::fmt;
use std::future::{Future, IntoFuture, pending, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use scgi_proto::driver::Connection;
use scgi_proto::server::{Backoff, ServerConfig};
use scgi_proto::{AllowList, ConnectionConfig, Counters, Error, Limits, Summary};
#[cfg(all(feature = "systemd", unix))]
use scgi_proto::{server::Watchdog, systemd::Notifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::handler::Handler;
use crate::inline::{First, Fresh, Shared, answer, late};
use crate::listener::Listener;
use crate::stream::Stream;
use crate::transport::{Clock, Transport};

/// Connections served at once, by default: more than a front server keeps open to one backend,
/// and few enough that their memory stays within some tens of MiB.
const MAX_CONNECTIONS: usize = 4096;

/// Serves every connection of `listener` with `handler`, until the shutdown signal if there is
/// one.
///
/// A malformed request is answered with 400, 413 or 431, a failed or panicked handler with 500;
/// errors of single connections never end the server.
///
/// # Examples
/// ```no_run
/// use scgi_tokio::{Listener, Request, Response, serve};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind(&"/run/app/app.sock".parse()?).await?;
/// let summary = serve(listener, async |_: Request| Response::new("hello"))
///     .with_graceful_shutdown(async { tokio::time::sleep(std::time::Duration::from_secs(60)).await })
///     .await?;
/// println!("{summary:?}");
/// # Ok(()) }
/// ```
pub fn serve<M, H: Handler<M>>(listener: impl Into<Listener>, handler: H) -> Serve<H, M> {
    let mut settings = ServerConfig::new(MAX_CONNECTIONS);
    settings.asks_peer = H::ASKS_PEER;
    Serve {
        listener: listener.into(),
        handler,
        settings,
        signal: Box::pin(pending()),
        kind: PhantomData,
    }
}

/// A server about to run: set what differs from the defaults, then `.await` it.
#[must_use = "a server runs when it is awaited"]
pub struct Serve<H, M> {
    listener: Listener,
    handler: H,
    settings: ServerConfig,
    signal: Pin<Box<dyn Future<Output = ()> + Send>>,
    kind: PhantomData<fn() -> M>,
}

impl<H, M> Serve<H, M> {
    /// What the server counts, to be read while it runs.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.settings.counters.clone()
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

    /// Connections served at once: 4096 by default, but never more than three quarters of the
    /// descriptors that the process may open. The rest wait in the listen backlog, unless a
    /// connection that has sent no complete head for 100 ms can be closed for them: the oldest
    /// goes first.
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

    /// Tells the handler who connected ([`Request::peer`](crate::Request::peer)), which costs a
    /// system call; tower services are always told.
    pub fn with_peers(mut self) -> Self {
        self.settings.asks_peer = true;
        self
    }

    /// Tells systemd when the server accepts connections, when it stops, and (with `WatchdogSec=`)
    /// that it still accepts: for services with `Type=notify`.
    #[cfg(all(feature = "systemd", unix))]
    pub fn with_systemd(mut self) -> Self {
        self.settings.notifier = Some(Notifier::from_env());
        self
    }

    /// Stops accepting when `signal` completes, and finishes what runs.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.signal = Box::pin(signal);
        self
    }

    /// Time for what runs to finish after the signal: 30 s by default. The rest is aborted.
    pub fn with_shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.settings.shutdown_deadline = deadline;
        self
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

impl<M: 'static, H: Handler<M>> IntoFuture for Serve<H, M> {
    type Output = io::Result<Summary>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<Summary>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}

async fn run<M: 'static, H: Handler<M>>(server: Serve<H, M>) -> io::Result<Summary> {
    server.listener.check()?;
    if let Ok(address) = server.listener.local_address() {
        scgi_proto::server::trace_listening(&address);
    }
    let Serve { listener, handler, settings, mut signal, .. } = server;
    let max_connections = settings.max_connections(descriptors(), 1);
    let shared = Arc::new(Shared { handler, settings, kind: PhantomData });
    let settings = &shared.settings;
    let mut first = First::new();
    let mut tasks = JoinSet::new();
    let mut summary = Summary::default();
    let mut backoff = Backoff::default();
    let mut stopping = false;
    // For waiting until somebody can be evicted.
    let mut clock = Clock::since(Instant::now());
    #[cfg(all(feature = "systemd", unix))]
    let mut watchdog =
        settings.notifier.map(|notifier| Watchdog::start(notifier, Clock::since(Instant::now())));
    loop {
        while tasks.try_join_next().is_some() {}
        let full = tasks.len() >= max_connections;
        let next = poll_fn(|cx| {
            if signal.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Stop);
            }
            #[cfg(all(feature = "systemd", unix))]
            if let Some(watchdog) = &mut watchdog {
                watchdog.poll(cx);
            }
            if full {
                if tasks.poll_join_next(cx).is_ready() {
                    return Poll::Ready(Next::Room);
                }
                ready!(settings.counters.poll_evictable_at(&mut clock, cx));
            }
            listener.poll_accept(cx).map(Next::Accepted)
        });
        let next = match stopping {
            false => next.await,
            // What waits has reached this server: closing the listener would reset it.
            true if tasks.len() >= max_connections => break,
            true => match listener.accept_at_once() {
                Some(stream) => Next::Accepted(Ok(stream)),
                None => break,
            },
        };
        match next {
            Next::Stop => stopping = true,
            Next::Room => {}
            Next::Accepted(Ok(stream)) => {
                backoff.accepted();
                let Some(admitted) = settings.admit(|| stream.peer()) else { continue };
                let clock = Clock::since(Instant::now());
                let fresh = Fresh::new(Transport(stream), clock, admitted);
                summary.served += 1;
                let late = |fresh| late(fresh, Arc::clone(&shared));
                let answer = |fresh, bytes| answer(fresh, bytes, Arc::clone(&shared));
                first.serve(fresh, &mut tasks, late, answer).await;
                if tasks.len() > max_connections {
                    // The oldest without a head, for which this one was let in.
                    let _ = settings.counters.evict_oldest();
                }
            }
            Next::Accepted(Err(error)) => {
                if let Some(delay) = backoff.after(&error) {
                    sleep(delay).await;
                }
            }
        }
    }
    #[cfg(all(feature = "systemd", unix))]
    if let Some(notifier) = settings.notifier {
        notifier.stopping();
    }
    drop(listener);
    while tasks.try_join_next().is_some() {}
    let finish = async {
        while tasks.join_next().await.is_some() {
            summary.finished += 1;
        }
    };
    let _ = timeout(settings.shutdown_deadline, finish).await;
    summary.aborted = tasks.len() as u64;
    tasks.shutdown().await;
    Ok(summary)
}

/// How many descriptors this process may open, where the system bounds that.
fn descriptors() -> Option<u64> {
    #[cfg(unix)]
    return scgi_proto::socket::descriptors();
    #[cfg(not(unix))]
    None
}

enum Next {
    Stop,
    Room,
    Accepted(io::Result<Stream>),
}

/// Serves the one request of a stream that is no socket of a [`Listener`]: a TLS stream, a pipe,
/// one side of a `tokio::io::duplex`.
///
/// # Errors
/// What went wrong with the connection, after the peer was told where that was possible.
///
/// # Cancel safety
/// Dropping the future drops the connection and cancels the handler.
///
/// # Examples
/// ```
/// use scgi_tokio::{Client, ClientConfig, ConnectionConfig, Request, RequestHead, Response, serve_connection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), scgi_tokio::Error> {
/// let (near, far) = tokio::io::duplex(1024);
/// tokio::spawn(async {
///     serve_connection(far, async |_: Request| Response::new("hello"), &ConnectionConfig::default()).await
/// });
/// let request = Request::new(RequestHead::builder("GET", "/").build(), "");
/// let response = Client::new(near, &ClientConfig::default()).request(request).await?;
/// assert_eq!(response.into_body().collect(100).await?, "hello");
/// # Ok(()) }
/// ```
pub async fn serve_connection<IO, M, H>(
    io: IO,
    handler: H,
    config: &ConnectionConfig,
) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler<M>,
{
    let clock = Clock::since(Instant::now());
    let mut connection = Connection::new(Transport(io), clock, config);
    connection.answer(|request| handler.call(request)).await
}

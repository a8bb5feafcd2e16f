//! Serving: the accept loop, and one connection's way from request to reply.

use std::fmt;
use std::future::{Future, IntoFuture, pending, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(all(feature = "systemd", unix))]
use std::task::Context;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

#[cfg(all(feature = "systemd", unix))]
use scgi_proto::systemd::Notifier;
use scgi_proto::trace::Trace;
use scgi_proto::{AllowList, Config, Counters, Limits, room};

use crate::first::{FirstPoll, Fresh, Shared, answer_stream, late};
use crate::group::{Group, Spawn};
use crate::handler::Handler;
use crate::listener::Listener;
use crate::stream::Stream;
use crate::transport::Sleep;

/// Connections served at once, by default: more than a front server keeps open to one backend,
/// and few enough that their memory stays within some tens of MiB.
const MAX_CONNECTIONS: usize = 4096;

/// Time for what runs to finish after the shutdown signal, by default: less than the 90 s after
/// which systemd kills a service.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(30);

/// A server with this way to start a task.
pub(crate) fn serve<M, H: Handler<M>>(
    listener: impl Into<Listener>,
    handler: H,
    spawn: Spawn,
) -> Serve<H, M> {
    Serve {
        listener: listener.into(),
        handler,
        spawn,
        config: Config::default(),
        max_connections: MAX_CONNECTIONS,
        shutdown_deadline: SHUTDOWN_DEADLINE,
        signal: Box::pin(pending()),
        counters: Counters::default(),
        allow_list: AllowList::default(),
        asks_peer: H::ASKS_PEER,
        #[cfg(all(feature = "systemd", unix))]
        notifier: None,
        kind: PhantomData,
    }
}

/// The timer of async-io, on which both runtimes are built.
pub(crate) fn timer(at: Instant) -> Sleep {
    Box::pin(async move {
        async_io::Timer::at(at).await;
    })
}

/// A server about to run: set what differs from the defaults, then `.await` it.
#[must_use = "a server runs when it is awaited"]
pub struct Serve<H, M> {
    listener: Listener,
    handler: H,
    spawn: Spawn,
    config: Config,
    max_connections: usize,
    shutdown_deadline: Duration,
    signal: Pin<Box<dyn Future<Output = ()> + Send>>,
    counters: Counters,
    allow_list: AllowList,
    asks_peer: bool,
    #[cfg(all(feature = "systemd", unix))]
    notifier: Option<Notifier>,
    kind: PhantomData<fn() -> M>,
}

impl<H, M> Serve<H, M> {
    /// What the server counts, to be read while it runs.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Replaces the bounds, rules and deadlines of each connection.
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Replaces the bounds on requests.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.config = self.config.with_limits(limits);
        self
    }

    /// Connections served at once: 4096 by default, but never more than three quarters of the
    /// descriptors that the process may open. The rest wait in the listen backlog, unless a
    /// connection without a complete head can be closed for them: the oldest goes first.
    ///
    /// # Panics
    /// If it is 0.
    pub fn with_max_connections(mut self, count: usize) -> Self {
        assert!(count > 0, "a server needs at least one connection");
        self.max_connections = count;
        self
    }

    /// Closes connections of peers that are not on the list, before anything is read. By default
    /// everyone may connect.
    pub fn with_allow_list(mut self, list: AllowList) -> Self {
        self.allow_list = list;
        self
    }

    /// Tells the handler who connected ([`Request::peer`](crate::Request::peer)), which costs a
    /// system call; tower services are always told.
    pub fn with_peers(mut self) -> Self {
        self.asks_peer = true;
        self
    }

    /// Tells systemd when the server accepts connections, when it stops, and (with `WatchdogSec=`)
    /// that it still accepts: for services with `Type=notify`.
    #[cfg(all(feature = "systemd", unix))]
    pub fn with_systemd(mut self) -> Self {
        self.notifier = Some(Notifier::from_env());
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
        self.shutdown_deadline = deadline;
        self
    }
}

impl<H, M> fmt::Debug for Serve<H, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .field("config", &self.config)
            .field("max_connections", &self.max_connections)
            .field("shutdown_deadline", &self.shutdown_deadline)
            .finish_non_exhaustive()
    }
}

/// What a server did, told when it has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Connections that were accepted.
    pub served: u64,
    /// Those that finished after the shutdown signal.
    pub finished: u64,
    /// Those that were aborted at the shutdown deadline.
    pub aborted: u64,
}

impl<M: 'static, H: Handler<M>> IntoFuture for Serve<H, M> {
    type Output = io::Result<Summary>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<Summary>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}

async fn run<M: 'static, H: Handler<M>>(mut server: Serve<H, M>) -> io::Result<Summary> {
    server.listener.check()?;
    if let Ok(address) = server.listener.local_address() {
        Trace::listening(&address);
    }
    let shared = Arc::new(Shared {
        handler: server.handler,
        config: server.config,
        counters: server.counters,
        allow_list: server.allow_list,
        asks_peer: server.asks_peer,
        kind: PhantomData,
    });
    let max_connections = room(server.max_connections, descriptors(), 1);
    let mut first = FirstPoll::new();
    let tasks = Group::new(server.spawn);
    let mut summary = Summary::default();
    let mut backoff = Backoff::default();
    let mut stopping = false;
    #[cfg(all(feature = "systemd", unix))]
    let mut watchdog = server.notifier.map(Watchdog::start);
    loop {
        let next = poll_fn(|cx| {
            if server.signal.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Stop);
            }
            #[cfg(all(feature = "systemd", unix))]
            if let Some(watchdog) = &mut watchdog {
                watchdog.poll(cx);
            }
            if tasks.poll_below(max_connections, cx).is_pending() {
                ready!(shared.counters.poll_evictable(cx));
            }
            server.listener.poll_accept(cx).map(Next::Accepted)
        });
        let next = match stopping {
            false => next.await,
            // What waits has reached this server: closing the listener would reset it.
            true if tasks.len() >= max_connections => break,
            true => match server.listener.accept_at_once() {
                Some(stream) => Next::Accepted(Ok(stream)),
                None => break,
            },
        };
        match next {
            Next::Stop => stopping = true,
            Next::Accepted(Ok(stream)) => {
                backoff = Backoff::default();
                let Some(fresh) = Fresh::admit(stream, &shared) else { continue };
                summary.served += 1;
                let late = |fresh| late(fresh, Arc::clone(&shared));
                let answer = |begun| answer_stream(begun, Arc::clone(&shared));
                first.serve(fresh, &tasks, late, answer).await;
                if tasks.len() > max_connections {
                    // The oldest without a head, for which this one was let in.
                    let _ = shared.counters.evict_oldest();
                }
            }
            Next::Accepted(Err(error)) => backoff.wait(&error).await,
        }
    }
    #[cfg(all(feature = "systemd", unix))]
    if let Some(notifier) = server.notifier {
        notifier.stopping();
    }
    drop(server.listener);
    let running = tasks.len();
    let mut deadline = Instant::now().checked_add(server.shutdown_deadline).map(timer);
    poll_fn(|cx| {
        let late = deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
        if late { Poll::Ready(()) } else { tasks.poll_below(1, cx) }
    })
    .await;
    summary.aborted = tasks.len() as u64;
    summary.finished = running as u64 - summary.aborted;
    tasks.abort();
    poll_fn(|cx| tasks.poll_below(1, cx)).await;
    Ok(summary)
}

/// Tells systemd at intervals that the accept loop is alive.
#[cfg(all(feature = "systemd", unix))]
struct Watchdog {
    notifier: Notifier,
    next: Option<(Duration, Sleep)>,
}

#[cfg(all(feature = "systemd", unix))]
impl Watchdog {
    fn start(notifier: Notifier) -> Self {
        notifier.ready();
        let next = notifier.interval().map(|interval| (interval, timer(Instant::now() + interval)));
        Self { notifier, next }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        while let Some((interval, next)) = &mut self.next {
            if next.as_mut().poll(cx).is_pending() {
                return;
            }
            self.notifier.alive();
            *next = timer(Instant::now() + *interval);
        }
    }
}

/// How many descriptors this process may open, where the system bounds that.
fn descriptors() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    None
}

enum Next {
    Stop,
    Accepted(io::Result<Stream>),
}

/// How long to wait after a failed accept.
///
/// A connection that its client took back fails alone: the next one is accepted at once. When
/// descriptors or memory have run out, accepting again at once would spin.
#[derive(Default)]
struct Backoff {
    delay: Duration,
}

impl Backoff {
    async fn wait(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        let first = self.delay.is_zero();
        self.delay = (self.delay * 2).clamp(Duration::from_millis(10), Duration::from_secs(1));
        if first {
            Trace::accept_failed(error, self.delay);
        }
        async_io::Timer::after(self.delay).await;
    }
}

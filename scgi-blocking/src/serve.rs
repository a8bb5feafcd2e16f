//! Serving: the threads that accept and answer.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::server::{Backoff, ServerConfig};
#[cfg(all(feature = "systemd", unix))]
use scgi_proto::systemd::Notifier;
use scgi_proto::{AllowList, ConnectionConfig, Counters, Error, Limits, Summary};

use crate::answer::answer;
use crate::connection::Connection;
use crate::control::{Control, Shutdown, Worker};
use crate::crew::{Crew, Next};
use crate::handler::Handler;
use crate::listener::Listener;
use crate::socket::{Cancel, Wakeup, descriptors, has_input};
use crate::stream::Stream;

/// Connections served at once, and so threads, by default: what Apache's worker allows (its
/// `MaxRequestWorkers` is 256 for processes, 400 for threads). Enough for handlers that wait for
/// a database or a slow reader; idle threads cost some 20 KiB each, and none is made before all
/// others are held by a connection.
const MAX_CONNECTIONS: usize = 256;

/// Serves every connection of `listener` with `handler`, until the shutdown signal if there is
/// one.
///
/// A malformed request is answered with 400, 413 or 431, a failed or panicked handler with 500;
/// errors of single connections never end the server.
///
/// Each thread accepts, answers, and accepts again; while all are at work, connections wait in
/// the listen backlog.
///
/// # Examples
/// ```no_run
/// use scgi_blocking::{Listener, Request, Response, serve};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind(&"/run/app/app.sock".parse()?)?;
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
        control: Arc::default(),
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
    control: Arc<Control>,
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

    /// Connections served at once, which is the number of threads at most: 256 by default, what
    /// Apache allows, but never more than three eighths of the descriptors that the process may
    /// open. The rest wait in the listen backlog, unless a connection without a complete head
    /// can be closed for them (on Unix): the oldest goes first.
    ///
    /// A server has as many threads as there are processors, and more while connections hold
    /// some for longer than some milliseconds, so one that needs few has few.
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

    /// Stops accepting when `signal` returns, and finishes what runs. It is called on a thread
    /// of its own. [`shutdown_handle`](Self::shutdown_handle) does the same without one.
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
        Shutdown { control: Arc::clone(&self.control) }
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
        let listener = Arc::new(self.listener);
        let cancel = Arc::new(Cancel::new()?);
        let server = Arc::new(Server {
            handler: self.handler,
            max_connections: self.settings.max_connections(descriptors(), 1 + Wakeup::DESCRIPTORS),
            settings: self.settings.clone(),
            listener: Arc::downgrade(&listener),
            control: Arc::clone(&self.control),
            backoff: Backoff::default(),
            left_over: Mutex::default(),
            cancel: Arc::clone(&cancel),
            kind: PhantomData,
        });
        if let Some(signal) = self.signal {
            let shutdown = Shutdown { control: Arc::clone(&self.control) };
            thread::Builder::new().name("scgi-signal".into()).spawn(move || {
                signal();
                shutdown.stop();
            })?;
        }
        let mut crew = Crew::new(server.max_connections);
        self.control.want(crew.least());
        server.spawn()?;
        // The handler goes with the last thread that may call it.
        let running = Arc::downgrade(&server);
        drop(server);
        #[cfg(all(feature = "systemd", unix))]
        let mut alive = self.settings.notifier.and_then(Alive::start);
        while !self.control.is_stopping() {
            #[cfg(all(feature = "systemd", unix))]
            let left = alive.as_mut().map(Alive::tell);
            #[cfg(not(all(feature = "systemd", unix)))]
            let left = None;
            look_after(&running, &listener, &mut crew, left);
        }
        #[cfg(all(feature = "systemd", unix))]
        if let Some(notifier) = self.settings.notifier {
            notifier.stopping();
        }
        let begun = Instant::now();
        if let Some(server) = running.upgrade() {
            server.take_what_waits(&listener);
        }
        wake_all(&listener, &self.control);
        // Threads in a handler hold it no longer: new connections are refused from here on.
        drop(listener);
        let mut summary = Summary::default();
        let left = self.settings.shutdown_deadline.saturating_sub(begun.elapsed());
        if !self.control.wait_for_workers(left) {
            summary.aborted = self.control.abort() as u64;
            cancel.set();
            // What only waits for its peer ends at once.
            self.control.wait_for_workers(ABORT_GRACE);
        }
        summary.finished = self.control.finished();
        summary.served = self.control.served();
        Ok(summary)
    }
}

/// Sees to it that enough threads are up, or on a full server that somebody makes room, then waits
/// until that may have changed, at most for a time.
fn look_after<M: 'static, H: Handler<M>>(
    running: &Weak<Server<H, M>>,
    listener: &Listener,
    crew: &mut Crew,
    most: Option<Duration>,
) {
    let Some(server) = running.upgrade() else { return };
    let control = Arc::clone(&server.control);
    let served = control.served();
    let (wanted, next) = crew.look(&control, || listener.is_connection_waiting(Duration::ZERO));
    for _ in 0..control.want(wanted) {
        // Without one more, connections wait for those that run. That is no error.
        let _ = server.spawn();
    }
    let next = if server.is_full() { Next::Look(make_room(&server, listener)) } else { next };
    // The handler must not be held while nothing is done.
    drop(server);
    match next {
        Next::Look(pause) => {
            control.wait_for_stop(Some(most.map_or(pause, |most| most.min(pause))));
        }
        Next::Doze => control.doze(served, most),
    }
}

/// How often a full server looks whether somebody waits for a place.
const TICK: Duration = Duration::from_millis(1);

/// How often one looks whose connections all have their heads, so that none can make room.
const LONG_TICK: Duration = Duration::from_millis(20);

/// If another connection waits for a place, closes the one that has waited longest for its head.
/// Gives when to look again.
fn make_room<H, M>(server: &Server<H, M>, listener: &Listener) -> Duration {
    let cx = Context::from_waker(Waker::noop());
    if server.settings.counters.poll_evictable(&cx).is_pending() {
        return LONG_TICK;
    }
    if listener.is_connection_waiting(LONG_TICK) && server.is_full() {
        let _ = server.settings.counters.evict_oldest();
    }
    TICK
}

/// Tells systemd at intervals that somebody looks after the threads.
#[cfg(all(feature = "systemd", unix))]
struct Alive {
    notifier: Notifier,
    interval: Duration,
    next: Instant,
}

#[cfg(all(feature = "systemd", unix))]
impl Alive {
    /// Says that the server is ready; `None` if systemd wants to hear no more.
    fn start(notifier: Notifier) -> Option<Self> {
        notifier.ready();
        notifier.interval().map(|interval| Self { notifier, interval, next: Instant::now() })
    }

    /// Tells it if it is time; gives how long until the next time.
    fn tell(&mut self) -> Duration {
        let left = self.next.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return left;
        }
        self.notifier.alive();
        self.next = Instant::now() + self.interval;
        self.interval
    }
}

/// How long aborted connections may take to close.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// How long a listener that others may have too is only woken by connecting to it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ends every accept that waits.
///
/// Shutting the socket down does that at once on Linux, but for every process that has it: one
/// that was given to this program, by systemd for example, would be dead for the next one too.
/// There, and on other systems, each waiting thread is sent a connection. Another process may
/// get that one, so it is repeated until all threads have woken.
fn wake_all(listener: &Listener, control: &Control) {
    let begun = Instant::now();
    while !control.wait_for_accepts(Duration::ZERO) {
        let by_force = listener.is_own() || begun.elapsed() > PATIENCE;
        if by_force && listener.stop() {
            control.wait_for_accepts(PATIENCE);
            return;
        }
        if begun.elapsed() > 2 * PATIENCE {
            return;
        }
        listener.wake_one();
        control.wait_for_accepts(Duration::from_millis(1));
    }
}

/// What the threads of a server share.
struct Server<H, M> {
    handler: H,
    settings: ServerConfig,
    /// As the settings and the descriptors allow.
    max_connections: usize,
    /// Held while accepting only, so that a thread that is stuck does not keep it open.
    listener: Weak<Listener>,
    control: Arc<Control>,
    /// Each thread has its own of it.
    backoff: Backoff,
    /// What was accepted when the server was told to stop.
    left_over: Mutex<VecDeque<Stream>>,
    cancel: Arc<Cancel>,
    kind: PhantomData<fn() -> M>,
}

impl<H, M> Server<H, M> {
    /// Whether every thread that there may be has a connection.
    fn is_full(&self) -> bool {
        self.control.busy() >= self.max_connections
    }
}

impl<M: 'static, H: Handler<M>> Server<H, M> {
    /// Makes one more thread, unless there are enough.
    fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let Some(worker) = self.control.add_worker(self.max_connections) else { return Ok(()) };
        let server = Arc::clone(self);
        let name = "scgi-worker".to_owned();
        thread::Builder::new().name(name).spawn(move || server.work(worker)).map(drop)
    }

    fn work(self: Arc<Self>, worker: Worker) {
        let mut backoff = self.backoff.clone();
        while !self.control.is_stopping() {
            let Some(listener) = self.listener.upgrade() else { break };
            let accepted = listener.accept();
            drop(listener);
            match accepted {
                // The connection that wakes this thread brings nothing.
                Ok(stream) if self.control.is_stopping() && !has_input(&stream) => {}
                Ok(stream) => {
                    backoff.accepted();
                    self.serve(stream, &worker);
                    worker.rest();
                }
                // The listener was shut down to end this.
                Err(_) if self.control.is_stopping() => {}
                Err(error) => {
                    if let Some(delay) = backoff.after(&error) {
                        self.control.wait_for_stop(Some(delay));
                    }
                }
            }
        }
        while let Some(stream) = self.next_left_over() {
            self.serve(stream, &worker);
        }
        // The handler may be dropped here and may panic in that; the thread has ended all the
        // same.
        let _end = worker;
        drop(self);
    }

    fn serve(&self, stream: Stream, worker: &Worker) {
        let Some(admitted) = self.settings.admit(|| stream.peer()) else { return };
        let busy = worker.begin();
        let cancel = Arc::clone(&self.cancel);
        let connection = Connection::of_server(stream, &self.settings.config, cancel, admitted);
        // An error of one connection concerns nobody else; its peer was told. Nor does a panic
        // where a program's values are dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| answer(connection, &self.handler)));
        drop(busy);
    }

    fn next_left_over(&self) -> Option<Stream> {
        self.left_over.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Takes the connections that wait to be accepted: closing the listener would reset them.
    fn take_what_waits(self: &Arc<Self>, listener: &Listener) {
        let waiting = listener.accept_waiting(self.max_connections);
        let count = waiting.len();
        self.left_over.lock().unwrap_or_else(PoisonError::into_inner).extend(waiting);
        for _ in 0..count {
            // Without one more, they wait for those that run.
            let _ = self.spawn();
        }
    }
}

/// Serves the one request of a stream that is no socket of a [`Listener`]: a TLS stream, a pipe,
/// any [`Read`] + [`Write`].
///
/// # Errors
/// What went wrong with the connection, after the peer was told where that was possible.
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
    answer(Connection::new(io, config), &handler)
}

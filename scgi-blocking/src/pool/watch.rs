//! The thread that watches the others: it decides how many there are, and how the server ends.

use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::Summary;
use scgi_proto::server::{Backoff, ServerConfig};
#[cfg(all(feature = "systemd", unix))]
use scgi_proto::systemd::Notifier;
use scgi_proto::trace::Trace;

use super::rule::{Seen, TICK};
use super::work::Server;
use super::{Pool, Shutdown, asleep, stop};
use crate::handler::Handler;
use crate::listener::Listener;
use crate::socket::{Cancel, Wakeup, descriptors};

/// Runs a server until it is stopped.
///
/// # Errors
/// If not even one thread can be made.
pub(crate) fn run<M: 'static, H: Handler<M>>(
    listener: Listener,
    handler: H,
    config: &ServerConfig,
    max_upgraded: usize,
    shutdown: Shutdown,
    signal: Option<Box<dyn FnOnce() + Send>>,
) -> io::Result<Summary> {
    let (listener, pool) = (Arc::new(listener), Arc::clone(&shutdown.pool));
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let max = config.max_connections(descriptors(), 1 + Wakeup::DESCRIPTORS);
    pool.set_size(processors, max, max_upgraded);
    let server = Arc::new(Server {
        handler,
        config: config.clone(),
        listener: Arc::downgrade(&listener),
        pool: Arc::clone(&pool),
        backoff: Backoff::default(),
        cancel: Arc::new(Cancel::new()?),
        kind: PhantomData,
    });
    if let Some(signal) = signal {
        thread::Builder::new().name("scgi-signal".into()).spawn(move || {
            signal();
            shutdown.stop();
        })?;
    }
    server.spawn()?;
    let cancel = Arc::clone(&server.cancel);
    // The handler goes with the last thread that may call it.
    let mut watcher =
        Watcher { server: Arc::downgrade(&server), pool, listener, start: Instant::now() };
    drop(server);
    #[cfg(all(feature = "systemd", unix))]
    let mut alive = config.notifier.and_then(Alive::start);
    while !watcher.pool.is_stopping() {
        let pause = watcher.look();
        #[cfg(all(feature = "systemd", unix))]
        let pause = match alive.as_mut().map(Alive::tell) {
            Some(left) => Some(pause.map_or(left, |pause| pause.min(left))),
            None => pause,
        };
        watcher.pool.wait_for_look(pause);
    }
    #[cfg(all(feature = "systemd", unix))]
    if let Some(notifier) = config.notifier {
        notifier.stopping();
    }
    let Watcher { server, pool, listener, .. } = watcher;
    let begun = Instant::now();
    config.registry.begin_shutdown();
    let deadline = begun.checked_add(config.shutdown_deadline);
    stop::end_listening(&server, &pool, listener, deadline);
    let mut summary = stop::finish(&pool, &cancel, deadline);
    summary.waited = begun.elapsed();
    Ok(summary)
}

/// What the watching thread knows.
struct Watcher<H, M> {
    server: Weak<Server<H, M>>,
    pool: Arc<Pool>,
    listener: Arc<Listener>,
    /// The zero of the state's time.
    start: Instant,
}

impl<M: 'static, H: Handler<M>> Watcher<H, M> {
    /// Looks at the threads, and makes or calls those that are missing. Returns when to look again
    /// at the latest.
    fn look(&mut self) -> Option<Duration> {
        let server = self.server.upgrade()?;
        let now = self.start.elapsed();
        let (sample, is_short) = self.pool.begin_look(now);
        let is_waiting = is_short && self.listener.may_have_waiting();
        let sample = sample.filter(|_| is_waiting || !is_short);
        let asleep = sample.and_then(|threads| asleep::count(&threads));
        self.pool.look(now, &Seen { is_waiting, asleep });
        let mut to_make = self.pool.call(now);
        while to_make > 0 && !self.pool.is_stopping() {
            if let Err(error) = server.spawn() {
                if self.pool.spawn_failed(now) {
                    Trace::thread_failed(&error);
                }
                break;
            }
            to_make -= 1;
        }
        if self.pool.has_no_place(now) {
            return Some(self.make_room(&server));
        }
        self.pool.pause(self.start.elapsed())
    }

    /// If another connection waits for a place, closes the one that has waited longest for its head.
    /// Returns when to look again.
    fn make_room(&self, server: &Server<H, M>) -> Duration {
        let cx = Context::from_waker(Waker::noop());
        if server.config.registry.poll_evictable(&cx).is_pending() {
            return LONG_TICK;
        }
        let is_waiting = self.listener.is_connection_waiting(LONG_TICK);
        if is_waiting && self.pool.has_no_place(self.start.elapsed()) {
            server.make_room();
        }
        FULL_TICK
    }
}

/// How often a full server looks whether a connection waits for a place.
const FULL_TICK: Duration = TICK;

/// How often one looks whose connections all have their heads, so that none can make room.
const LONG_TICK: Duration = Duration::from_millis(20);

/// Tells systemd at intervals that the threads are looked after.
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

    /// Reports if it is time; returns how long until the next time.
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

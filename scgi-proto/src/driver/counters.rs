//! Counts what a server does, for an operator to read at any time.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::task::{Context, Poll, Waker, ready};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::trace::Trace;
use super::transport::Clock;
use crate::exchange::peer::Peer;
use crate::exchange::server::ServerExchange;
use crate::shutdown::Shutdown;
use crate::wire::response::Status;

/// The responses that a server sends by itself, each with its own count.
const REFUSALS: [Status; 6] = [
    Status::BAD_REQUEST,
    Status::REQUEST_TIMEOUT,
    Status::CONTENT_TOO_LARGE,
    Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
    Status::INTERNAL_SERVER_ERROR,
    Status::SERVICE_UNAVAILABLE,
];

/// Time that a connection has for its head although others wait for its place.
///
/// A front server sends the head at once, but on a busy machine it may not get to run between
/// the connect and that: what it asked should not be lost.
const GRACE: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Inner {
    accepted: AtomicU64,
    active: AtomicU64,
    denied: AtomicU64,
    evicted: AtomicU64,
    upgraded: AtomicU64,
    refused: [AtomicU64; REFUSALS.len()],
    received: AtomicU64,
    sent: AtomicU64,
    waiting: Mutex<Waiting>,
    shutdown: Shutdown,
}

/// Connections whose head has not come, oldest first, and whom to wake when one must go.
#[derive(Default)]
struct Waiting {
    next: u64,
    places: BTreeMap<u64, Place>,
    /// A full server, which waits for a connection to evict.
    full: Option<Waker>,
}

struct Place {
    since: Instant,
    waker: Waker,
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that can panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a server has counted so far; clones share the counts.
///
/// Each is exact, but two that are read one after the other need not fit together.
///
/// # Examples
/// ```
/// use scgi_proto::{Counters, Status};
/// let counters = Counters::default();
/// assert_eq!((counters.accepted(), counters.active()), (0, 0));
/// assert_eq!(counters.refused(Status::BAD_REQUEST), 0);
/// ```
#[derive(Clone, Default)]
pub struct Counters {
    inner: Arc<Inner>,
}

impl Counters {
    /// Connections accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.inner.accepted.load(Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.inner.active.load(Relaxed)
    }

    /// Connections closed at once because the [`AllowList`](crate::AllowList) does not have
    /// their peer; they are not in [`accepted`](Self::accepted).
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.inner.denied.load(Relaxed)
    }

    /// Connections closed to make room for others, because their head had not come.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.inner.evicted.load(Relaxed)
    }

    /// Connections that were upgraded, to a WebSocket for example. They stay
    /// [active](Self::active) until they are closed.
    #[must_use]
    pub fn upgraded(&self) -> u64 {
        self.inner.upgraded.load(Relaxed)
    }

    /// Requests answered by the server itself with this status: 400, 408, 413, 431 (by the
    /// peer's fault), 500 (the handler failed or panicked), 503 (it took too long); 0 for others.
    #[must_use]
    pub fn refused(&self, status: Status) -> u64 {
        let place = REFUSALS.iter().position(|refusal| *refusal == status);
        place.map_or(0, |place| self.inner.refused[place].load(Relaxed))
    }

    /// Bytes received on connections that are closed by now.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.inner.received.load(Relaxed)
    }

    /// Bytes sent on connections that are closed by now.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.inner.sent.load(Relaxed)
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Counters");
        debug.field("accepted", &self.accepted()).field("active", &self.active());
        debug.field("denied", &self.denied()).field("evicted", &self.evicted());
        debug.field("upgraded", &self.upgraded());
        for status in REFUSALS {
            debug.field(&alloc::format!("refused_{}", status.code()), &self.refused(status));
        }
        debug.field("received", &self.received()).field("sent", &self.sent()).finish()
    }
}

/// The connections of a server: it counts them, makes room, and tells them of the shutdown. A program
/// reads its [`Counters`]; clones are the same server's.
///
/// # Examples
/// ```
/// use scgi_proto::driver::Registry;
/// let registry = Registry::default();
/// let counters = registry.counters();
/// let connection = registry.accept();
/// assert_eq!((counters.accepted(), counters.active()), (1, 1));
/// drop(connection);
/// assert_eq!((counters.accepted(), counters.active()), (1, 0));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Registry {
    counters: Counters,
}

impl Registry {
    /// What it counts, to be read.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Counts a connection, which is active until the value is dropped.
    #[must_use]
    pub fn accept(&self) -> ConnectionGuard {
        self.counters.inner.accepted.fetch_add(1, Relaxed);
        self.counters.inner.active.fetch_add(1, Relaxed);
        ConnectionGuard { inner: Arc::clone(&self.counters.inner), place: None }
    }

    /// Counts a connection that was closed because its peer is not on the
    /// [`AllowList`](crate::AllowList).
    pub fn deny(&self, peer: &Peer) {
        self.counters.inner.denied.fetch_add(1, Relaxed);
        Trace::denied(peer);
    }

    /// Ready when a connection has waited for its head for 100 ms or more, so that a full server
    /// can make room. The task is woken when the first one begins to wait; then ask at intervals.
    pub fn poll_evictable(&self, cx: &Context<'_>) -> Poll<()> {
        match self.evictable_in(cx) {
            Some(Duration::ZERO) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    /// As [`poll_evictable`](Self::poll_evictable), and the task is woken when it is to be asked
    /// again.
    pub fn poll_evictable_at(&self, clock: &mut impl Clock, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.evictable_in(cx) {
                None => return Poll::Pending,
                Some(Duration::ZERO) => return Poll::Ready(()),
                Some(wait) => ready!(clock.poll_until(cx, clock.now() + wait)),
            }
        }
    }

    /// When the oldest connection without a head may be evicted; `None` if there is none.
    fn evictable_in(&self, cx: &Context<'_>) -> Option<Duration> {
        let mut waiting = self.counters.inner.waiting();
        let Some(oldest) = waiting.places.values().next() else {
            waiting.full = Some(cx.waker().clone());
            return None;
        };
        Some(GRACE.saturating_sub(oldest.since.elapsed()))
    }

    /// Makes room on a full server: tells the connection that has waited longest for its head to
    /// close. `false` if there is none.
    ///
    /// Front servers send the head at once, so it is hardly one of theirs.
    #[must_use]
    pub fn evict_oldest(&self) -> bool {
        let Some((_, oldest)) = self.counters.inner.waiting().places.pop_first() else {
            return false;
        };
        oldest.waker.wake();
        true
    }

    /// Says that the server stops: every
    /// [`Request::shutdown_signal`](crate::Request::shutdown_signal) of its connections completes.
    /// The log says how many connections are waited for.
    pub fn begin_shutdown(&self) {
        if self.counters.inner.shutdown.begin() {
            Trace::stopping(self.counters.active());
        }
    }
}

/// A connection that is counted as active, and may have to make room while its head has not
/// come.
///
/// # Examples
/// ```
/// use core::task::{Context, Waker};
/// use scgi_proto::driver::Registry;
/// let registry = Registry::default();
/// let mut connection = registry.accept();
/// let cx = Context::from_waker(Waker::noop());
/// assert!(connection.poll_evicted(&cx).is_pending());
/// assert!(registry.evict_oldest());
/// assert!(connection.poll_evicted(&cx).is_ready());
/// ```
pub struct ConnectionGuard {
    inner: Arc<Inner>,
    /// Given at the first wait for the head.
    place: Option<u64>,
}

impl ConnectionGuard {
    /// Ready when this connection must close for another; asked while its head has not come.
    pub fn poll_evicted(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut waiting = self.inner.waiting();
        let Some(place) = self.place else {
            let place = waiting.next;
            waiting.next += 1;
            let waker = cx.waker().clone();
            waiting.places.insert(place, Place { since: Instant::now(), waker });
            self.place = Some(place);
            let full = waiting.full.take();
            drop(waiting);
            if let Some(full) = full {
                full.wake();
            }
            return Poll::Pending;
        };
        match waiting.places.get_mut(&place) {
            Some(place) => {
                place.waker.clone_from(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// What tells the handler that the server stops.
    pub(super) fn shutdown(&self) -> &Shutdown {
        &self.inner.shutdown
    }

    /// The head of a 101 has left.
    pub(super) fn upgraded(&self) {
        self.inner.upgraded.fetch_add(1, Relaxed);
    }

    /// The head has come: this connection stays, although it may have been chosen to close.
    pub fn keep(&mut self) {
        self.leave_place();
    }

    /// Waits for no head any more. Returns whether this connection was chosen to make room.
    fn leave_place(&mut self) -> bool {
        let place = self.place.take();
        place.is_some_and(|place| self.inner.waiting().places.remove(&place).is_none())
    }

    /// Adds up what became of the connection.
    pub fn finish(&self, exchange: &ServerExchange) {
        let (received, sent) = exchange.byte_counts();
        self.inner.received.fetch_add(received, Relaxed);
        self.inner.sent.fetch_add(sent, Relaxed);
        let refusal = exchange.replacement();
        if let Some(place) = REFUSALS.iter().position(|status| Some(*status) == refusal) {
            self.inner.refused[place].fetch_add(1, Relaxed);
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if self.leave_place() {
            self.inner.evicted.fetch_add(1, Relaxed);
            Trace::evicted();
        }
        self.inner.active.fetch_sub(1, Relaxed);
    }
}

impl fmt::Debug for ConnectionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionGuard").finish_non_exhaustive()
    }
}

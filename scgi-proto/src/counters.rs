//! What a server counts, for an operator to read at any time.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use crate::exchange::Exchange;
use crate::response::Status;

/// The replies that a server gives by itself, each with its own count.
const REFUSALS: [Status; 6] = [
    Status::BAD_REQUEST,
    Status::REQUEST_TIMEOUT,
    Status::CONTENT_TOO_LARGE,
    Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
    Status::INTERNAL_SERVER_ERROR,
    Status::SERVICE_UNAVAILABLE,
];

#[derive(Default)]
struct Inner {
    accepted: AtomicU64,
    active: AtomicU64,
    refused: [AtomicU64; REFUSALS.len()],
    received: AtomicU64,
    sent: AtomicU64,
}

/// What a server has counted so far; clones share the counts.
///
/// Each is exact, but two that are read one after the other need not fit together.
///
/// # Examples
/// ```
/// use scgi_proto::{Counters, Status};
/// let counters = Counters::default();
/// let connection = counters.accept();
/// assert_eq!((counters.accepted(), counters.active()), (1, 1));
/// drop(connection);
/// assert_eq!((counters.accepted(), counters.active()), (1, 0));
/// assert_eq!(counters.refused(Status::BAD_REQUEST), 0);
/// ```
#[derive(Clone, Default)]
pub struct Counters {
    inner: Arc<Inner>,
}

impl Counters {
    /// Counts a connection, which is active until the value is dropped.
    #[must_use]
    pub fn accept(&self) -> Counted {
        self.inner.accepted.fetch_add(1, Relaxed);
        self.inner.active.fetch_add(1, Relaxed);
        Counted { inner: Arc::clone(&self.inner) }
    }

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
        for status in REFUSALS {
            debug.field(&alloc::format!("refused_{}", status.code()), &self.refused(status));
        }
        debug.field("received", &self.received()).field("sent", &self.sent()).finish()
    }
}

/// A connection that is counted as active.
pub struct Counted {
    inner: Arc<Inner>,
}

impl Counted {
    /// Adds up what became of the connection.
    pub fn finish(&self, exchange: &Exchange) {
        let (received, sent) = exchange.traffic();
        self.inner.received.fetch_add(received, Relaxed);
        self.inner.sent.fetch_add(sent, Relaxed);
        let refusal = exchange.refusal();
        if let Some(place) = REFUSALS.iter().position(|status| Some(*status) == refusal) {
            self.inner.refused[place].fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.inner.active.fetch_sub(1, Relaxed);
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").finish_non_exhaustive()
    }
}

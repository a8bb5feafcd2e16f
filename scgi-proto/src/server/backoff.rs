//! How long to wait after a failed accept.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use crate::driver::trace::Trace;

/// How long to wait after a failed accept.
///
/// A connection that its client took back fails alone: the next one is accepted at once. When
/// descriptors or memory have run out, accepting again at once would spin.
///
/// Clones are for other threads that accept from the same listener: each waits for itself, and
/// it is logged once.
///
/// # Examples
/// ```
/// use std::io::{Error, ErrorKind};
/// use std::time::Duration;
/// use scgi_proto::server::Backoff;
///
/// let mut backoff = Backoff::default();
/// assert_eq!(backoff.after(&ErrorKind::ConnectionAborted.into()), None);
/// let full = Error::other("too many open files");
/// assert_eq!(backoff.after(&full), Some(Duration::from_millis(10)));
/// assert_eq!(backoff.after(&full), Some(Duration::from_millis(20)));
/// for _ in 0..10 {
///     assert!(backoff.after(&full) <= Some(Duration::from_secs(1)));
/// }
/// backoff.accepted();
/// assert_eq!(backoff.after(&full), Some(Duration::from_millis(10)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    delay: Duration,
    /// Whether it was logged that the last accept of any thread failed.
    is_told: Arc<AtomicBool>,
}

impl Backoff {
    /// The time to wait after this error, if any.
    pub fn after(&mut self, error: &io::Error) -> Option<Duration> {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return None;
        }
        self.delay = (self.delay * 2).clamp(Duration::from_millis(10), Duration::from_secs(1));
        // One line, however many threads fail and however often.
        if !self.is_told.swap(true, Ordering::Relaxed) {
            Trace::accept_failed(error, self.delay);
        }
        Some(self.delay)
    }

    /// Begins anew: a connection was accepted.
    pub fn accepted(&mut self) {
        if !self.delay.is_zero() {
            self.delay = Duration::ZERO;
            self.is_told.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_accept_waits_ever_longer_up_to_a_second() {
        let mut backoff = Backoff::default();
        for kind in [
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::Interrupted,
        ] {
            assert_eq!(backoff.after(&kind.into()), None);
        }
        let full = io::Error::other("too many open files");
        let waits = core::array::from_fn(|_| backoff.after(&full).map(|wait| wait.as_millis()));
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000].map(Some));
    }
}

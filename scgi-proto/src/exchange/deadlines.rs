//! When each wait of a connection ends, and what then becomes of it.

use core::time::Duration;

use super::server::{Phase, ServerExchange};
use crate::exchange::timeout::Timeout;
use crate::wire::response::Status;

#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) body: Nanos,
    pub(super) write: Nanos,
    pub(super) drain: Nanos,
    /// Bytes that may still be read away.
    pub(super) drain_limit: u64,
}

/// When each wait ends; never, while nothing is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// Of the head, then of what is waited for of the body, then of draining.
    pub(super) input: Nanos,
    pub(super) write: Nanos,
    pub(super) request: Nanos,
}

/// A time in half the room of a `Duration`, as each connection that waits keeps several of them:
/// the largest, half a thousand years, is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nanos(u64);

impl Nanos {
    pub(super) const NEVER: Self = Self(u64::MAX);

    pub(super) fn new(time: Duration) -> Self {
        Self(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn after(self, now: Duration) -> Self {
        Self(self.0.saturating_add(Self::new(now).0))
    }

    pub(super) fn is_set(self) -> bool {
        self != Self::NEVER
    }

    pub(super) fn has_passed(self, now: Duration) -> bool {
        self.is_set() && self <= Self::new(now)
    }
}

impl ServerExchange {
    /// Says that a read has to wait, which starts the deadline of the body if it is one.
    pub fn handle_read_blocked(&mut self, now: Duration) {
        if self.head_seen && !self.deadlines.input.is_set() && self.phase == Phase::Open {
            self.deadlines.input = self.timeouts.body.after(now);
        }
    }

    /// Whether a read of the body has to wait, under its deadline.
    #[cfg(feature = "driver")]
    pub(crate) fn waits_for_body(&self) -> bool {
        self.head_seen && self.phase == Phase::Open && self.deadlines.input.is_set()
    }

    /// Says that the program wants no more of the body, which ends the deadline of a read that had
    /// to wait for it.
    pub fn handle_body_unwanted(&mut self) {
        if self.phase == Phase::Open && self.head_seen {
            self.deadlines.input = Nanos::NEVER;
        }
    }

    /// Says that a write has to wait, which starts its deadline.
    pub fn handle_write_blocked(&mut self, now: Duration) {
        if !self.deadlines.write.is_set() {
            self.deadlines.write = self.timeouts.write.after(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let next = self.next_deadline();
        next.is_set().then(|| Duration::from_nanos(next.0))
    }

    #[inline]
    fn next_deadline(&self) -> Nanos {
        let Deadlines { input, write, request } = self.deadlines;
        match self.phase {
            Phase::Open => input.min(write).min(request),
            Phase::Drain => input,
            // A stream may still hold back the end of the reply.
            Phase::Shutdown | Phase::Closed { .. } => write,
        }
    }

    /// As [`handle_timeout`](Self::handle_timeout), for where nothing has to wait and no timer
    /// tells. The time is asked only if there is a deadline, as it is not for free.
    #[inline]
    pub fn check_timeout(&mut self, now: impl FnOnce() -> Duration) -> Option<Timeout> {
        if self.next_deadline().is_set() { self.handle_timeout(now()) } else { None }
    }

    /// Acts on deadlines that have passed at `now`, and says which.
    ///
    /// A late head or body is answered with 408 while a reply can still start, and with silence
    /// if the peer never sent a byte; a request that takes too long with 503. Otherwise the
    /// connection breaks.
    pub fn handle_timeout(&mut self, now: Duration) -> Option<Timeout> {
        let passed = |deadline: Nanos| deadline.has_passed(now);
        let Deadlines { input, write, request } = self.deadlines;
        if self.phase == Phase::Drain {
            return passed(input).then(|| {
                self.close();
                Timeout::Drain
            });
        }
        if passed(write) {
            self.phase = Phase::Closed { reset: true };
            self.deadlines.write = Nanos::NEVER;
            return Some(Timeout::Write);
        }
        if self.phase != Phase::Open {
            return None;
        }
        let timeout = match (passed(input), passed(request)) {
            (true, _) if self.head_seen => Timeout::Body,
            (true, _) => Timeout::Head,
            (_, true) => Timeout::Request,
            _ => return None,
        };
        self.deadlines = Deadlines { input: Nanos::NEVER, write, request: Nanos::NEVER };
        self.refused |= timeout != Timeout::Request;
        if self.received == 0 {
            self.close();
        } else if !self.can_replace_reply() {
            self.abort();
        } else if timeout == Timeout::Request {
            self.refuse(Status::SERVICE_UNAVAILABLE, &timeout);
        } else {
            self.refuse(Status::REQUEST_TIMEOUT, &timeout);
        }
        Some(timeout)
    }
}

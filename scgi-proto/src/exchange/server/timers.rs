//! The bounds of a connection's waits, and when each wait ends.

use core::time::Duration;

use super::pace::PerByte;
use crate::exchange::nanos::Nanos;

/// The bounds of a connection that do not change, but for the last bytes to drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeouts {
    pub(super) body: Nanos,
    pub(super) unread: Nanos,
    pub(super) write: Nanos,
    pub(super) drain: Nanos,
    /// Bytes that may still be drained.
    pub(super) max_drain_len: u64,
    pub(super) body_per_byte: PerByte,
    pub(super) write_per_byte: PerByte,
}

/// When each wait ends; never, while nothing is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// Of the head, then of what is waited for of the body or of a program that does not read it,
    /// then of draining.
    pub(super) input: Nanos,
    pub(super) write: Nanos,
    pub(super) request: Nanos,
    /// When to ask the system.
    pub(super) tick: Nanos,
}

impl Deadlines {
    pub(super) const NEVER: Self = Self {
        input: Nanos::NEVER,
        write: Nanos::NEVER,
        request: Nanos::NEVER,
        tick: Nanos::NEVER,
    };

    /// Those of a connection that was accepted at `now`.
    pub(super) fn of_head(head: Nanos, request: Nanos, now: Duration) -> Self {
        Self { input: head.after(now), request: request.after(now), ..Self::NEVER }
    }
}

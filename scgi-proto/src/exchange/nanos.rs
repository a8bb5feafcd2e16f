//! A time in the compact form that a connection keeps.

use core::time::Duration;

/// A time in half the room of a `Duration`, as each connection that waits keeps several of them:
/// the largest, half a thousand years, is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nanos(u64);

impl Nanos {
    pub(super) const NEVER: Self = Self(u64::MAX);
    pub(super) const ZERO: Self = Self(0);

    #[inline]
    pub(super) const fn new(time: Duration) -> Self {
        let nanos = time.as_nanos();
        if nanos < u64::MAX as u128 { Self(nanos as u64) } else { Self::NEVER }
    }

    pub(super) fn after(self, now: Duration) -> Self {
        self.plus(Self::new(now).0)
    }

    #[inline]
    pub(super) fn plus(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    pub(super) fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    pub(super) fn count(self) -> u64 {
        self.0
    }

    pub(super) fn is_set(self) -> bool {
        self != Self::NEVER
    }

    pub(super) fn to_duration(self) -> Option<Duration> {
        self.is_set().then(|| Duration::from_nanos(self.count()))
    }

    pub(super) fn has_passed(self, now: Duration) -> bool {
        self.is_set() && self <= Self::new(now)
    }
}

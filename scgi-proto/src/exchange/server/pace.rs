//! Checks the minimum rate at which a peer must send or read bytes.

use core::time::Duration;

use crate::exchange::nanos::Nanos;

/// How much longer a peer may keep its server waiting: each wait costs time, each byte earns some.
///
/// A peer starts with the grace period. What it earns ahead is bounded, as otherwise a fast start
/// would pay for hours of trickling.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Time that is left; never ends if there is no minimum rate.
    left: Nanos,
    /// Since when a wait is not paid for; never, while nothing waits.
    since: Nanos,
}

/// The time that a byte earns, in nanoseconds; 0 if there is no minimum rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PerByte(u32);

impl PerByte {
    pub(super) const fn at(bytes_per_second: u32) -> Self {
        match 1_000_000_000_u32.checked_div(bytes_per_second) {
            None => Self(0),
            // At a thousand million bytes a second and more, a byte still earns something.
            Some(0) => Self(1),
            Some(nanos) => Self(nanos),
        }
    }
}

impl Pace {
    pub(super) fn new(per_byte: PerByte, grace: Nanos) -> Self {
        let left = if per_byte.0 == 0 { Nanos::NEVER } else { grace };
        Self { left, since: Nanos::NEVER }
    }

    /// A wait begins, or continues.
    pub(super) fn begin(&mut self, now: Duration) {
        if !self.since.is_set() {
            self.since = Nanos::new(now);
        }
    }

    /// Pays for a wait until now; it continues.
    pub(super) fn pay(&mut self, now: Duration) {
        if self.since.is_set() && self.left.is_set() {
            // Not beyond the deadline: one that moved with the time would never pass.
            let paid = Nanos::new(now).less(self.since).min(self.left);
            self.left = self.left.less(paid);
            self.since = self.since.plus(paid.count());
        }
    }

    /// A wait is over. What was not paid for is free.
    #[inline]
    pub(super) fn end(&mut self) {
        self.since = Nanos::NEVER;
    }

    /// Bytes have moved; `bound` is the most that can be earned ahead.
    #[inline]
    pub(super) fn earn(&mut self, bytes: usize, per_byte: PerByte, bound: Nanos) {
        if self.left < bound {
            let earned = (bytes as u64).saturating_mul(u64::from(per_byte.0));
            self.left = self.left.plus(earned).min(bound);
        }
    }

    /// When the peer is too slow, unless bytes move before.
    #[inline]
    pub(super) fn deadline(&self) -> Nanos {
        self.since.plus(self.left.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Nanos = Nanos::new(Duration::from_secs(60));

    fn seconds(pace: &Pace, now: u64) -> Option<u64> {
        let deadline = pace.deadline();
        deadline.is_set().then(|| deadline.count() / 1_000_000_000 - now)
    }

    #[test]
    fn a_wait_costs_time_and_a_byte_earns_some() {
        let per_byte = PerByte::at(100);
        let mut pace = Pace::new(per_byte, Nanos::new(Duration::from_secs(10)));
        assert_eq!(seconds(&pace, 0), None, "nothing waits");
        pace.begin(Duration::from_secs(5));
        assert_eq!(seconds(&pace, 5), Some(10));
        pace.begin(Duration::from_secs(7));
        assert_eq!(seconds(&pace, 7), Some(8), "it is the same wait");
        pace.pay(Duration::from_secs(8));
        assert_eq!(seconds(&pace, 8), Some(7));
        pace.earn(200, per_byte, BOUND);
        pace.end();
        assert_eq!(seconds(&pace, 8), None);
        pace.begin(Duration::from_secs(100));
        assert_eq!(seconds(&pace, 100), Some(9));
        pace.earn(1 << 40, per_byte, BOUND);
        assert_eq!(seconds(&pace, 100), Some(60), "not more ahead");
        pace.pay(Duration::from_secs(1000));
        assert_eq!(seconds(&pace, 160), Some(0), "it stays when it was");
    }

    #[test]
    fn a_rate_of_0_is_none() {
        let per_byte = PerByte::at(0);
        let mut pace = Pace::new(per_byte, Nanos::new(Duration::from_secs(10)));
        pace.begin(Duration::ZERO);
        pace.pay(Duration::from_secs(1000));
        pace.earn(1, per_byte, BOUND);
        assert_eq!(seconds(&pace, 0), None);
        assert_eq!(PerByte::at(u32::MAX).0, 1);
    }
}

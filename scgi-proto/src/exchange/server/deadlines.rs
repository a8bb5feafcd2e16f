//! When each wait of a connection ends, and what then becomes of it.

use core::time::Duration;

use super::ServerExchange;
use super::flow::ReadPlan;
use super::state::{BodyUse, Phase};
use super::timers::Deadlines;
use crate::exchange::nanos::Nanos;
use crate::exchange::timeout::Timeout;
use crate::wire::response::Status;

/// How often the system is asked while a connection waits: whether the peer has left, and whether
/// there is room for a write.
const TICK: Nanos = Nanos::new(Duration::from_secs(1));

/// What to try before a deadline is judged; see [`ServerExchange::last_tries`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastTries {
    /// Read what waits in the system, and report it as any read.
    pub read: bool,
    /// Write what the system takes, and report it as any write.
    pub write: bool,
    /// Ask whether the peer has left; see [`ServerExchange::handle_peer_left`].
    pub look: bool,
}

impl ServerExchange {
    /// Reports that a read has to wait, which starts the deadline of the body if it is one.
    pub fn handle_read_blocked(&mut self, now: Duration) {
        if self.head_seen && !self.deadlines.input.is_set() && self.phase == Phase::Open {
            self.deadlines.input = self.timeouts.body.after(now);
            self.body_pace.begin(now);
        }
    }

    /// Whether a body that has not come yet may be waited for at all: not with a body timeout of
    /// zero. For adapters whose reads wait a moment by themselves.
    #[must_use]
    pub fn may_wait_for_body(&self) -> bool {
        self.timeouts.body != Nanos::ZERO
    }

    /// Whether a read of the body has to wait, under its deadline.
    #[cfg(feature = "driver")]
    #[inline]
    pub(crate) fn waits_for_body(&self) -> bool {
        self.deadlines.input.is_set()
            && self.head_seen
            && self.phase == Phase::Open
            && matches!(self.body, BodyUse::Wanted | BodyUse::Asked)
    }

    /// Reports that no one waits any more for a read of the body that was
    /// [blocked](Self::handle_read_blocked), which ends its deadline.
    pub fn handle_read_withdrawn(&mut self, now: impl FnOnce() -> Duration) {
        let waits = self.head_seen
            && self.phase == Phase::Open
            && self.deadlines.input.is_set()
            && matches!(self.body, BodyUse::Wanted | BodyUse::Asked);
        if waits {
            self.body_pace.pay(now());
            self.body_pace.end();
            self.deadlines.input = Nanos::NEVER;
        }
    }

    /// Reports that a write has to wait, which starts its deadline.
    pub fn handle_write_blocked(&mut self, now: Duration) {
        if !self.deadlines.write.is_set() {
            self.deadlines.write = self.timeouts.write.after(now);
            self.write_pace.begin(now);
        }
        self.tick_after(now);
    }

    /// Whether a write has to wait, under its deadline.
    #[cfg(feature = "driver")]
    #[inline]
    pub(crate) fn waits_for_write(&self) -> bool {
        self.deadlines.write.is_set()
    }

    /// Reports the time before a read or a write that was blocked is tried again: the wait so far
    /// counts for the minimum rates. A wait that is not reported counts as none.
    pub fn handle_waited(&mut self, now: Duration) {
        self.body_pace.pay(now);
        self.write_pace.pay(now);
    }

    /// Reports that the connection waits as [`ReadPlan::Watch`] says, so that
    /// [`poll_timeout`](Self::poll_timeout) includes the next time to ask the system.
    pub fn handle_watching(&mut self, now: impl FnOnce() -> Duration) {
        if !self.deadlines.tick.is_set() {
            self.tick_after(now());
        }
    }

    fn tick_after(&mut self, now: Duration) {
        if !self.deadlines.tick.is_set() {
            self.deadlines.tick = TICK.after(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.next_deadline().to_duration()
    }

    #[inline]
    fn next_deadline(&self) -> Nanos {
        let Deadlines { input, write, request, tick } = self.deadlines;
        match self.phase {
            Phase::Open => {
                let rates = self.body_pace.deadline().min(self.write_pace.deadline());
                input.min(write).min(request).min(tick).min(rates)
            }
            Phase::Drain => input,
            // A stream may still hold back the end of the response.
            Phase::Shutdown | Phase::Upgraded | Phase::Closed { .. } => write,
        }
    }

    /// As [`handle_timeout`](Self::handle_timeout), for where nothing has to wait and no timer
    /// reports the time. The time is asked for only if there is a deadline, as it is not free.
    #[inline]
    pub fn check_timeout(&mut self, now: impl FnOnce() -> Duration) -> Option<Timeout> {
        if self.next_deadline().is_set() { self.handle_timeout(now()) } else { None }
    }

    /// The time, if something is due now.
    #[cfg(feature = "driver")]
    #[inline]
    pub(crate) fn time_if_due(&self, now: impl FnOnce() -> Duration) -> Option<Duration> {
        let next = self.next_deadline();
        if !next.is_set() {
            return None;
        }
        let now = now();
        next.has_passed(now).then_some(now)
    }

    /// What to try, with calls that reach the system, before
    /// [`handle_timeout`](Self::handle_timeout) judges what is due at `now`: after a pause of the
    /// process, bytes may wait that the program has not heard of.
    #[must_use]
    pub fn last_tries(&self, now: Duration) -> LastTries {
        let Deadlines { input, write, tick, .. } = self.deadlines;
        let passed = |deadline: Nanos| deadline.has_passed(now);
        let plan = self.read_plan();
        let reads = plan == ReadPlan::Deliver || self.phase == Phase::Drain;
        LastTries {
            read: reads && (passed(input) || passed(self.body_pace.deadline())),
            write: self.wants_write()
                && (passed(write) || passed(tick) || passed(self.write_pace.deadline())),
            look: plan == ReadPlan::Watch && passed(tick),
        }
    }

    /// Acts on deadlines that have passed at `now`, and returns which.
    ///
    /// A head or body that is late or too slow is answered with 408 while a response can still
    /// start, and with silence if the peer never sent a byte; a request that takes too long with
    /// 503. Otherwise the connection breaks.
    pub fn handle_timeout(&mut self, now: Duration) -> Option<Timeout> {
        let passed = |deadline: Nanos| deadline.has_passed(now);
        if passed(self.deadlines.tick) {
            self.deadlines.tick = Nanos::NEVER;
        }
        let Deadlines { input, write, request, .. } = self.deadlines;
        if self.phase == Phase::Drain {
            return passed(input).then(|| {
                self.close();
                Timeout::Drain
            });
        }
        if passed(write) {
            return Some(self.break_off(Timeout::Write));
        }
        if self.phase != Phase::Open {
            return None;
        }
        if passed(self.write_pace.deadline()) {
            return Some(self.break_off(Timeout::WriteRate));
        }
        let timeout = if passed(input) {
            self.input_timeout()
        } else if passed(self.body_pace.deadline()) {
            Timeout::BodyRate
        } else if passed(request) {
            Timeout::Request
        } else {
            return None;
        };
        self.act_on(timeout);
        Some(timeout)
    }

    fn input_timeout(&self) -> Timeout {
        match self.body {
            _ if !self.head_seen => Timeout::Head,
            BodyUse::Held => Timeout::Unread,
            _ => Timeout::Body,
        }
    }

    fn break_off(&mut self, timeout: Timeout) -> Timeout {
        self.phase = Phase::Closed { reset: true };
        self.deadlines.write = Nanos::NEVER;
        self.write_pace.end();
        timeout
    }

    fn act_on(&mut self, timeout: Timeout) {
        self.deadlines.input = Nanos::NEVER;
        self.body_pace.end();
        let of_body = matches!(timeout, Timeout::Body | Timeout::BodyRate);
        if of_body && self.body == BodyUse::Asked {
            self.body = BodyUse::TimedOut;
        } else {
            self.end_after_timeout(timeout);
        }
    }

    /// Answers a request that was late, or breaks the connection.
    pub(super) fn end_after_timeout(&mut self, timeout: Timeout) {
        self.deadlines.request = Nanos::NEVER;
        let of_program = matches!(timeout, Timeout::Request | Timeout::Unread);
        self.request_failed |= !of_program;
        if self.received == 0 {
            self.close();
        } else if !self.can_replace_response() {
            self.abort();
        } else if of_program {
            self.answer_instead(Status::SERVICE_UNAVAILABLE, &timeout);
        } else {
            self.answer_instead(Status::REQUEST_TIMEOUT, &timeout);
        }
    }
}

//! Reports to systemd that an accept loop still runs.

use core::fmt;
use core::task::Context;
use core::time::Duration;

use crate::driver::Clock;
use crate::net::systemd::Notifier;

/// Tells systemd at intervals that the accept loop that polls it is alive.
///
/// # Examples
/// ```
/// # use core::task::{Context, Poll, Waker};
/// # use core::time::Duration;
/// # struct Timeless;
/// # impl scgi_proto::driver::Clock for Timeless {
/// #     fn now(&self) -> Duration { Duration::ZERO }
/// #     fn poll_until(&mut self, _: &mut Context<'_>, _: Duration) -> Poll<()> { Poll::Pending }
/// # }
/// use scgi_proto::server::Watchdog;
/// use scgi_proto::systemd::Notifier;
/// let mut watchdog = Watchdog::start(Notifier::from_env(), Timeless);
/// watchdog.poll(&mut Context::from_waker(Waker::noop()));
/// ```
pub struct Watchdog<C> {
    notifier: Notifier,
    clock: C,
    /// When to tell next.
    next: Duration,
}

impl<C: Clock> Watchdog<C> {
    /// Reports that the service is ready.
    pub fn start(notifier: Notifier, clock: C) -> Self {
        notifier.ready();
        let next = clock.now() + notifier.interval().unwrap_or_default();
        Self { notifier, clock, next }
    }

    /// Reports that the service stops; it is alive until it has.
    pub fn stopping(notifier: Notifier, clock: C) -> Self {
        notifier.stopping();
        let next = clock.now() + notifier.interval().unwrap_or_default();
        Self { notifier, clock, next }
    }

    /// Reports what is due, and has the task woken for the next time.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(interval) = self.notifier.interval() else { return };
        while self.clock.poll_until(cx, self.next).is_ready() {
            let now = self.clock.now();
            if now >= self.next {
                self.notifier.alive();
                self.next = now + interval;
            }
        }
    }
}

impl<C> fmt::Debug for Watchdog<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("next", &self.next).finish_non_exhaustive()
    }
}

//! Waiting: the time of a connection, and what ends a wait of its thread.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::driver;

use crate::socket::{Cancel, Interest, Socket, Wakeup, wait};

thread_local! {
    static WAKEUP: Arc<Wakeup> = Arc::default();
    static WAKER: Waker = WAKEUP.with(Arc::clone).into();
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}

/// What ends a wait of this thread.
pub(crate) fn this_thread() -> Waker {
    // Where the thread itself is ending, nothing is waited for.
    WAKER.try_with(Waker::clone).unwrap_or_else(|_| Waker::noop().clone())
}

/// Closes the descriptor that this thread keeps for its waits.
pub(crate) fn close_wakeup() {
    WAKEUP.with(|wakeup| wakeup.close());
}

/// Polls with what ends a wait of this thread.
#[inline]
pub(crate) fn with_waker<R>(poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
    WAKER.with(|waker| poll(&mut Context::from_waker(waker)))
}

/// The time of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Time {
    start: Instant,
    #[cfg(test)]
    virtual_time: Option<crate::virtual_time::VirtualTime>,
}

impl Time {
    pub(crate) fn begin() -> Self {
        Self {
            start: Instant::now(),
            #[cfg(test)]
            virtual_time: crate::virtual_time::VirtualTime::current(),
        }
    }

    fn now(&self) -> Duration {
        #[cfg(test)]
        if let Some(time) = &self.virtual_time {
            return time.now();
        }
        self.start.elapsed()
    }
}

/// The clock of a connection, and until when it waits.
#[derive(Debug)]
pub(crate) struct Clock {
    time: Time,
    until: Option<Duration>,
}

impl Clock {
    pub(crate) fn begin() -> Self {
        Self { time: Time::begin(), until: None }
    }

    /// Begins a poll of the driver.
    #[inline]
    pub(crate) fn begin_poll(&mut self) {
        self.until = None;
    }

    /// The wait of a poll that has just been pending.
    pub(crate) fn wait_for(&self, interest: Interest) -> Wait {
        Wait { interest, until: self.until, time: self.time.clone() }
    }
}

impl driver::Clock for Clock {
    fn now(&self) -> Duration {
        self.time.now()
    }

    fn poll_until(&mut self, _: &mut Context<'_>, at: Duration) -> Poll<()> {
        if self.time.now() >= at {
            return Poll::Ready(());
        }
        self.until = Some(self.until.map_or(at, |until| until.min(at)));
        Poll::Pending
    }
}

/// What a connection waits for.
pub(crate) struct Wait {
    interest: Interest,
    until: Option<Duration>,
    time: Time,
}

impl Wait {
    /// Waits until the socket is ready, the time has come, `cancel` is set or, if `is_woken`, this
    /// thread is woken. May return early for no reason.
    pub(crate) fn run(
        &self,
        socket: Option<&dyn Socket>,
        cancel: Option<&Cancel>,
        is_woken: bool,
    ) -> io::Result<()> {
        let left = self.until.map(|until| until.saturating_sub(self.time.now()));
        #[cfg(test)]
        if let Some(time) = &self.time.virtual_time {
            if !WAKEUP.with(|wakeup| wakeup.take()) {
                time.pass(left);
            }
            return Ok(());
        }
        let Some(socket) = socket else {
            pause(left);
            return Ok(());
        };
        WAKEUP
            .with(|wakeup| wait(socket, self.interest, left, cancel, is_woken.then_some(&**wakeup)))
    }
}

/// Waits a moment for a stream that cannot be waited for, so that one in non-blocking mode does
/// not keep a processor busy.
pub(crate) fn pause(left: Option<Duration>) {
    let moment = Duration::from_millis(1);
    thread::sleep(left.map_or(moment, |left| left.min(moment)));
}

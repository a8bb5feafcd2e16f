//! A clock for tests: its time passes only while a connection waits, without a real delay.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a test's peer does at a time.
pub(crate) type Deed = Box<dyn FnOnce() + Send>;

thread_local! {
    static CURRENT: RefCell<Option<VirtualTime>> = const { RefCell::new(None) };
}

/// The time of all connections that are made on a thread once it is [set](VirtualTime::set).
#[derive(Clone)]
pub(crate) struct VirtualTime(Arc<Mutex<State>>);

struct State {
    now: Duration,
    script: VecDeque<(Duration, Deed)>,
}

impl fmt::Debug for VirtualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtualTime").field(&self.now()).finish()
    }
}

impl VirtualTime {
    /// Sets the time of this thread to zero, with what the peer does from here on, in order.
    pub(crate) fn set(script: impl IntoIterator<Item = (Duration, Deed)>) -> Self {
        let state = State { now: Duration::ZERO, script: script.into_iter().collect() };
        let time = Self(Arc::new(Mutex::new(state)));
        CURRENT.set(Some(time.clone()));
        time
    }

    pub(crate) fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    /// Lets time pass that a program needs.
    pub(crate) fn advance(&self, time: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now += time;
    }

    /// A wait of at most `left`: until the peer does something, or to its end.
    ///
    /// # Panics
    /// If it is a wait indefinitely.
    pub(crate) fn pass(&self, left: Option<Duration>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = left.map(|left| state.now + left);
        match state.script.front() {
            Some((at, _)) if until.is_none_or(|until| *at <= until) => {
                let (at, deed) = state.script.pop_front().expect("it is there");
                state.now = state.now.max(at);
                drop(state);
                deed();
            }
            _ => state.now = until.expect("nothing ends this wait"),
        }
    }
}

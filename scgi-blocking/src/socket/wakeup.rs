//! What ends the wait of one thread, on Unix.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Wakes one thread, whatever it waits for.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_set: bool,
    /// Made when the thread waits for the first time; shared with its waits.
    event: Option<Arc<Event>>,
}

impl Wakeup {
    /// Descriptors that each thread may hold for it: the bound on connections counts them.
    pub(crate) const DESCRIPTORS: u64 = Event::DESCRIPTORS;

    /// What is readable when it is set; `None` if the system has no descriptors for it.
    pub(super) fn event(&self) -> Option<Arc<Event>> {
        let mut state = self.lock();
        if state.event.is_none() {
            state.event = Event::new().ok().map(Arc::new);
        }
        state.event.clone()
    }

    /// Closes its descriptors, until the thread waits again.
    pub(crate) fn close(&self) {
        self.lock().event = None;
    }

    /// Wakes the thread, if it waits, or ends its next wait.
    pub(crate) fn set(&self) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.is_set, true) {
            if let Some(event) = &state.event {
                event.set();
            }
        }
    }

    /// Takes back that it was set; returns whether it was.
    pub(crate) fn take(&self) -> bool {
        let mut state = self.lock();
        if state.is_set {
            if let Some(event) = &state.event {
                event.clear();
            }
        }
        std::mem::take(&mut state.is_set)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) use event::Event;

/// One descriptor, which the system has for this.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod event {
    use std::os::fd::OwnedFd;

    use rustix::event::{EventfdFlags, eventfd};

    use super::{AsFd, BorrowedFd, io};

    #[derive(Debug)]
    pub(crate) struct Event(OwnedFd);

    impl Event {
        pub(super) const DESCRIPTORS: u64 = 1;

        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
        }

        pub(super) fn set(&self) {
            // It was zero.
            let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }

        pub(super) fn clear(&self) {
            let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
        }
    }

    impl AsFd for Event {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

/// A byte that is sent ends the wait for the receiver.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod event {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::{AsFd, BorrowedFd, io};

    #[derive(Debug)]
    pub(crate) struct Event {
        sender: UnixStream,
        receiver: UnixStream,
    }

    impl Event {
        pub(super) const DESCRIPTORS: u64 = 2;

        pub(super) fn new() -> io::Result<Self> {
            let (sender, receiver) = UnixStream::pair()?;
            receiver.set_nonblocking(true)?;
            Ok(Self { sender, receiver })
        }

        pub(super) fn set(&self) {
            // There is room for one byte.
            let _ = (&self.sender).write(&[0]);
        }

        pub(super) fn clear(&self) {
            let _ = (&self.receiver).read(&mut [0]);
        }
    }

    impl AsFd for Event {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.receiver.as_fd()
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_readable(event: &Event) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(event, PollFlags::IN)], Some(&now)).expect("a poll") > 0
    }

    #[test]
    fn an_event_is_readable_from_set_to_take() {
        let wakeup = Wakeup::default();
        let event = wakeup.event().expect("descriptors");
        for _ in 0..3 {
            assert!(!is_readable(&event) && !wakeup.take());
            wakeup.set();
            wakeup.set();
            assert!(is_readable(&event));
            assert!(wakeup.take());
        }
        assert!(Arc::ptr_eq(&event, &wakeup.event().expect("the same")), "one for each thread");
    }

    #[test]
    fn what_was_set_without_an_event_is_taken_once() {
        let wakeup = Wakeup::default();
        wakeup.set();
        let event = wakeup.event().expect("descriptors");
        assert!(wakeup.take());
        assert!(!wakeup.take() && !is_readable(&event));
        wakeup.set();
        wakeup.close();
        assert!(wakeup.take() && !wakeup.take());
        assert!(!is_readable(&wakeup.event().expect("a new one")));
    }
}

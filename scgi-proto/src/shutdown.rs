//! Tells handlers that their server is shutting down.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;
use std::vec::Vec;

/// What a server and the requests in progress share of its shutdown.
#[derive(Default)]
struct SignalState {
    is_set: AtomicBool,
    begun: OnceLock<Instant>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// The tasks to wake.
#[derive(Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl SignalState {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that can panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server's end: one for all of its connections.
#[derive(Clone, Default)]
pub(crate) struct Shutdown {
    shared: Arc<SignalState>,
}

impl Shutdown {
    /// Completes every [`ShutdownSignal`] of this server. `false` if that was done before.
    pub(crate) fn begin(&self) -> bool {
        if self.shared.begun.set(Instant::now()).is_err() {
            return false;
        }
        let wakers: Vec<_> = {
            let mut waiting = self.shared.waiting();
            // Under the lock: anyone who begins to wait sees this, or is seen here.
            self.shared.is_set.store(true, Ordering::Release);
            core::mem::take(&mut waiting.wakers).into_values().collect()
        };
        self.shared.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    /// How long ago the shutdown began, if it has.
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        let is_set = self.shared.is_set.load(Ordering::Acquire);
        self.shared.begun.get().filter(|_| is_set).map(Instant::elapsed)
    }

    pub(crate) fn signal(&self) -> ShutdownSignal {
        ShutdownSignal { shared: Some(Arc::clone(&self.shared)), place: None }
    }
}

/// Completes when the server of a request begins to stop; from
/// [`Request::shutdown_signal`](crate::Request::shutdown_signal).
///
/// A server that stops waits for the requests in progress, up to its shutdown deadline. A response
/// that has no end of its own, such as a stream of server-sent events, should end at this signal:
/// otherwise each restart takes the whole deadline, in which a single backend answers no one.
///
/// As a future it is for asynchronous handlers. Handlers on threads ask [`is_set`](Self::is_set),
/// or wait with [`wait`](Self::wait) where they would sleep. Clones complete at the same time. The
/// signal of a request that no server has received never completes.
///
/// # Cancel safety
/// Safe: it can be dropped and asked for again.
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use core::time::Duration;
/// use scgi_proto::{Request, RequestHead};
///
/// let request = Request::<Bytes>::new(RequestHead::builder("GET", "/events").build(), "");
/// let signal = request.shutdown_signal();
/// assert!(!signal.is_set()); // no server has received it
/// assert!(!signal.wait(Duration::from_millis(1)));
/// ```
#[derive(Default)]
pub struct ShutdownSignal {
    /// `None` if no server has received the request.
    shared: Option<Arc<SignalState>>,
    /// Given at the first wait.
    place: Option<u64>,
}

impl ShutdownSignal {
    /// Whether the server stops.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.is_set.load(Ordering::Acquire))
    }

    /// Blocks the thread until the server stops, at most for `timeout`. Returns whether it stops.
    /// In an asynchronous handler, await the signal instead.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let Some(shared) = &self.shared else {
            thread::sleep(timeout);
            return false;
        };
        let is_running = |_: &mut Waiting| !shared.is_set.load(Ordering::Acquire);
        let waited = shared.changed.wait_timeout_while(shared.waiting(), timeout, is_running);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.is_set()
    }
}

impl Future for ShutdownSignal {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, place } = &mut *self;
        let Some(shared) = shared else { return Poll::Pending };
        if shared.is_set.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let mut waiting = shared.waiting();
        if shared.is_set.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let place = *place.get_or_insert_with(|| {
            waiting.next += 1;
            waiting.next
        });
        let old = waiting.wakers.insert(place, cx.waker().clone());
        drop(waiting);
        drop(old);
        Poll::Pending
    }
}

impl Clone for ShutdownSignal {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), place: None }
    }
}

impl Drop for ShutdownSignal {
    fn drop(&mut self) {
        if let (Some(shared), Some(place)) = (&self.shared, self.place) {
            let waker = shared.waiting().wakers.remove(&place);
            drop(waker);
        }
    }
}

impl fmt::Debug for ShutdownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownSignal").field("is_set", &self.is_set()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicUsize;
    use std::format;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn every_signal_completes_when_the_shutdown_begins() {
        let (shutdown, count) = (Shutdown::default(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let (mut first, mut second) = (shutdown.signal(), shutdown.signal());
        let mut dropped = first.clone();
        for signal in [&mut first, &mut second, &mut dropped] {
            assert!(Pin::new(&mut *signal).poll(&mut cx).is_pending());
            assert!(Pin::new(&mut *signal).poll(&mut cx).is_pending());
            assert!(!signal.is_set());
        }
        drop(dropped);
        assert_eq!(shutdown.shared.waiting().wakers.len(), 2, "one for each that waits");
        assert_eq!(shutdown.elapsed(), None);
        assert!(shutdown.begin());
        assert!(!shutdown.begin(), "a second time changes nothing");
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        let mut late = shutdown.signal();
        for signal in [&mut first, &mut second, &mut late] {
            assert!(Pin::new(&mut *signal).poll(&mut cx).is_ready());
            assert!(signal.is_set() && signal.wait(Duration::MAX));
        }
        assert!(shutdown.elapsed().is_some());
        assert_eq!(format!("{first:?}"), "ShutdownSignal { is_set: true, .. }");
    }

    #[test]
    fn a_thread_waits_for_the_shutdown() {
        let shutdown = Shutdown::default();
        let signal = shutdown.signal();
        assert!(!signal.wait(Duration::from_millis(1)));
        let waiter = thread::spawn(move || signal.wait(Duration::from_secs(60)));
        thread::sleep(Duration::from_millis(10));
        assert!(shutdown.begin());
        assert!(waiter.join().expect("no panic"));
    }

    #[test]
    fn the_signal_of_no_server_never_completes() {
        let mut signal = ShutdownSignal::default();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut signal).poll(&mut cx).is_pending());
        assert!(!signal.is_set() && !signal.wait(Duration::from_millis(1)));
    }
}

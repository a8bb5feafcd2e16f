//! Answering where a connection was accepted, if that takes no waiting.

use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::boxed::Box;
use std::fmt;
use std::panic::catch_unwind;

/// A place in which futures are polled once, one after the other: the memory for one is used
/// again by the next if that one poll was enough.
///
/// An accept loop answers a request so that is there already, by a handler that need not wait,
/// without a task and without an allocation.
///
/// # Examples
/// ```
/// use core::task::{Context, Poll, Waker};
/// use scgi_proto::driver::InlineFuture;
///
/// let mut cx = Context::from_waker(Waker::noop());
/// let mut first = InlineFuture::new();
/// let steps = |count: u32| {
///     let mut left = count;
///     core::future::poll_fn(move |_| {
///         left = left.saturating_sub(1);
///         if left == 0 { Poll::Ready(()) } else { Poll::Pending }
///     })
/// };
/// first.begin(steps(1));
/// assert!(first.poll(&mut cx).is_none());
///
/// first.begin(steps(2));
/// let mut rest = first.poll(&mut cx).expect("it has to wait: to be spawned");
/// assert!(std::pin::pin!(rest).poll(&mut cx).is_ready());
/// ```
pub struct InlineFuture<F> {
    place: Pin<Box<Option<F>>>,
}

impl<F: Future<Output = ()>> InlineFuture<F> {
    /// An empty place.
    #[must_use]
    pub fn new() -> Self {
        Self { place: Box::pin(None) }
    }

    /// Puts a future in the place.
    pub fn begin(&mut self, future: F) {
        self.place.set(Some(future));
    }

    /// Polls that future; returns it if it has to wait. One that panics is over.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Option<Unfinished<F>> {
        // A program's code may panic where its values are dropped, too.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let future = self.place.as_mut().as_pin_mut();
            let done = future.is_none_or(|future| future.poll(cx).is_ready());
            if done {
                self.place.set(None);
            }
            done
        }));
        if let Ok(false) = done {
            return Some(Unfinished { place: core::mem::replace(&mut self.place, Box::pin(None)) });
        }
        // Nothing is left, or what panicked: it is not polled again.
        let _ = catch_unwind(AssertUnwindSafe(|| self.place.set(None)));
        None
    }
}

impl<F: Future<Output = ()>> Default for InlineFuture<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> fmt::Debug for InlineFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineFuture").finish_non_exhaustive()
    }
}

/// A future that [`InlineFuture`] has polled once.
pub struct Unfinished<F> {
    place: Pin<Box<Option<F>>>,
}

impl<F: Future<Output = ()>> Future for Unfinished<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.place.as_mut().as_pin_mut().map_or(Poll::Ready(()), |future| future.poll(cx))
    }
}

impl<F> fmt::Debug for Unfinished<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished").finish_non_exhaustive()
    }
}

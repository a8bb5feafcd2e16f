//! Runs a handler on the accept loop if it need not wait: for the accept loops of adapters.

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
/// use scgi_proto::driver::{Inline, InlineFuture};
///
/// let mut cx = Context::from_waker(Waker::noop());
/// let mut first = InlineFuture::new();
/// let steps = |count: u32| {
///     let mut left = count;
///     core::future::poll_fn(move |_| {
///         left = left.saturating_sub(1);
///         if left == 0 { Poll::Ready(count) } else { Poll::Pending }
///     })
/// };
/// first.begin(steps(1));
/// assert!(matches!(first.poll(&mut cx), Inline::Done(Some(1))));
///
/// first.begin(steps(2));
/// // It must wait, so spawn it.
/// let Inline::Unfinished(rest) = first.poll(&mut cx) else { panic!("it has not waited") };
/// assert_eq!(std::pin::pin!(rest).poll(&mut cx), Poll::Ready(2));
/// ```
pub struct InlineFuture<F> {
    place: Pin<Box<Option<F>>>,
}

/// What one poll of an [`InlineFuture`] came to.
#[derive(Debug)]
pub enum Inline<F: Future> {
    /// It is over, with this result, or with none if it panicked.
    Done(Option<F::Output>),
    /// It must wait.
    Unfinished(Unfinished<F>),
}

impl<F: Future> InlineFuture<F> {
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
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Inline<F> {
        // A program's code may panic where its values are dropped, too.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let future = self.place.as_mut().as_pin_mut();
            let polled = future.map_or(Poll::Ready(None), |future| future.poll(cx).map(Some));
            if polled.is_ready() {
                self.place.set(None);
            }
            polled
        }));
        match polled {
            Ok(Poll::Pending) => {
                let place = core::mem::replace(&mut self.place, Box::pin(None));
                Inline::Unfinished(Unfinished { place })
            }
            Ok(Poll::Ready(output)) => Inline::Done(output),
            Err(_) => {
                // What panicked is not polled again.
                let _ = catch_unwind(AssertUnwindSafe(|| self.place.set(None)));
                Inline::Done(None)
            }
        }
    }
}

impl<F: Future> Default for InlineFuture<F> {
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

impl<F: Future> Future for Unfinished<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // There always is one: otherwise it would have been over.
        self.place.as_mut().as_pin_mut().map_or(Poll::Pending, |future| future.poll(cx))
    }
}

impl<F> fmt::Debug for Unfinished<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished").finish_non_exhaustive()
    }
}

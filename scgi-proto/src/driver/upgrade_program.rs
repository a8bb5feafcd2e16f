//! What a program does with a connection after a 101, as part of its response.

use core::fmt;
use core::future::{Future, poll_fn};
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::Poll;
use std::boxed::Box;
use std::panic::catch_unwind;

use super::trace::Trace;
use super::upgraded::Upgraded;
use crate::error::BoxError;
use crate::message::UpgradeOutcome;

/// The future of a program that has taken an upgraded connection.
type Running = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// What a program does with a connection after a 101; from
/// [`Connection::answer`](super::Connection::answer).
pub struct UpgradeProgram {
    begin: Box<dyn FnOnce(Upgraded) -> Running + Send>,
    trace: Option<Trace>,
}

impl UpgradeProgram {
    /// Boxed, because a body holds it, and most bodies are something else.
    pub(super) fn new<R>(program: impl FnOnce(Upgraded) -> R + Send + 'static) -> Box<Self>
    where
        R: Future<Output: UpgradeOutcome> + Send + 'static,
    {
        let begin = |io| -> Running {
            let run = program(io);
            Box::pin(async { run.await.into_result() })
        };
        Box::new(Self { begin: Box::new(begin), trace: None })
    }

    /// Sets the span in which it runs.
    pub(super) fn with_trace(mut self: Box<Self>, trace: Option<Trace>) -> Box<Self> {
        self.trace = trace;
        self
    }

    /// Runs it with the connection. Logs if it fails or panics.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection, unless the program has put it elsewhere.
    pub async fn run(self: Box<Self>, io: Upgraded) {
        let Self { begin, trace } = *self;
        let Some(mut running) = poll_program(trace.as_ref(), || begin(io)) else { return };
        let result = poll_fn(|cx| {
            let polled = poll_program(trace.as_ref(), || running.as_mut().poll(cx));
            polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
        });
        if let Some(Err(error)) = result.await {
            in_scope(trace.as_ref(), || Trace::upgraded_failed(&*error));
        }
    }
}

impl fmt::Debug for UpgradeProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeProgram").finish_non_exhaustive()
    }
}

fn in_scope<R>(trace: Option<&Trace>, run: impl FnOnce() -> R) -> R {
    match trace {
        Some(trace) => trace.in_scope(run),
        None => run(),
    }
}

/// Runs a part of the program; `None` if it panicked.
fn poll_program<R>(trace: Option<&Trace>, run: impl FnOnce() -> R) -> Option<R> {
    let caught = catch_unwind(AssertUnwindSafe(|| in_scope(trace, run)));
    caught.inspect_err(|panic| in_scope(trace, || Trace::panicked(&**panic))).ok()
}

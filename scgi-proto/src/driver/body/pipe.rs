//! Passes the chunks of a request's body to the handler, one at a time and on demand.
//!
//! The task that owns the connection holds the [`PipeWriter`], the handler's `Body` holds the
//! [`PipeReader`]. Nothing is read from the peer before the reader asks, so a slow handler slows
//! the peer and memory stays flat. Runtime-free: only `core::task`.

use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::error::Error;

#[derive(Debug, Default)]
struct PipeState {
    chunk: Option<Bytes>,
    end: Option<Result<(), Error>>,
    wanted: bool,
    reader_gone: bool,
    /// The reader has got the error at the end.
    error_taken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl PipeState {
    /// Whether the same task waits at both ends: it polls the one after the other by itself, and
    /// to be woken would make it run once more for each chunk.
    fn is_one_task(&self) -> bool {
        let Some((reader, writer)) = self.reader.as_ref().zip(self.writer.as_ref()) else {
            return false;
        };
        reader.will_wake(writer)
    }
}

fn lock(shared: &Mutex<PipeState>) -> MutexGuard<'_, PipeState> {
    // No code that can panic runs under the lock.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the two ends of a body.
///
/// # Examples
/// ```
/// use std::task::{Context, Poll, Waker};
/// use scgi_proto::driver::{Demand, body_pipe};
///
/// let mut cx = Context::from_waker(Waker::noop());
/// let (mut writer, mut reader) = body_pipe();
/// assert_eq!(writer.poll_demand(&mut cx), Poll::Pending);
/// assert!(reader.poll_chunk(&mut cx).is_pending());
/// assert_eq!(writer.poll_demand(&mut cx), Poll::Ready(Demand::Chunk));
/// writer.send("hi".into());
/// let Poll::Ready(Some(Ok(chunk))) = reader.poll_chunk(&mut cx) else { panic!() };
/// assert_eq!(chunk, "hi");
/// ```
#[must_use]
pub fn body_pipe() -> (PipeWriter, PipeReader) {
    let shared = Arc::new(Mutex::new(PipeState::default()));
    (PipeWriter { shared: Arc::clone(&shared) }, PipeReader { shared })
}

/// What the reader of a body needs now.
///
/// These are all: whoever fills the pipe must handle each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// The next chunk.
    Chunk,
    /// Nothing ever again: it was dropped.
    Nothing,
}

/// The end of a body that the connection holds. Dropped before [`end`](Self::end), it makes the
/// reader fail with [`Error::Closed`].
#[derive(Debug)]
pub struct PipeWriter {
    shared: Arc<Mutex<PipeState>>,
}

impl PipeWriter {
    /// Waits until the reader wants a chunk or is gone.
    pub fn poll_demand(&mut self, cx: &mut Context<'_>) -> Poll<Demand> {
        let _replaced;
        let mut shared = lock(&self.shared);
        if shared.reader_gone {
            return Poll::Ready(Demand::Nothing);
        }
        _replaced = register(&mut shared.writer, cx);
        if shared.wanted && shared.chunk.is_none() && shared.end.is_none() {
            return Poll::Ready(Demand::Chunk);
        }
        Poll::Pending
    }

    /// Hands over the chunk that was wanted. A reader in the same task is not woken: poll it
    /// after this.
    pub fn send(&mut self, chunk: Bytes) {
        let mut shared = lock(&self.shared);
        shared.chunk = Some(chunk);
        shared.wanted = false;
        if !shared.is_one_task() {
            wake(shared, |shared| &mut shared.reader);
        }
    }

    /// Whether the reader knows the error that [`end`](Self::end) reported. The task that
    /// [waits](Self::poll_demand) is woken then.
    #[must_use]
    pub fn is_error_taken(&self) -> bool {
        lock(&self.shared).error_taken
    }

    /// Ends the body: complete, or with what went wrong.
    pub fn end(&mut self, result: Result<(), Error>) {
        let mut shared = lock(&self.shared);
        shared.end.get_or_insert(result);
        wake(shared, |shared| &mut shared.reader);
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.end(Err(Error::Closed));
    }
}

/// The end of a body that the handler reads.
#[derive(Debug)]
pub struct PipeReader {
    shared: Arc<Mutex<PipeState>>,
}

impl PipeReader {
    /// Waits for the next chunk; `None` after the last one.
    ///
    /// # Errors
    /// What went wrong with the connection, once; [`Error::Closed`] afterwards.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let _replaced;
        let mut shared = lock(&self.shared);
        if let Some(chunk) = shared.chunk.take() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        match &mut shared.end {
            Some(Ok(())) => return Poll::Ready(None),
            Some(end) => {
                let error = core::mem::replace(end, Err(Error::Closed));
                shared.error_taken = true;
                wake(shared, |shared| &mut shared.writer);
                return Poll::Ready(error.err().map(Err));
            }
            None => {}
        }
        _replaced = register(&mut shared.reader, cx);
        if !shared.wanted {
            shared.wanted = true;
            if !shared.is_one_task() {
                wake(shared, |shared| &mut shared.writer);
            }
        }
        Poll::Pending
    }
}

impl PipeReader {
    /// Reports that the chunk that was asked for is not waited for any more. It may come all the
    /// same, and is kept then.
    pub fn withdraw(&mut self) {
        let mut shared = lock(&self.shared);
        if shared.wanted {
            shared.wanted = false;
            wake(shared, |shared| &mut shared.writer);
        }
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.reader_gone = true;
        wake(shared, |shared| &mut shared.writer);
    }
}

/// Returns the replaced waker, to be dropped without the lock; see [`wake`].
#[must_use]
fn register(place: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match place {
        Some(waker) if waker.will_wake(cx.waker()) => None,
        _ => place.replace(cx.waker().clone()),
    }
}

/// Wakes a task once the lock is given back: one that is no longer run may be dropped with its
/// waker, and with it the other end.
fn wake(mut shared: MutexGuard<'_, PipeState>, whom: fn(&mut PipeState) -> &mut Option<Waker>) {
    let waker = whom(&mut shared).take();
    drop(shared);
    if let Some(waker) = waker {
        waker.wake();
    }
}

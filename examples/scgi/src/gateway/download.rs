//! The body of a response on its way to the browser: counted, logged at its end, and given up
//! when the browser does not take it.

use std::error::Error;
use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use scgi_tokio::Body;
use tokio::time::{Instant, Sleep, sleep};

use super::connection::Connection;

/// Between two looks at what is not written yet of a response that is cut.
const FLUSH: Duration = Duration::from_millis(10);

/// A response as its connection watches it.
#[derive(Debug, Default)]
pub(crate) struct Response(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    body: Option<Body>,
    has_begun: bool,
    /// Since when a chunk is with the browser's side, and the next one is not asked for.
    waits_since: Option<Instant>,
    bytes: u64,
    /// Why it is not complete.
    failed: Option<scgi_tokio::Error>,
}

/// The response ended before its body did.
#[derive(Debug)]
pub(crate) struct CutError;

impl fmt::Display for CutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response was cut")
    }
}

impl Error for CutError {}

impl Response {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its head is on the way to the browser.
    pub(crate) fn has_begun(&self) -> bool {
        self.state().has_begun
    }

    /// Gives up a response that the browser does not read, and with it the connection to the
    /// server. HTTP/2 lets a browser stop one of many responses.
    pub(crate) fn cut_if_not_taken(&self, now: Instant, timeout: Duration) {
        let mut state = self.state();
        let is_late = state.waits_since.is_some_and(|since| now.duration_since(since) >= timeout);
        let body = if is_late { state.body.take() } else { None };
        drop(state);
        // Outside the lock: it ends a task.
        drop(body);
    }
}

/// How a response ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Bytes of the body that were handed on.
    pub(crate) bytes: u64,
    /// Whether that was all of it.
    pub(crate) is_complete: bool,
    /// What cut it, if it was the server.
    pub(crate) error: Option<scgi_tokio::Error>,
}

/// Called with what became of a response.
pub(crate) type AtEnd = Box<dyn FnOnce(Outcome) + Send>;

/// The body that hyper sends.
pub(crate) struct ResponseBody {
    response: Arc<Response>,
    is_complete: bool,
    connection: Arc<Connection>,
    /// Whether its close must be a reset if the response is cut: in HTTP/1.0 the close ends a
    /// response.
    resets: bool,
    /// Runs before a cut, so that what came before it leaves first.
    cut: Option<Pin<Box<Sleep>>>,
    at_end: Option<AtEnd>,
}

impl ResponseBody {
    /// `is_whole` says that the browser gets no body whatever there is, as for a HEAD.
    pub(crate) fn new(
        response: Arc<Response>,
        body: Body,
        is_whole: bool,
        connection: Arc<Connection>,
        resets: bool,
        at_end: AtEnd,
    ) -> Self {
        let is_complete = is_whole || body.is_end_stream();
        {
            let mut state = response.state();
            state.body = Some(body);
            state.has_begun = true;
            state.waits_since = Some(Instant::now());
        }
        Self { response, is_complete, connection, resets, cut: None, at_end: Some(at_end) }
    }

    /// Ends the response early. An error makes hyper forget what it has not written yet, so that is
    /// written first.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutError>>> {
        let cut = self.cut.get_or_insert_with(|| Box::pin(sleep(FLUSH)));
        ready!(cut.as_mut().poll(cx));
        if self.connection.is_write_blocked() {
            // Its own deadline bounds this.
            self.cut = Some(Box::pin(sleep(FLUSH)));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.resets {
            self.connection.reset();
        }
        Poll::Ready(Some(Err(CutError)))
    }
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = CutError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutError>>> {
        let this = &mut *self;
        let mut state = this.response.state();
        state.waits_since = None;
        let Some(body) = &mut state.body else {
            drop(state);
            return this.poll_cut(cx);
        };
        match Pin::new(body).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                this.is_complete = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                state.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                state.waits_since = Some(Instant::now());
                this.is_complete = state.body.as_ref().is_some_and(Body::is_end_stream);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                state.failed = Some(error);
                state.body = None;
                drop(state);
                this.poll_cut(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.response.state().body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.response.state().body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let (bytes, error, body) = {
            let mut state = self.response.state();
            (state.bytes, state.failed.take(), state.body.take())
        };
        drop(body);
        if let Some(at_end) = self.at_end.take() {
            at_end(Outcome { bytes, is_complete: self.is_complete, error });
        }
    }
}

//! Passes a request's body to the server, and drains the rest if the server does not read it.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};

use super::limits::{DRAIN_IDLE, DRAIN_TIME, STUCK};

/// Why the body of a request did not reach the server.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// The browser sent nothing for so long.
    Timeout(Duration),
    /// It is longer than `--max-body`.
    TooLarge(u64),
    /// The bodies that wait fill the space that they may take.
    NoSpace,
    /// The folder for bodies that wait cannot be written.
    Spool(std::io::Error),
    /// The browser broke off, or its chunks are not valid.
    Broken(hyper::Error),
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(limit) => {
                let limit = humantime::format_duration(*limit);
                write!(f, "the browser sent nothing of its body for {limit}")
            }
            Self::TooLarge(max) => write!(f, "the body is over {max} bytes (--max-body)"),
            Self::NoSpace => f.write_str("the bodies that wait take all the space of --spool-size"),
            Self::Spool(_) => f.write_str("a body cannot be kept in a file (--spool-dir)"),
            Self::Broken(_) => f.write_str("the body of the request is broken"),
        }
    }
}

impl std::error::Error for UploadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Spool(error) => Some(error),
            Self::Broken(error) => Some(error),
            _ => None,
        }
    }
}

/// An upload as its connection watches it.
#[derive(Debug)]
pub(crate) struct Upload(Mutex<State>);

#[derive(Debug)]
struct State {
    /// `None` at the end, and once it is drained.
    incoming: Option<Incoming>,
    /// Whether the browser waits to be asked for the body.
    waits: bool,
    /// When the server last took a chunk or asked for one.
    active_at: Instant,
}

impl Upload {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drains the rest if the server has not asked for it for a while.
    pub(crate) fn drain_if_stuck(&self, now: Instant) {
        if now.duration_since(self.state().active_at) >= STUCK {
            self.drain();
        }
    }

    /// Reads what is left and discards it.
    fn drain(&self) {
        let incoming = {
            let mut state = self.state();
            if state.waits {
                // The browser was not asked and need not send it.
                state.incoming = None;
            }
            state.incoming.take()
        };
        let incoming = incoming.filter(|incoming| !incoming.is_end_stream());
        // While the process ends, bodies are dropped where no task can be started any more.
        if let Some((incoming, runtime)) = incoming.zip(Handle::try_current().ok()) {
            runtime.spawn(drain(incoming));
        }
    }
}

/// Bounded by time, as nginx does it: a bound in bytes would cut the answer to a larger upload.
async fn drain(mut incoming: Incoming) {
    let until = Instant::now() + DRAIN_TIME;
    let all = async { while let Ok(Some(Ok(_))) = timeout(DRAIN_IDLE, incoming.frame()).await {} };
    // What is not read by then is left to the close of the connection.
    let _ = timeout_at(until, all).await;
}

/// The body as it is sent to the server. What is not sent when it is dropped is drained.
pub(crate) struct UploadBody {
    upload: Arc<Upload>,
    size: SizeHint,
    is_end: bool,
    timeout: Duration,
    /// Runs while the browser sends nothing.
    deadline: Option<Pin<Box<Sleep>>>,
    max: Option<u64>,
    taken: u64,
}

impl UploadBody {
    /// `waits` says that the browser wants to be asked with 100 first.
    pub(crate) fn new(
        incoming: Incoming,
        waits: bool,
        timeout: Duration,
        max: Option<u64>,
    ) -> Self {
        let (size, is_end) = (incoming.size_hint(), incoming.is_end_stream());
        let state = State {
            incoming: Some(incoming).filter(|_| !is_end),
            waits,
            active_at: Instant::now(),
        };
        let upload = Arc::new(Upload(Mutex::new(state)));
        Self { upload, size, is_end, timeout, deadline: None, max, taken: 0 }
    }

    /// What its connection watches.
    pub(crate) fn upload(&self) -> &Arc<Upload> {
        &self.upload
    }

    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let mut state = self.upload.state();
        state.active_at = Instant::now();
        state.waits = false;
        match &mut state.incoming {
            Some(incoming) => {
                let frame = ready!(Pin::new(incoming).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(UploadError::Broken)))
            }
            None if self.is_end => Poll::Ready(None),
            // It was drained because the server did not take it: the response continues without it.
            None => Poll::Pending,
        }
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = this.poll_incoming(cx) else {
            let timeout = this.timeout;
            let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(timeout)));
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Some(Err(UploadError::Timeout(timeout))));
        };
        this.deadline = None;
        match &frame {
            Some(Ok(frame)) => {
                this.taken += frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(max) = this.max.filter(|max| this.taken > *max) {
                    return Poll::Ready(Some(Err(UploadError::TooLarge(max))));
                }
            }
            None | Some(Err(_)) => {
                this.is_end = true;
                this.upload.state().incoming = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_end
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

impl Drop for UploadBody {
    fn drop(&mut self) {
        self.upload.drain();
    }
}

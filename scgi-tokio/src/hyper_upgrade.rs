//! Makes what `hyper::upgrade::on` returns, without an HTTP connection.
//!
//! axum's WebSockets, and all that uses hyper's upgrades, need an [`OnUpgrade`], and only hyper can
//! make one (hyperium/hyper#4034). So hyper serves one constant upgrade request here, over a
//! [`LateStream`] that has no socket yet:
//!
//! 1. [`PendingUpgrade::new`] lets hyper read that request. Its service keeps the `OnUpgrade` and
//!    does not answer yet.
//! 2. The program gets the `OnUpgrade` in its own request. If it does not switch protocols, the
//!    pending upgrade is dropped, and the `OnUpgrade` fails, as with hyper.
//! 3. [`PendingUpgrade::complete`] puts the real socket into the stream and lets hyper answer. The
//!    head of that answer is swallowed, and hyper hands the stream to the program.
//!
//! From then on the program reads and writes the socket itself: nothing is copied, and no task runs
//! for it. No timer and no task is needed before that either, as all is polled by hand.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ::http::{Extensions, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, UpgradeableConnection};
use hyper::service::Service;
use hyper::upgrade::{OnUpgrade, on};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use scgi_proto::RequestHead;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::message::Body;

/// What hyper reads; it never leaves this process.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: scgi\r\n\r\n";

/// The end of the head that hyper writes.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// How often hyper is polled for its answer. One poll is enough; the others are for a version that
/// pauses in between.
const POLLS: usize = 4;

/// An upgrade that a program may take: its [`OnUpgrade`] waits for a stream of the type `S`.
pub(crate) struct PendingUpgrade<S> {
    connection: UpgradeableConnection<TokioIo<LateStream<S>>, SwitchLater<S>>,
    slot: Slot<S>,
}

impl<S> fmt::Debug for PendingUpgrade<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingUpgrade")
    }
}

/// What the service and the stream of a connection share with its owner.
struct Slot<S>(Arc<Mutex<Contents<S>>>);

struct Contents<S> {
    on_upgrade: Option<OnUpgrade>,
    stream: Option<S>,
}

impl<S> Slot<S> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Contents { on_upgrade: None, stream: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Contents<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Slot<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> PendingUpgrade<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// An upgrade that is not decided yet, and the future that the program waits for.
    ///
    /// `None` if hyper makes none, which its versions known so far never do.
    fn new() -> Option<(Box<Self>, OnUpgrade)> {
        let slot = Slot::new();
        let stream = LateStream::Handshake { request: REQUEST, slot: slot.clone() };
        let service = SwitchLater(slot.clone());
        let connection = Builder::new().serve_connection(TokioIo::new(stream), service);
        // On the heap, as few requests have one and hyper's connection is large.
        let mut pending = Box::new(Self { connection: connection.with_upgrades(), slot });
        let is_waiting = pending.poll().is_pending();
        let on_upgrade = pending.slot.lock().on_upgrade.take();
        on_upgrade.filter(|_| is_waiting).map(|on_upgrade| (pending, on_upgrade))
    }

    /// Whether a request offers an upgrade that the program may take.
    pub(crate) fn may_begin(head: &RequestHead) -> bool {
        head.upgrade().is_some()
    }

    /// As [`new`](Self::new), with the future where `hyper::upgrade::on` looks for it.
    pub(crate) fn offer(extensions: &mut Extensions) -> Option<Box<Self>> {
        let (pending, on_upgrade) = Self::new()?;
        extensions.insert(on_upgrade);
        Some(pending)
    }

    /// Hands `stream` to the program. If the program has dropped its future, this closes the stream.
    ///
    /// # Errors
    /// hyper did not hand over the stream, which is closed.
    pub(crate) fn complete(mut self, stream: S) -> io::Result<()> {
        self.slot.lock().stream = Some(stream);
        for _ in 0..POLLS {
            if let Poll::Ready(result) = self.poll() {
                return result.map_err(io::Error::other);
            }
        }
        Err(io::Error::other("hyper did not hand over the connection"))
    }

    /// Polls hyper without a waker: nothing here waits for anything.
    fn poll(&mut self) -> Poll<Result<(), hyper::Error>> {
        Pin::new(&mut self.connection).poll(&mut Context::from_waker(Waker::noop()))
    }
}

/// Keeps the [`OnUpgrade`] of its request, and switches protocols once there is a stream.
struct SwitchLater<S>(Slot<S>);

impl<S> Service<Request<Incoming>> for SwitchLater<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Switch<S>;

    fn call(&self, request: Request<Incoming>) -> Switch<S> {
        self.0.lock().on_upgrade = Some(on(request));
        Switch(self.0.clone())
    }
}

struct Switch<S>(Slot<S>);

impl<S> Future for Switch<S> {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0.lock().stream.is_none() {
            return Poll::Pending;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        Poll::Ready(Ok(response))
    }
}

/// A stream that gets its socket when hyper has answered.
enum LateStream<S> {
    /// hyper reads the rest of the request. What it writes is swallowed until the end of the head.
    Handshake { request: &'static [u8], slot: Slot<S> },
    /// The socket is the program's.
    Open { stream: S, has_written: bool },
    /// hyper has answered, but not by an upgrade.
    Closed,
}

impl<S> LateStream<S> {
    /// Takes bytes that hyper writes before the program has the stream.
    ///
    /// The end of the head ends the handshake. Nothing later can: as soon as hyper has written it,
    /// another thread may write to this stream.
    fn swallow(&mut self, bytes: &[u8]) -> usize {
        if let Self::Handshake { slot, .. } = self {
            if bytes.ends_with(END_OF_HEAD) {
                let stream = slot.lock().stream.take();
                *self =
                    stream.map_or(Self::Closed, |stream| Self::Open { stream, has_written: false });
            }
        }
        bytes.len()
    }

    /// The socket to write to; `None` before the program has it.
    fn open_for_write(&mut self) -> io::Result<Option<Pin<&mut S>>>
    where
        S: Unpin,
    {
        match self {
            Self::Handshake { .. } => Ok(None),
            Self::Open { stream, has_written } => {
                *has_written = true;
                Ok(Some(Pin::new(stream)))
            }
            Self::Closed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LateStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Open { stream, .. } => Pin::new(stream).poll_read(cx, buf),
            // Never woken: hyper is polled by hand.
            Self::Handshake { request: [], .. } => Poll::Pending,
            Self::Handshake { request, .. } => Pin::new(request).poll_read(cx, buf),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LateStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.open_for_write()? {
            Some(stream) => stream.poll_write(cx, bytes),
            None => Poll::Ready(Ok(self.swallow(bytes))),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.open_for_write()? {
            Some(stream) => stream.poll_write_vectored(cx, bytes),
            None => {
                let first = bytes.iter().find(|slice| !slice.is_empty());
                Poll::Ready(Ok(first.map_or(0, |slice| self.swallow(slice))))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        // hyper asks once, and then writes its head in one call.
        matches!(self, Self::Open { stream, .. } if stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Open { stream, has_written: true } => Pin::new(stream).poll_flush(cx),
            // hyper flushes its head, which went nowhere: that must not wait for the socket.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Open { stream, .. } => Pin::new(stream).poll_shutdown(cx),
            Self::Handshake { .. } | Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests;

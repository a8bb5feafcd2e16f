//! The socket as hyper uses it: with a deadline for a browser that does not read, and a close that
//! loses nothing.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::connection::Connection;
use super::limits::{DRAIN_IDLE, DRAIN_TIME};

/// One end of a [`Connection`].
#[derive(Debug)]
pub(crate) struct Socket {
    connection: Arc<Connection>,
    /// Runs while the browser takes nothing.
    write_deadline: Option<Pin<Box<Sleep>>>,
    closing: Option<Closing>,
}

/// After the write side is closed: what still comes is read, as a close with unread bytes is a
/// reset, which destroys what the browser has not read yet.
#[derive(Debug)]
struct Closing {
    until: Instant,
    idle: Pin<Box<Sleep>>,
}

impl Socket {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, write_deadline: None, closing: None }
    }

    fn poll_write_slices(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = self.connection.stream.poll_write(cx, bufs) {
            if self.write_deadline.take().is_some() {
                self.connection.write_blocked(false);
            }
            return Poll::Ready(result);
        }
        self.connection.write_blocked(true);
        let timeout = self.connection.limits.write_timeout;
        let deadline = self.write_deadline.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(deadline.as_mut().poll(cx));
        self.connection.reset();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the browser does not read")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = ready!(self.connection.stream.poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(count);
        if count > 0 {
            self.connection.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.connection.is_tunnel() {
            // The browser may still send.
            return Poll::Ready(this.connection.stream.shutdown_write());
        }
        if this.closing.is_none() {
            this.connection.stream.shutdown_write()?;
            let until = Instant::now() + DRAIN_TIME;
            this.closing = Some(Closing { until, idle: Box::pin(sleep(DRAIN_IDLE)) });
        }
        let Some(closing) = &mut this.closing else { return Poll::Ready(Ok(())) };
        let mut buf = [0; 8 * 1024];
        // Turns are bounded, so that a flood leaves time to others.
        for _ in 0..32 {
            match this.connection.stream.poll_read(cx, &mut buf) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {
                    let idle = Instant::now() + DRAIN_IDLE;
                    closing.idle.as_mut().reset(idle.min(closing.until));
                }
                Poll::Pending => return closing.idle.as_mut().poll(cx).map(Ok),
            }
            if Instant::now() >= closing.until {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.connection.wants_reset() {
            self.connection.stream.reset_on_close();
        }
    }
}

//! A client's connection after a 101.

use core::task::{Context, Poll, ready};
use std::io;

use super::Client;
use super::client_io::ClientIo;
use crate::driver::transport::{Clock, Transport};
use crate::driver::upgraded::{Tunnel, Upgraded};
use crate::error::Error;

/// The client's end.
struct ClientTunnel<T, C> {
    client: Client<T, C>,
}

impl<T: Transport + Send + 'static, C: Clock + Send + 'static> Client<T, C> {
    /// The connection after a 101, which the request has asked for. Only the write timeout still
    /// holds.
    ///
    /// # Errors
    /// The client itself, if the response is another one.
    #[allow(clippy::result_large_err, reason = "it is what the caller had")]
    pub fn into_upgraded(self) -> Result<Upgraded, Self> {
        if self.io.call.is_upgraded() { Ok(self.into_tunnel()) } else { Err(self) }
    }

    pub(super) fn into_tunnel(self) -> Upgraded {
        Upgraded::new(ClientTunnel { client: self })
    }
}

/// The directions of an upgraded connection, for an adapter that waits by itself.
impl<T: Transport, C: Clock> Client<T, C> {
    /// Whether the connection is one after a 101, and not over.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        self.io.call.is_upgraded()
    }

    /// As [`Upgraded::poll_read`].
    ///
    /// # Errors
    /// If the stream failed, or the connection is over.
    pub fn poll_upgraded_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.check_upgraded()?;
        let ClientIo { call, outlet, .. } = &mut self.io;
        let kept = call.read_kept(buf);
        if kept > 0 {
            return Poll::Ready(Ok(kept));
        }
        loop {
            match outlet.transport.poll_read(cx, buf) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// As [`Upgraded::poll_write`]. `first` is not empty.
    ///
    /// # Errors
    /// If the stream failed, the connection is over, or the server takes nothing for as long as the
    /// write timeout.
    pub fn poll_upgraded_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_upgraded()?;
        let written = self.io.outlet.poll_write(cx, (first, second));
        self.poll_upgraded_end(cx, written, |io| io.outlet.try_write((first, second)))
    }

    /// As [`Upgraded::poll_flush`].
    ///
    /// # Errors
    /// As [`poll_upgraded_write`](Self::poll_upgraded_write).
    pub fn poll_upgraded_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_upgraded()?;
        let flushed = self.io.outlet.poll_flush(cx);
        self.poll_upgraded_end(cx, flushed, |_| Ok(None))
    }

    /// As [`Upgraded::poll_shutdown`].
    ///
    /// # Errors
    /// As [`poll_upgraded_write`](Self::poll_upgraded_write).
    pub fn poll_upgraded_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_upgraded()?;
        let shut = self.io.outlet.transport.poll_shutdown(cx);
        self.poll_upgraded_end(cx, shut, |_| Ok(None))
    }

    /// The result of a write or a flush. If it must wait, its deadline runs. `retry` is the last try
    /// before that ends it.
    fn poll_upgraded_end<R>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<R>>,
        retry: impl FnOnce(&mut ClientIo<T>) -> io::Result<Option<R>>,
    ) -> Poll<io::Result<R>> {
        let Self { io, clock } = self;
        if done.is_ready() {
            io.call.handle_upgraded_written();
            return done;
        }
        io.call.handle_upgraded_blocked(clock.now());
        let now = loop {
            let Some(at) = io.call.poll_timeout() else { return Poll::Pending };
            ready!(clock.poll_until(cx, at));
            let now = clock.now();
            // It may be early.
            if now >= at {
                break now;
            }
        };
        if let Some(done) = retry(io)? {
            io.call.handle_upgraded_written();
            return Poll::Ready(Ok(done));
        }
        let Some(timeout) = io.call.handle_timeout(now) else { return Poll::Pending };
        Poll::Ready(Err(Error::from(timeout).into()))
    }

    fn check_upgraded(&self) -> io::Result<()> {
        if self.is_upgraded() { Ok(()) } else { Err(Error::Closed.into()) }
    }
}

impl<T: Transport + Send, C: Clock + Send> Tunnel for ClientTunnel<T, C> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.client.poll_upgraded_read(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.client.poll_upgraded_write(cx, first, second)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.client.poll_upgraded_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.client.poll_upgraded_shutdown(cx)
    }
}

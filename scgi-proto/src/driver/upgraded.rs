//! A connection after a 101: raw bytes in both directions, with what still holds of a connection.

use core::fmt;
use core::task::{Context, Poll};
use std::boxed::Box;
use std::io;

use crate::shutdown::ShutdownSignal;

/// A connection that has changed its protocol, for a WebSocket for example; to be polled. An adapter
/// adds the traits of its runtime.
///
/// What the client sent before the 101 is read first. One task may read while another writes. Of a
/// server's connection, the write timeout still holds (see
/// [`ConnectionConfig::with_upgraded_write_timeout`](crate::ConnectionConfig::with_upgraded_write_timeout)),
/// it keeps its place among the server's connections, and after the shutdown deadline both
/// directions fail. Dropped, it closes the connection.
pub struct Upgraded {
    tunnel: Box<dyn Tunnel>,
}

/// The stream of an upgraded connection, on either end of it.
pub(super) trait Tunnel: Send {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>>;

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// See [`Upgraded::shutdown_signal`].
    fn shutdown_signal(&self) -> ShutdownSignal {
        ShutdownSignal::default()
    }
}

impl Upgraded {
    pub(super) fn new(tunnel: impl Tunnel + 'static) -> Self {
        Self { tunnel: Box::new(tunnel) }
    }

    /// Reads into `buf` and returns how much; 0 is the end of input, if `buf` is not empty.
    ///
    /// # Errors
    /// If the stream failed, or the server ended the connection.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.tunnel.poll_read(cx, buf)
    }

    /// Writes some of `first` and then of `second`, in one call of the system if that is possible.
    /// Returns how much.
    ///
    /// # Errors
    /// If the stream failed, the peer takes nothing for as long as the write timeout, or the server
    /// ended the connection.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        match (first, second) {
            ([], []) => Poll::Ready(Ok(0)),
            ([], _) => self.tunnel.poll_write(cx, second, first),
            _ => self.tunnel.poll_write(cx, first, second),
        }
    }

    /// As [`poll_write`](Self::poll_write), of the first two of `bufs` that are not empty.
    ///
    /// # Errors
    /// As [`poll_write`](Self::poll_write).
    pub fn poll_write_slices(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut bufs = bufs.iter().filter(|buf| !buf.is_empty());
        let mut next = || bufs.next().map_or(&[][..], |buf| buf);
        let (first, second) = (next(), next());
        self.poll_write(cx, first, second)
    }

    /// Passes on what the stream itself may hold back.
    ///
    /// # Errors
    /// As [`poll_write`](Self::poll_write).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tunnel.poll_flush(cx)
    }

    /// Shuts down the write side: the peer sees the end, and can still send.
    ///
    /// # Errors
    /// If the stream failed.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tunnel.poll_shutdown(cx)
    }

    /// Completes when the server of the connection begins to stop, as
    /// [`Request::shutdown_signal`](crate::Request::shutdown_signal) does.
    #[must_use]
    pub fn shutdown_signal(&self) -> ShutdownSignal {
        self.tunnel.shutdown_signal()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").finish_non_exhaustive()
    }
}

//! The stream traits of futures-io.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use futures_io::{AsyncRead, AsyncWrite};

use crate::driver::{Body, Upgraded};
#[cfg(all(feature = "net", unix))]
use crate::net::socket::read_at_once;
#[cfg(feature = "net")]
use crate::net::socket::{Reactor, StreamSocket, shutdown_write};

impl<A> AsyncRead for Body<A> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = ready!(self.poll_fill_buf(cx))?;
        let count = bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_read(&mut self, cx, buf)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&mut self, cx, buf, &[])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(&mut self, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(&mut self, cx)
    }
}

/// A stream of a runtime, of either kind.
#[cfg(feature = "net")]
trait Registered: AsyncRead + AsyncWrite + Unpin {}

#[cfg(feature = "net")]
impl<S: AsyncRead + AsyncWrite + Unpin> Registered for S {}

/// The stream of the runtime, which knows it already.
#[cfg(feature = "net")]
fn registered<R>(stream: &mut StreamSocket<R>) -> io::Result<Pin<&mut dyn Registered>>
where
    R: Reactor<Tcp: AsyncRead + AsyncWrite + Unpin, Unix: AsyncRead + AsyncWrite + Unpin>,
{
    match stream {
        StreamSocket::Tcp(stream) => Ok(Pin::new(stream)),
        #[cfg(unix)]
        StreamSocket::Unix(stream) => Ok(Pin::new(stream)),
        _ => Err(StreamSocket::<R>::gone()),
    }
}

#[cfg(feature = "net")]
impl<R> AsyncRead for StreamSocket<R>
where
    R: Reactor<Tcp: AsyncRead + AsyncWrite + Unpin, Unix: AsyncRead + AsyncWrite + Unpin>,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        #[cfg(unix)]
        if let Self::Unregistered(_) = *self {
            if let Some(count) = self.try_unregistered(|socket| read_at_once(socket, buf))? {
                return Poll::Ready(Ok(count));
            }
            ready!(R::poll_readable(&self, cx))?;
        }
        registered(&mut self)?.poll_read(cx, buf)
    }
}

#[cfg(feature = "net")]
impl<R> AsyncWrite for StreamSocket<R>
where
    R: Reactor<Tcp: AsyncRead + AsyncWrite + Unpin, Unix: AsyncRead + AsyncWrite + Unpin>,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.try_write(&[IoSlice::new(buf)])? {
            Some(count) => Poll::Ready(Ok(count)),
            None => registered(&mut self)?.poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.try_write(bufs)? {
            Some(count) => Poll::Ready(Ok(count)),
            None => registered(&mut self)?.poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets hold nothing back.
        Poll::Ready(Ok(()))
    }

    /// Ends what is sent. The close of many a runtime's stream only flushes, and a peer that waits
    /// for the end of a response would get it when the stream is dropped.
    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown_write(self.get().ok_or_else(Self::gone)?))
    }
}

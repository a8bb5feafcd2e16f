//! The stream traits of tokio.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::driver::{Body, Upgraded};
#[cfg(feature = "net")]
use crate::net::socket::{Reactor, StreamSocket};
#[cfg(all(feature = "net", unix))]
use crate::net::socket::{SocketRef, read_at_once, shutdown_write};

impl<A> AsyncRead for Body<A> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(self.poll_fill_buf(cx))?;
        let count = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..count]);
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = ready!(Self::poll_read(&mut self, cx, buf.initialize_unfilled()))?;
        buf.advance(count);
        Poll::Ready(Ok(()))
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

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(&mut self, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

/// A read of an accepted socket needs room that is initialised. For more bytes than this, which is
/// the body of an upload, zeroing costs more than the reactor, whose reads do without.
#[cfg(all(feature = "net", unix))]
const ZEROED: usize = 16 * 1024;

#[cfg(feature = "net")]
impl<R> AsyncRead for StreamSocket<R>
where
    R: Reactor<Tcp: AsyncRead + AsyncWrite + Unpin, Unix: AsyncRead + AsyncWrite + Unpin>,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        #[cfg(unix)]
        {
            if buf.capacity() - buf.initialized().len() > ZEROED {
                self.register()?;
            }
            let read = |socket: SocketRef<'_>| read_at_once(socket, buf.initialize_unfilled());
            if let Some(count) = self.try_unregistered(read)? {
                buf.advance(count);
                return Poll::Ready(Ok(()));
            }
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

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets hold nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        #[cfg(unix)]
        if let Some(()) = self.try_unregistered(|socket| shutdown_write(socket).map(Some))? {
            return Poll::Ready(Ok(()));
        }
        registered(&mut self)?.poll_shutdown(cx)
    }
}

//! A stream of an adapter, as the drivers use it.

use core::fmt;
use core::marker::PhantomData;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use crate::driver;
#[cfg(feature = "server")]
use crate::exchange::peer::Peer;
#[cfg(feature = "net")]
use crate::net::socket::SocketRef;

/// How an adapter reads and writes the streams of type `IO`. An adapter implements it for all streams
/// with the traits of its runtime.
#[diagnostic::on_unimplemented(
    message = "`{IO}` is not a stream that this adapter reads and writes",
    label = "a stream has `AsyncRead` and `AsyncWrite` of the adapter's runtime, and is `Unpin` and `'static`"
)]
pub trait Streams<IO>: 'static {
    /// Reads into `buf` and returns how much.
    fn poll_read(io: &mut IO, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some of `buf`.
    fn poll_write(io: &mut IO, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;

    /// Writes some of `bufs`, in one call of the system if that is possible.
    fn poll_write_vectored(
        io: &mut IO,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Passes on what the stream itself may hold back.
    fn poll_flush(io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Shuts down the write side: the peer sees the end, and can still send.
    fn poll_shutdown(io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The socket of the stream, if it is one that the adapter knows by its type.
    #[cfg(feature = "net")]
    fn socket(io: &IO) -> Option<SocketRef<'_>> {
        let _ = io;
        None
    }
}

/// A stream of the adapter `A`, as the drivers use it.
pub struct Transport<A, IO> {
    io: IO,
    adapter: PhantomData<fn() -> A>,
}

impl<A, IO> Transport<A, IO> {
    /// A stream that was just accepted or connected.
    pub fn new(io: IO) -> Self {
        Self { io, adapter: PhantomData }
    }

    /// The stream.
    pub fn io_mut(&mut self) -> &mut IO {
        &mut self.io
    }
}

impl<A, IO: fmt::Debug> fmt::Debug for Transport<A, IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}

impl<A: Streams<IO>, IO> driver::Transport for Transport<A, IO> {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        A::poll_read(&mut self.io, cx, buf)
    }

    #[inline]
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        match second {
            [] => A::poll_write(&mut self.io, cx, first),
            _ => {
                let bufs = [IoSlice::new(first), IoSlice::new(second)];
                A::poll_write_vectored(&mut self.io, cx, &bufs)
            }
        }
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        A::poll_flush(&mut self.io, cx)
    }

    /// Of a socket that is known, the write side itself. The close of some streams (of async-std, for
    /// example) only flushes, and the peer would see the end of a response when the drain is over.
    #[inline]
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        #[cfg(feature = "net")]
        if let Some(socket) = A::socket(&self.io) {
            return Poll::Ready(crate::net::socket::shutdown_write(socket));
        }
        A::poll_shutdown(&mut self.io, cx)
    }

    #[cfg(feature = "net")]
    #[inline]
    fn socket(&self) -> Option<SocketRef<'_>> {
        A::socket(&self.io)
    }
}

/// The peer is that of its socket.
#[cfg(feature = "server")]
impl<A: Streams<IO>, IO: Send + 'static> crate::server::AcceptedStream for Transport<A, IO> {
    fn peer(&self) -> io::Result<Peer> {
        let socket = A::socket(&self.io).ok_or(io::ErrorKind::NotConnected)?;
        crate::net::socket::peer(socket)
    }
}

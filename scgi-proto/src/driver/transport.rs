//! What an adapter gives to the drivers: its stream and its time.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

#[cfg(feature = "net")]
use crate::net::socket::{self, SocketRef};

/// A stream of bytes in both directions, in the form that the drivers want of any runtime.
///
/// A call that is interrupted by a signal ([`io::ErrorKind::Interrupted`]) is repeated.
pub trait Transport {
    /// Reads into `buf`, which is not empty, and returns how much; 0 is the end of input.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some of `first`, which is not empty, and then of `second`, which may be, in one
    /// call of the system if that is possible. Returns how much.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>>;

    /// Passes on what the stream itself may hold back.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Shuts down the write side: the peer sees the end, and can still send.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The socket, if the stream is one: for calls that never wait and that the runtime need not
    /// know of. With it, the methods below do what their names say; without it, a broken response
    /// ends with a plain close.
    #[cfg(feature = "net")]
    fn socket(&self) -> Option<SocketRef<'_>> {
        None
    }

    /// Tells the socket how its life continues; a stream without one ignores that.
    fn advise(&self, advice: Advice) {
        #[cfg(feature = "net")]
        if let Some(socket) = self.socket() {
            match advice {
                Advice::SendAtOnce => socket::send_at_once(socket),
                Advice::ResetOnClose => socket::reset_on_close(socket),
            }
        }
        #[cfg(not(feature = "net"))]
        let _ = advice;
    }

    /// Reads what waits in the system, and never waits itself; `None` if nothing is there.
    ///
    /// It must not ask what the runtime last heard of the stream, as
    /// [`poll_read`](Self::poll_read) may: after a pause of the process, a timer comes before the
    /// runtime has looked. A stream that cannot reach the system returns `None`.
    ///
    /// # Errors
    /// If the stream failed.
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        #[cfg(all(feature = "net", unix))]
        if let Some(socket) = self.socket() {
            return socket::read_at_once(socket, buf);
        }
        let _ = buf;
        Ok(None)
    }

    /// Writes what the system takes, and never waits itself; `None` if it takes nothing. The
    /// arguments are those of [`poll_write`](Self::poll_write).
    ///
    /// A system may report a socket as writable long after it has room for some bytes.
    ///
    /// # Errors
    /// If the stream failed.
    fn try_write(&mut self, first: &[u8], second: &[u8]) -> io::Result<Option<usize>> {
        #[cfg(all(feature = "net", unix))]
        if let Some(socket) = self.socket() {
            return socket::write_at_once(socket, &[first, second].map(io::IoSlice::new));
        }
        let _ = (first, second);
        Ok(None)
    }

    /// Whether the peer has closed its side or broken the connection, although unread bytes wait
    /// in front of that. `false` where the system does not say.
    fn has_peer_left(&self) -> bool {
        #[cfg(all(feature = "net", unix))]
        return self.socket().is_some_and(socket::has_peer_left);
        #[cfg(not(all(feature = "net", unix)))]
        false
    }

    /// Whether the stream is a Unix socket. There a reset says only that the peer closed with bytes
    /// unread, even after a complete response. A client asks this when it sees a reset.
    fn is_unix_socket(&self) -> bool {
        #[cfg(all(feature = "net", unix))]
        return self.socket().is_some_and(socket::is_unix);
        #[cfg(not(all(feature = "net", unix)))]
        false
    }
}

/// Options of a socket for the rest of its life.
///
/// These are all: an adapter must handle each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The response comes piece by piece, and each should leave at once (TCP_NODELAY).
    SendAtOnce,
    /// The close has to be a reset, so that the peer cannot take what it got for complete
    /// (SO_LINGER with 0).
    ResetOnClose,
}

/// The time of one connection, and waiting for it.
pub trait Clock {
    /// Time since any moment before the connection, always the same one.
    fn now(&self) -> Duration;

    /// Ready when [`now`](Self::now) has reached `at`. It may be ready early: it is asked again.
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Duration) -> Poll<()>;
}

/// A [`Clock`] in the memory of the future that waits, pinned there: it costs no allocation.
pub trait PinnedClock {
    /// As [`Clock::now`].
    fn now(&self) -> Duration;

    /// As [`Clock::poll_until`].
    fn poll_until(self: Pin<&mut Self>, cx: &mut Context<'_>, at: Duration) -> Poll<()>;
}

impl<C: PinnedClock> Clock for Pin<&mut C> {
    fn now(&self) -> Duration {
        C::now(self)
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Duration) -> Poll<()> {
        C::poll_until(self.as_mut(), cx, at)
    }
}

/// A transport that is flushed once what was written to it is all, as it may hold that back.
#[derive(Debug)]
pub(super) struct FlushingTransport<T> {
    pub(super) transport: T,
    unflushed: bool,
}

impl<T> FlushingTransport<T> {
    pub(super) fn new(transport: T) -> Self {
        Self { transport, unflushed: false }
    }

    /// Whether the transport may hold back what it took.
    pub(super) fn is_unflushed(&self) -> bool {
        self.unflushed
    }
}

impl<T: Transport> FlushingTransport<T> {
    /// One write, repeated after a signal. A stream that takes nothing has failed.
    #[inline]
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        (first, second): (&[u8], &[u8]),
    ) -> Poll<io::Result<usize>> {
        let (first, second) = if first.is_empty() { (second, first) } else { (first, second) };
        self.unflushed = true;
        loop {
            match self.transport.poll_write(cx, first, second) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    /// One write with a call that reaches the system; `None` if that takes nothing.
    pub(super) fn try_write(
        &mut self,
        (first, second): (&[u8], &[u8]),
    ) -> io::Result<Option<usize>> {
        let (first, second) = if first.is_empty() { (second, first) } else { (first, second) };
        let written = self.transport.try_write(first, second)?;
        Ok(written.filter(|count| *count > 0))
    }

    /// Passes on what was written since the last time.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            let flushed = ready!(self.transport.poll_flush(cx));
            self.unflushed = false;
            flushed?;
        }
        Poll::Ready(Ok(()))
    }
}

//! A connected socket, which a runtime's reactor gets to know when something first has to wait.

use core::fmt;
use core::task::{Context, Poll};
use std::io;

#[cfg(unix)]
use super::unix::UnregisteredSocket;
use super::{AsSocket, SocketRef, peer};
use crate::exchange::peer::Peer;

/// The sockets of a runtime, which its reactor knows.
pub trait Reactor: fmt::Debug + 'static {
    /// A TCP stream.
    type Tcp: AsSocket + fmt::Debug + Send + 'static;

    /// A Unix stream. Where there are none, it is not used.
    type Unix: AsSocket + fmt::Debug + Send + 'static;

    /// Hands a TCP socket in non-blocking mode to the reactor.
    ///
    /// # Errors
    /// If the reactor cannot take it.
    fn register_tcp(socket: std::net::TcpStream) -> io::Result<Self::Tcp>;

    /// Hands a Unix socket in non-blocking mode to the reactor.
    ///
    /// # Errors
    /// If the reactor cannot take it.
    #[cfg(unix)]
    fn register_unix(socket: std::os::unix::net::UnixStream) -> io::Result<Self::Unix>;

    /// Waits until a stream that was just registered has something to read, if its own read would try
    /// before it waits: that was tried already.
    fn poll_readable(stream: &StreamSocket<Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        Self: Sized,
    {
        let _ = (stream, cx);
        Poll::Ready(Ok(()))
    }
}

/// A connected TCP or Unix socket.
///
/// These are all: an adapter must handle each.
#[derive(Debug)]
pub enum StreamSocket<R: Reactor> {
    /// Not yet known to the reactor: a request that is there already is answered without it,
    /// which saves two system calls and an allocation.
    #[cfg(unix)]
    Unregistered(UnregisteredSocket),
    /// A TCP stream of the runtime.
    Tcp(R::Tcp),
    /// A Unix stream of the runtime.
    #[cfg(unix)]
    Unix(R::Unix),
    /// Registering failed; the error was reported.
    Gone,
}

impl<R: Reactor> StreamSocket<R> {
    /// The socket, for calls that the reactor need not know of; `None` if it is [`Gone`](Self::Gone).
    pub fn get(&self) -> Option<SocketRef<'_>> {
        #[cfg(unix)]
        return match self {
            Self::Unregistered(socket) => Some(socket.as_fd()),
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(stream) => Some(stream.as_fd()),
            Self::Gone => None,
        };
        #[cfg(windows)]
        match self {
            Self::Tcp(stream) => Some(stream.as_socket()),
            Self::Gone => None,
        }
    }

    /// The program at the other end.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn peer(&self) -> io::Result<Peer> {
        peer(self.get().ok_or_else(Self::gone)?)
    }

    /// The error of a socket that is [`Gone`](Self::Gone).
    #[must_use]
    pub fn gone() -> io::Error {
        io::ErrorKind::NotConnected.into()
    }

    /// Tries a call that does not wait on a socket that the reactor does not know. If it would have
    /// to wait, which is `None`, the socket is handed to the reactor.
    ///
    /// # Errors
    /// That of the call, or of the reactor.
    #[cfg(unix)]
    #[inline]
    pub fn try_unregistered<T>(
        &mut self,
        call: impl FnOnce(SocketRef<'_>) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        let Self::Unregistered(socket) = self else { return Ok(None) };
        let done = call(socket.as_fd())?;
        if done.is_none() {
            self.register()?;
        }
        Ok(done)
    }

    /// Writes some of `bufs` on a socket that the reactor does not know, as
    /// [`try_unregistered`](Self::try_unregistered).
    ///
    /// # Errors
    /// That of the write, or of the reactor.
    pub fn try_write(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<Option<usize>> {
        #[cfg(unix)]
        return self.try_unregistered(|socket| super::unix::write_at_once(socket, bufs));
        #[cfg(not(unix))]
        {
            let _ = bufs;
            Ok(None)
        }
    }

    /// Hands the socket to the reactor, if it does not know it yet.
    ///
    /// # Errors
    /// If the reactor cannot take it; the socket is then gone.
    #[cfg(unix)]
    pub fn register(&mut self) -> io::Result<()> {
        if !matches!(self, Self::Unregistered(_)) {
            return Ok(());
        }
        *self = match core::mem::replace(self, Self::Gone) {
            Self::Unregistered(UnregisteredSocket::Tcp(fd)) => {
                Self::Tcp(R::register_tcp(fd.into())?)
            }
            Self::Unregistered(UnregisteredSocket::Unix(fd)) => {
                Self::Unix(R::register_unix(fd.into())?)
            }
            other => other,
        };
        Ok(())
    }
}

#[cfg(unix)]
impl<R: Reactor> From<UnregisteredSocket> for StreamSocket<R> {
    fn from(socket: UnregisteredSocket) -> Self {
        Self::Unregistered(socket)
    }
}

/// # Panics
/// If registering failed, which was reported.
#[cfg(unix)]
impl<R: Reactor> AsSocket for StreamSocket<R> {
    fn as_fd(&self) -> SocketRef<'_> {
        self.get().expect("the runtime could not take the socket over")
    }
}

/// # Panics
/// If registering failed, which was reported.
#[cfg(windows)]
impl<R: Reactor> AsSocket for StreamSocket<R> {
    fn as_socket(&self) -> SocketRef<'_> {
        self.get().expect("the runtime could not take the socket over")
    }
}

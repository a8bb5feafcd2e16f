//! What sockets can do beyond `Read` and `Write`: try without waiting, wait with a deadline,
//! shut down, reset.

use std::any::Any;
use std::io;
use std::net::TcpStream;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::task::Poll;

use crate::stream::Stream;

#[cfg(not(unix))]
mod portable;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod wakeup;

#[cfg(not(unix))]
use portable as system;
#[cfg(unix)]
use unix as system;

#[cfg(not(unix))]
pub(crate) use system::Wakeup;
#[cfg(not(unix))]
pub(crate) use system::listen;
pub(crate) use system::{
    Cancel, descriptors, first_byte, is_connection_waiting, is_out_of_descriptors, stop_accepting,
    wait,
};
#[cfg(unix)]
pub(crate) use system::{refuse_new, unix_peer};
#[cfg(unix)]
pub(crate) use wakeup::Wakeup;

/// What is waited for: either of them, if both are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// A connected socket.
pub(crate) trait Socket {
    #[cfg(unix)]
    fn fd(&self) -> BorrowedFd<'_>;

    /// The socket, if it is one of TCP.
    fn tcp(&self) -> Option<&TcpStream>;

    /// Another handle of the same socket.
    fn share(&self) -> io::Result<Stream>;
}

impl Socket for TcpStream {
    #[cfg(unix)]
    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn tcp(&self) -> Option<&TcpStream> {
        Some(self)
    }

    fn share(&self) -> io::Result<Stream> {
        self.try_clone().map(Stream::from)
    }
}

#[cfg(unix)]
impl Socket for UnixStream {
    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn tcp(&self) -> Option<&TcpStream> {
        None
    }

    fn share(&self) -> io::Result<Stream> {
        self.try_clone().map(Stream::from)
    }
}

/// Finds the socket in a stream of any type.
pub(crate) type AsSocket<IO> = fn(&IO) -> Option<&dyn Socket>;

/// The socket that `io` is, if it is one of the types known here.
///
/// Asked by type, so that a stream that is a socket cannot be left without deadlines by
/// forgetting to say so.
pub(crate) fn as_socket<IO: 'static>(io: &IO) -> Option<&dyn Socket> {
    fn is<T: Socket + 'static>(io: &dyn Any) -> Option<&dyn Socket> {
        io.downcast_ref::<T>().map(|io| io as &dyn Socket)
    }
    let io: &dyn Any = io;
    let found = is::<Stream>(io).or_else(|| is::<TcpStream>(io));
    #[cfg(unix)]
    let found = found.or_else(|| is::<UnixStream>(io));
    found
}

/// The result of a call that did not wait, as the core wants it.
pub(crate) fn poll<T>(called: io::Result<Option<T>>) -> Poll<io::Result<T>> {
    match called {
        Ok(Some(done)) => Poll::Ready(Ok(done)),
        Ok(None) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error)),
    }
}

impl dyn Socket + '_ {
    /// Tries a read; pending if it would have to wait.
    pub(crate) fn read_at_once(&self, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        system::read_at_once(self, buf)
    }

    /// Lets [`read_patiently`](Self::read_patiently) and
    /// [`write_patiently`](Self::write_patiently) wait; gives whether they will.
    pub(crate) fn become_patient(&self) -> bool {
        system::become_patient(self)
    }

    /// As [`read_at_once`](Self::read_at_once), but it waits a moment.
    pub(crate) fn read_patiently(&self, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        system::read_patiently(self, buf)
    }

    /// Tries a write of two slices; pending if it would have to wait.
    #[inline]
    pub(crate) fn write_at_once(&self, pending: (&[u8], &[u8])) -> Poll<io::Result<usize>> {
        poll(system::write_at_once(self, pending))
    }

    /// As [`write_at_once`](Self::write_at_once), but it waits a moment.
    #[inline]
    pub(crate) fn write_patiently(&self, pending: (&[u8], &[u8])) -> Poll<io::Result<usize>> {
        poll(system::write_patiently(self, pending))
    }

    /// Ends the write side.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        system::shutdown_write(self)
    }

    /// Makes the close a reset, so that the peer cannot take what it got for complete.
    ///
    /// A Unix socket has no reset; there the peer sees a plain close.
    pub(crate) fn reset_on_close(&self) {
        if let Some(socket) = self.tcp() {
            // If it fails, the connection is broken already.
            let _ = system::set_linger_zero(socket);
        }
    }

    /// Lets each chunk of a streamed reply leave at once.
    pub(crate) fn send_at_once(&self) {
        if let Some(socket) = self.tcp() {
            // Only a matter of delay.
            let _ = socket.set_nodelay(true);
        }
    }
}

//! A connected socket of either kind, used through a shared reference.

use std::io::{self, IoSlice};

use std::os::fd::{AsFd as _, BorrowedFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{Shutdown, shutdown};
use tokio::net::{TcpStream, UnixStream};

/// A TCP or Unix socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }

    /// Reads into `buf`; 0 at the end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let (ready, result) = match self {
                Self::Tcp(stream) => (stream.poll_read_ready(cx), stream.try_read(buf)),
                Self::Unix(stream) => (stream.poll_read_ready(cx), stream.try_read(buf)),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(ready)?,
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes what the system takes.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let (ready, result) = match self {
                Self::Tcp(stream) => (stream.poll_write_ready(cx), stream.try_write_vectored(bufs)),
                Self::Unix(stream) => {
                    (stream.poll_write_ready(cx), stream.try_write_vectored(bufs))
                }
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(ready)?,
                result => return Poll::Ready(result),
            }
        }
    }

    /// Ends the output.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        Ok(shutdown(self.fd(), Shutdown::Write)?)
    }

    /// Makes the close that follows a reset, on TCP; a Unix socket has none.
    pub(crate) fn reset_on_close(&self) {
        // If it fails, the connection is broken already.
        let _ = set_socket_linger(self.fd(), Some(Duration::ZERO));
    }

    /// Whether the peer has closed its write side or the whole connection, also while bytes that it
    /// sent before are still unread. Systems that cannot tell say no.
    pub(crate) fn has_left(&self) -> bool {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let closed = PollFlags::RDHUP;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let closed = PollFlags::empty();
        let fd = self.fd();
        let mut fds = [PollFd::new(&fd, closed)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let gone = closed | PollFlags::HUP | PollFlags::ERR;
        poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(gone)
    }
}

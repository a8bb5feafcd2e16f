//! Accepted sockets before the reactor knows them, with calls that never wait.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

/// A socket that was accepted, in non-blocking mode.
#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp(OwnedFd),
    Unix(OwnedFd),
}

impl Accepted {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(fd) | Self::Unix(fd) => fd.as_fd(),
        }
    }

    /// Reads what is there; `None` if nothing is.
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        at_once(|| rustix::net::recv(self.fd(), &mut *buf, RecvFlags::DONTWAIT).map(|(_, n)| n))
    }

    /// Writes what there is room for; `None` if there is none.
    pub(crate) fn write(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        at_once(|| rustix::net::send(self.fd(), buf, FLAGS))
    }

    /// As [`write`](Self::write), from several slices.
    pub(crate) fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        at_once(|| rustix::net::sendmsg(self.fd(), bufs, &mut Default::default(), FLAGS))
    }

    pub(crate) fn shutdown(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self.fd(), Shutdown::Write)?)
    }
}

/// A peer that is gone must give an error, not a signal.
#[cfg(not(target_vendor = "apple"))]
const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
/// There is no such flag here; a Rust program ignores the signal from its start.
#[cfg(target_vendor = "apple")]
const FLAGS: SendFlags = SendFlags::DONTWAIT;

/// Accepts one connection, if one is waiting.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use rustix::net::SocketFlags;
    // With the flags it is one system call instead of two or three.
    let flags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);
    Ok(rustix::net::accept_with(listener, flags)?)
}

/// Accepts one connection, if one is waiting.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let socket = rustix::net::accept(listener)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// Repeats a call that a signal interrupted, and tells one that would wait.
fn at_once(mut call: impl FnMut() -> Result<usize, Errno>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

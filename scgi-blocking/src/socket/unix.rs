//! Sockets on Unix: each call says itself that it must not wait, and `poll` waits.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use scgi_proto::Peer;

use super::{Interest, Socket};

/// A peer that is gone must give an error, not a signal.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
/// There is no such flag here; a Rust program ignores the signal from its start.
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::DONTWAIT;

pub(super) fn read_at_once(socket: &dyn Socket, buf: &mut [u8]) -> io::Result<Option<usize>> {
    at_once(|| rustix::net::recv(socket.fd(), &mut *buf, RecvFlags::DONTWAIT).map(|(_, n)| n))
}

pub(super) fn write_at_once(
    socket: &dyn Socket,
    (first, second): (&[u8], &[u8]),
) -> io::Result<Option<usize>> {
    if second.is_empty() {
        return at_once(|| rustix::net::send(socket.fd(), first, SEND));
    }
    let both = [IoSlice::new(first), IoSlice::new(second)];
    at_once(|| rustix::net::sendmsg(socket.fd(), &both, &mut Default::default(), SEND))
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

pub(super) fn wait(
    socket: &dyn Socket,
    interest: Interest,
    timeout: Option<Duration>,
    cancel: Option<&Cancel>,
) -> io::Result<()> {
    let flags = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
        Interest::Both => PollFlags::IN | PollFlags::OUT,
    };
    let socket = socket.fd();
    let socket = PollFd::from_borrowed_fd(socket, flags);
    // A timeout beyond what the system counts is none.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let waited = match cancel {
        Some(cancel) => {
            let cancel = PollFd::new(&cancel.receiver, PollFlags::IN);
            poll(&mut [socket, cancel], timeout.as_ref())
        }
        None => poll(&mut [socket], timeout.as_ref()),
    };
    match waited {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn shutdown_write(socket: &dyn Socket) -> io::Result<()> {
    Ok(rustix::net::shutdown(socket.fd(), Shutdown::Write)?)
}

pub(super) fn set_linger_zero(socket: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))?)
}

/// How many descriptors this process may open, where the system bounds that.
pub(crate) fn descriptors() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// Waits until a connection waits to be accepted; gives whether that came in time.
pub(crate) fn is_connection_waiting(listener: &impl AsFd, timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).ok();
    let waited = poll(&mut [PollFd::new(listener, PollFlags::IN)], timeout.as_ref());
    waited.is_ok_and(|count| count > 0)
}

/// Whether there is something to read, without taking it.
pub(crate) fn has_input(socket: &dyn Socket) -> bool {
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    rustix::net::recv(socket.fd(), &mut [0_u8][..], flags).is_ok_and(|(_, count)| count > 0)
}

/// The process that connected, where the system tells it.
pub(crate) fn unix_peer(socket: &UnixStream) -> Peer {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Ok(peer) = rustix::net::sockopt::socket_peercred(socket) {
        return Peer::Unix(Some(scgi_proto::Credentials {
            uid: peer.uid.as_raw(),
            gid: peer.gid.as_raw(),
            pid: u32::try_from(peer.pid.as_raw_nonzero().get()).ok(),
        }));
    }
    let _ = socket;
    Peer::Unix(None)
}

/// Sets the length of a listener's queue.
pub(crate) fn listen(listener: &impl AsFd, backlog: i32) -> io::Result<()> {
    Ok(rustix::net::listen(listener, backlog)?)
}

/// Makes every accept on the listener's socket fail, those that wait already too. Gives whether
/// the system can do that.
pub(crate) fn stop_accepting(listener: &impl AsFd) -> bool {
    // Elsewhere it fails, or wakes nobody.
    cfg!(any(target_os = "linux", target_os = "android"))
        && rustix::net::shutdown(listener, Shutdown::Both).is_ok()
}

/// Ends all waiting of a server's connections.
#[derive(Debug)]
pub(crate) struct Cancel {
    is_set: AtomicBool,
    /// Readable once `sender` is dropped; part of every wait.
    receiver: UnixStream,
    sender: Mutex<Option<UnixStream>>,
}

impl Cancel {
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        Ok(Self { is_set: AtomicBool::new(false), receiver, sender: Mutex::new(Some(sender)) })
    }

    pub(crate) fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }
}

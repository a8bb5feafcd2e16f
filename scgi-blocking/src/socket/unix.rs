//! Sockets on Unix: each call says itself that it must not wait, and `poll` waits.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, Shutdown};

pub(crate) use scgi_proto::socket::{descriptors, unix_peer};

use super::wakeup::Wakeup;
use super::{Interest, Socket, poll};

pub(super) fn read_at_once(socket: &dyn Socket, buf: &mut [u8]) -> Poll<io::Result<usize>> {
    poll(scgi_proto::socket::read_at_once(socket.fd(), buf))
}

/// The longest wait of a patient call: short for whoever cancels it, and beyond what an idle
/// processor takes for near. With a timer at 10 ms, Linux wakes it slower: an eighth of the
/// throughput to a peer on another processor, where 50 ms and more cost nothing.
const MOMENT: Duration = Duration::from_millis(100);

/// The most bytes of a patient write, which may wait for room several times.
const PATIENT_WRITE: usize = 64 * 1024;

pub(super) fn become_patient(socket: &dyn Socket) -> bool {
    let set = |timeout| set_socket_timeout(socket.fd(), timeout, Some(MOMENT)).is_ok();
    set(Timeout::Recv) && set(Timeout::Send)
}

pub(super) fn read_patiently(socket: &dyn Socket, buf: &mut [u8]) -> Poll<io::Result<usize>> {
    poll(scgi_proto::socket::read(socket.fd(), buf))
}

#[inline]
pub(super) fn write_at_once(
    socket: &dyn Socket,
    pending: (&[u8], &[u8]),
) -> io::Result<Option<usize>> {
    with_slices(pending, |bufs| scgi_proto::socket::write_at_once(socket.fd(), bufs))
}

#[inline]
pub(super) fn write_patiently(
    socket: &dyn Socket,
    (first, second): (&[u8], &[u8]),
) -> io::Result<Option<usize>> {
    let first = &first[..first.len().min(PATIENT_WRITE)];
    let second = &second[..second.len().min(PATIENT_WRITE - first.len())];
    with_slices((first, second), |bufs| scgi_proto::socket::write(socket.fd(), bufs))
}

/// Passes both slices, or only the first if the second is empty. The first is not empty.
#[inline]
fn with_slices<R>((first, second): (&[u8], &[u8]), write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
    let both = [IoSlice::new(first), IoSlice::new(second)];
    write(if second.is_empty() { &both[..1] } else { &both })
}

/// Waits until a read or write may succeed, or `timeout` is over, or `cancel` is set, or this
/// thread is woken. May return early for no reason.
pub(crate) fn wait(
    socket: &dyn Socket,
    interest: Interest,
    timeout: Option<Duration>,
    cancel: Option<&Cancel>,
    wakeup: Option<&Wakeup>,
) -> io::Result<()> {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.read);
    flags.set(PollFlags::OUT, interest.write);
    let event = wakeup.and_then(Wakeup::event);
    let mut timeout = timeout;
    if wakeup.is_some() && event.is_none() {
        // It cannot be woken, and looks by itself.
        timeout = Some(timeout.map_or(MOMENT, |timeout| timeout.min(MOMENT)));
    }
    if wakeup.is_some_and(Wakeup::take) {
        return Ok(());
    }
    // A timeout beyond what the system counts is none.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let socket = PollFd::from_borrowed_fd(socket.fd(), flags);
    // An element that is missing means the socket.
    let others =
        [cancel.map(|cancel| cancel.receiver.as_fd()), event.as_ref().map(|event| event.as_fd())];
    let mut all = [socket.clone(), socket.clone(), socket];
    let mut count = 1;
    for other in others.into_iter().flatten() {
        all[count] = PollFd::from_borrowed_fd(other, PollFlags::IN);
        count += 1;
    }
    let waited = rustix::event::poll(&mut all[..count], timeout.as_ref());
    if let Some(wakeup) = wakeup {
        wakeup.take();
    }
    match waited {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn shutdown_write(socket: &dyn Socket) -> io::Result<()> {
    scgi_proto::socket::shutdown_write(socket.fd())
}

pub(super) fn set_linger_zero(socket: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))?)
}

/// Waits until a connection waits to be accepted; gives whether that came in time.
pub(crate) fn is_connection_waiting(listener: &impl AsFd, timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).ok();
    let waited = rustix::event::poll(&mut [PollFd::new(listener, PollFlags::IN)], timeout.as_ref());
    waited.is_ok_and(|count| count > 0)
}

/// Whether the first byte has come, without taking it: false if the peer has closed or broken the
/// connection before.
pub(crate) fn first_byte(socket: &dyn Socket) -> Poll<bool> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    match rustix::net::recv(socket.fd(), &mut [0_u8][..], flags) {
        Ok((_, count)) => Poll::Ready(count > 0),
        Err(Errno::AGAIN | Errno::INTR) => Poll::Pending,
        Err(_) => Poll::Ready(false),
    }
}

/// Shuts down the read side of a Unix listener: no one can connect any more, and what waits can
/// still be accepted. Returns whether the system can do that.
pub(crate) fn refuse_new(listener: &UnixListener) -> bool {
    // Elsewhere it fails, or loses what waits.
    cfg!(any(target_os = "linux", target_os = "android"))
        && rustix::net::shutdown(listener, Shutdown::Read).is_ok()
}

/// Whether this process or the system has no more descriptors.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    let codes = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Makes every accept on the listener's socket fail, those that wait already too. Gives whether
/// the system can do that.
pub(crate) fn stop_accepting(listener: &impl AsFd) -> bool {
    // Elsewhere it fails, or wakes no thread.
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

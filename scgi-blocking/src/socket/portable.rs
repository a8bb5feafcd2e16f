//! Sockets where the system is not Unix, with what `std` has: reads are tried with the socket in
//! non-blocking mode, and one waits in `peek`; writes wait themselves, for a short time each.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::{Interest, Socket, poll};

/// The longest wait in one call: how late a cancelled wait notices at most.
const SLICE: Duration = Duration::from_millis(100);

fn tcp(socket: &dyn Socket) -> io::Result<&TcpStream> {
    socket.tcp().ok_or_else(|| ErrorKind::Unsupported.into())
}

pub(super) fn read_at_once(socket: &dyn Socket, buf: &mut [u8]) -> Poll<io::Result<usize>> {
    poll(try_read(socket, buf))
}

fn try_read(socket: &dyn Socket, buf: &mut [u8]) -> io::Result<Option<usize>> {
    let mut socket = tcp(socket)?;
    socket.set_nonblocking(true)?;
    let read = at_once(|| socket.read(buf));
    socket.set_nonblocking(false)?;
    read
}

/// Waits are bounded in `peek` here.
pub(super) fn become_patient(_: &dyn Socket) -> bool {
    false
}

pub(super) fn read_patiently(socket: &dyn Socket, buf: &mut [u8]) -> Poll<io::Result<usize>> {
    read_at_once(socket, buf)
}

pub(super) fn write_at_once(
    socket: &dyn Socket,
    (first, second): (&[u8], &[u8]),
) -> io::Result<Option<usize>> {
    let mut socket = tcp(socket)?;
    socket.set_write_timeout(Some(SLICE))?;
    at_once(|| socket.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]))
}

pub(super) fn write_patiently(
    socket: &dyn Socket,
    pending: (&[u8], &[u8]),
) -> io::Result<Option<usize>> {
    write_at_once(socket, pending)
}

/// Repeats a call that was interrupted, and tells one that would wait.
fn at_once(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(count) => return Ok(Some(count)),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(None),
                _ => return Err(error),
            },
        }
    }
}

/// Waits until a read may succeed, or `timeout` is over, for a short time at most.
pub(crate) fn wait(
    socket: &dyn Socket,
    interest: Interest,
    timeout: Option<Duration>,
    cancel: Option<&Cancel>,
    wakeup: Option<&Wakeup>,
) -> io::Result<()> {
    // A write has waited already.
    let has_waited = !interest.read || interest.write;
    if wakeup.is_some_and(Wakeup::take) || has_waited || cancel.is_some_and(Cancel::is_set) {
        return Ok(());
    }
    let timeout = timeout.unwrap_or(SLICE).clamp(Duration::from_millis(1), SLICE);
    let socket = tcp(socket)?;
    socket.set_read_timeout(Some(timeout))?;
    at_once(|| socket.peek(&mut [0])).map(drop)
}

pub(super) fn shutdown_write(socket: &dyn Socket) -> io::Result<()> {
    tcp(socket)?.shutdown(Shutdown::Write)
}

pub(super) fn set_linger_zero(socket: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// Whether the first byte has come, without taking it: false if the peer has closed or broken the
/// connection before. It may wait for a short time.
pub(crate) fn first_byte(socket: &dyn Socket) -> Poll<bool> {
    let peek = || {
        let socket = tcp(socket)?;
        socket.set_read_timeout(Some(SLICE))?;
        at_once(|| socket.peek(&mut [0]))
    };
    match peek() {
        Ok(Some(count)) => Poll::Ready(count > 0),
        Ok(None) => Poll::Pending,
        Err(_) => Poll::Ready(false),
    }
}

/// How many descriptors this process may open: not bounded here.
pub(crate) fn descriptors() -> Option<u64> {
    None
}

/// Whether a connection waits to be accepted; it is not known how to ask here.
pub(crate) fn is_connection_waiting(_: &std::net::TcpListener, timeout: Duration) -> bool {
    std::thread::sleep(timeout);
    false
}

/// Sets the length of a listener's queue.
pub(crate) fn listen(listener: &std::net::TcpListener, backlog: i32) -> io::Result<()> {
    socket2::SockRef::from(listener).listen(backlog)
}

/// Whether this process has no more descriptors; not bounded here.
pub(crate) fn is_out_of_descriptors(_: &io::Error) -> bool {
    false
}

/// Makes every accept on the listener's socket fail; it is not known how here.
pub(crate) fn stop_accepting(_: &std::net::TcpListener) -> bool {
    false
}

/// Ends all waiting of a server's connections.
#[derive(Debug)]
pub(crate) struct Cancel {
    is_set: AtomicBool,
}

impl Cancel {
    #[expect(clippy::unnecessary_wraps, reason = "it can fail on Unix")]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { is_set: AtomicBool::new(false) })
    }

    pub(crate) fn set(&self) {
        self.is_set.store(true, Ordering::Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }
}

/// Wakes one thread, which waits for a short time only.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    is_set: AtomicBool,
}

impl Wakeup {
    /// Descriptors that each thread holds for it.
    pub(crate) const DESCRIPTORS: u64 = 0;

    /// There is nothing to close.
    #[allow(clippy::unused_self, reason = "the counterpart on Unix holds descriptors")]
    pub(crate) fn close(&self) {}

    /// Ends the next wait of the thread.
    pub(crate) fn set(&self) {
        self.is_set.store(true, Ordering::Release);
    }

    /// Takes back that it was set; gives whether it was.
    pub(crate) fn take(&self) -> bool {
        self.is_set.swap(false, Ordering::AcqRel)
    }
}

//! Connects to Unix sockets without blocking, which `std` cannot do.

#[cfg(feature = "driver")]
use core::future::Future;
use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

/// The pauses between two attempts: short at first, as a queue usually drains in no time, and long
/// enough in the end to cost nothing.
const PAUSES: core::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_millis(50);

/// One connection to be made, from a socket in non-blocking mode.
pub(crate) struct UnixConnect {
    socket: OwnedFd,
    address: SocketAddrUnix,
    pause: Duration,
}

impl UnixConnect {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let address = address(path)?;
        Ok(Self { socket: socket()?, address, pause: *PAUSES.start() })
    }

    /// Tries to connect. If the queue of the server is full, returns how long to wait before the next
    /// attempt.
    pub(crate) fn attempt(&mut self) -> io::Result<Option<Duration>> {
        match connect(&self.socket, &self.address) {
            Ok(()) => Ok(None),
            Err(Errno::AGAIN) => {
                let pause = self.pause;
                self.pause = (pause * 2).min(*PAUSES.end());
                Ok(Some(pause))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Connects to the Unix socket at `path`, which may be abstract, without blocking the thread. The
/// socket is in non-blocking mode.
///
/// While the queue of the server is full, it is tried again, after 1 ms at first and every 50 ms in
/// the end: no event reports that there is room. Linux alone says that the queue is full; other systems
/// refuse the connection.
///
/// # Errors
/// If connecting fails.
///
/// # Cancel safety
/// Dropping the future ends the attempt.
#[cfg(feature = "driver")]
pub async fn connect_unix_async<D: Future>(
    path: &Path,
    delay: impl Fn(Duration) -> D,
) -> io::Result<OwnedFd> {
    let mut connect = UnixConnect::new(path)?;
    while let Some(pause) = connect.attempt()? {
        delay(pause).await;
    }
    Ok(connect.socket)
}

/// Connects to the Unix socket at `path`, which may be abstract, and waits at most for `timeout` if
/// the queue of the server is full. The socket is in blocking mode.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] if it takes longer; others from the system. Systems other than Linux
/// refuse the connection if the queue is full.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// let none = scgi_proto::socket::connect_unix("/no/such".as_ref(), Duration::from_secs(1));
/// assert_eq!(none.unwrap_err().kind(), std::io::ErrorKind::NotFound);
/// ```
pub fn connect_unix(path: &Path, timeout: Duration) -> io::Result<OwnedFd> {
    let until = Instant::now().checked_add(timeout);
    let mut connect = UnixConnect::new(path)?;
    if connect.attempt()?.is_none() {
        rustix::io::ioctl_fionbio(&connect.socket, false)?;
        return Ok(connect.socket);
    }
    let UnixConnect { socket, address, .. } = connect;
    rustix::io::ioctl_fionbio(&socket, false)?;
    wait_in_queue(&socket, &address, until)?;
    // A write of the program waits as long as it takes.
    set_socket_timeout(&socket, Timeout::Send, None)?;
    Ok(socket)
}

/// Linux bounds a connect on a Unix socket by SO_SNDTIMEO, and wakes it as soon as there is room.
fn wait_in_queue(
    socket: &OwnedFd,
    address: &SocketAddrUnix,
    until: Option<Instant>,
) -> io::Result<()> {
    loop {
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // The system counts microseconds, and 0 means no bound.
            let left = left.max(Duration::from_micros(1));
            set_socket_timeout(socket, Timeout::Send, Some(left))?;
        }
        match rustix::net::connect(socket, address) {
            Ok(()) | Err(Errno::ISCONN) => return Ok(()),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn connect(socket: &OwnedFd, address: &SocketAddrUnix) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| rustix::net::connect(socket, address))
}

fn address(path: &Path) -> io::Result<SocketAddrUnix> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::os::unix::ffi::OsStrExt;
        if let [b'@', name @ ..] = path.as_os_str().as_bytes() {
            return Ok(SocketAddrUnix::new_abstract_name(name)?);
        }
    }
    Ok(SocketAddrUnix::new(path)?)
}

fn socket() -> io::Result<OwnedFd> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        use rustix::net::SocketFlags;
        let flags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);
        let unix = AddressFamily::UNIX;
        Ok(rustix::net::socket_with(unix, SocketType::STREAM, flags, None)?)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(socket)
    }
}

// Miri knows no Unix sockets.
#[cfg(all(test, not(miri), target_os = "linux"))]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::thread;
    use std::vec::Vec;

    use super::*;

    /// An abstract name that no other test has.
    fn name() -> std::path::PathBuf {
        let id = std::process::id();
        std::format!("@scgi-connect-{id}-{:?}", thread::current().id()).into()
    }

    /// A listener whose queue is full, and what fills it.
    fn full(path: &Path) -> (UnixListener, Vec<UnixConnect>) {
        let address = crate::unix_address(path).expect("a name");
        let listener = UnixListener::bind_addr(&address).expect("a listener");
        rustix::net::listen(&listener, 1).expect("it listens");
        let mut waiting = Vec::new();
        loop {
            let mut connect = UnixConnect::new(path).expect("a socket");
            if connect.attempt().expect("no error").is_some() {
                return (listener, waiting);
            }
            waiting.push(connect);
        }
    }

    #[test]
    fn a_full_queue_is_tried_again_after_longer_and_longer_pauses() {
        let path = name();
        let (listener, _waiting) = full(&path);
        let mut connect = UnixConnect::new(&path).expect("a socket");
        let pauses: Vec<_> = (0..8).map(|_| connect.attempt().expect("no error")).collect();
        let expected = [1, 2, 4, 8, 16, 32, 50, 50].map(|ms| Some(Duration::from_millis(ms)));
        assert_eq!(pauses, expected);
        listener.accept().expect("a connection");
        assert_eq!(connect.attempt().expect("there is room"), None);
    }

    #[test]
    fn a_blocking_connect_waits_in_the_queue_until_its_deadline() {
        let path = name();
        let (listener, _waiting) = full(&path);
        let start = Instant::now();
        let error = connect_unix(&path, Duration::from_millis(50)).expect_err("it is full");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((50..5000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        let accepting = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            listener.accept().expect("a connection");
            listener
        });
        let socket = connect_unix(&path, Duration::from_secs(60)).expect("there is room");
        let stream = UnixStream::from(socket);
        assert_eq!(stream.write_timeout().expect("it has an answer"), None);
        drop(accepting.join());
    }

    #[test]
    fn a_name_that_is_too_long_or_absent_is_an_error() {
        let long = "/x".repeat(100);
        assert!(connect_unix(long.as_ref(), Duration::MAX).is_err());
        let absent = connect_unix(name().as_ref(), Duration::MAX).expect_err("no server listens");
        assert_eq!(absent.kind(), io::ErrorKind::ConnectionRefused, "{absent}");
    }
}

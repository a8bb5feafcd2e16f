//! Socket calls on Unix.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix};

use crate::exchange::peer::Peer;
use crate::net::address::Address;

/// A peer that is gone must give an error, not a signal.
#[cfg(not(target_vendor = "apple"))]
const QUIET: SendFlags = SendFlags::NOSIGNAL;
/// There is no such flag here; a Rust program ignores the signal from its start.
#[cfg(target_vendor = "apple")]
const QUIET: SendFlags = SendFlags::empty();

/// Reads what is there; `None` if nothing is.
///
/// # Errors
/// If the socket failed.
///
/// # Examples
/// ```
/// use std::io::IoSlice;
/// use std::os::unix::net::UnixStream;
/// use scgi_proto::socket::{read_at_once, shutdown_write, write_at_once};
///
/// let (near, far) = UnixStream::pair()?;
/// let mut buf = [0; 8];
/// assert_eq!(read_at_once(&far, &mut buf)?, None);
/// assert_eq!(write_at_once(&near, &[IoSlice::new(b"he"), IoSlice::new(b"llo")])?, Some(5));
/// assert_eq!(read_at_once(&far, &mut buf)?, Some(5));
/// shutdown_write(&near)?;
/// assert_eq!(read_at_once(&far, &mut buf)?, Some(0));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_at_once(socket: impl AsFd, buf: &mut [u8]) -> io::Result<Option<usize>> {
    recv(socket.as_fd(), buf, RecvFlags::DONTWAIT)
}

/// As [`read_at_once`], but it waits as long as the socket is set to (SO_RCVTIMEO), if it is not in
/// non-blocking mode.
///
/// # Errors
/// If the socket failed.
///
/// # Examples
/// ```
/// use std::os::unix::net::UnixStream;
/// use std::time::Duration;
///
/// let (near, far) = UnixStream::pair()?;
/// far.set_read_timeout(Some(Duration::from_millis(10)))?;
/// let mut buf = [0; 8];
/// assert_eq!(scgi_proto::socket::read(&far, &mut buf)?, None);
/// drop(near);
/// assert_eq!(scgi_proto::socket::read(&far, &mut buf)?, Some(0));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read(socket: impl AsFd, buf: &mut [u8]) -> io::Result<Option<usize>> {
    recv(socket.as_fd(), buf, RecvFlags::empty())
}

fn recv(socket: BorrowedFd<'_>, buf: &mut [u8], flags: RecvFlags) -> io::Result<Option<usize>> {
    at_once(|| rustix::net::recv(socket, &mut *buf, flags).map(|(_, count)| count))
}

/// Writes what there is room for, in one system call; `None` if there is none.
///
/// # Errors
/// If the socket failed; a peer that is gone is not reported.
pub fn write_at_once(socket: impl AsFd, bufs: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    send(socket.as_fd(), bufs, QUIET | SendFlags::DONTWAIT)
}

/// As [`write_at_once`], but it waits as long as the socket is set to (SO_SNDTIMEO), if it is not in
/// non-blocking mode.
///
/// # Errors
/// If the socket failed; a peer that is gone is not reported.
///
/// # Examples
/// ```
/// use std::io::IoSlice;
/// use std::os::unix::net::UnixStream;
/// use std::time::Duration;
///
/// let (near, far) = UnixStream::pair()?;
/// near.set_write_timeout(Some(Duration::from_millis(10)))?;
/// let chunk = [b'x'; 64 * 1024];
/// // Until the peer has no room for more.
/// while scgi_proto::socket::write(&near, &[IoSlice::new(&chunk)])?.is_some() {}
/// drop(far);
/// assert!(scgi_proto::socket::write(&near, &[IoSlice::new(&chunk)]).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write(socket: impl AsFd, bufs: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    send(socket.as_fd(), bufs, QUIET)
}

fn send(
    socket: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    flags: SendFlags,
) -> io::Result<Option<usize>> {
    at_once(|| match bufs {
        [buf] => rustix::net::send(socket, buf, flags),
        _ => rustix::net::sendmsg(socket, bufs, &mut Default::default(), flags),
    })
}

/// Whether the peer has closed its side or broken the connection, although unread bytes wait in
/// front of that.
///
/// Linux and FreeBSD show the end of the peer's side (POLLRDHUP); elsewhere only a connection that
/// is broken or closed on both sides is seen. `false` if the system does not say.
///
/// # Examples
/// ```
/// use std::io::Write;
/// use std::net::Shutdown;
/// use std::os::unix::net::UnixStream;
/// use scgi_proto::socket::has_peer_left;
///
/// let (near, mut far) = UnixStream::pair()?;
/// far.write_all(b"unread")?;
/// assert!(!has_peer_left(&near));
/// # #[cfg(target_os = "linux")] {
/// far.shutdown(Shutdown::Write)?;
/// assert!(has_peer_left(&near));
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn has_peer_left(socket: impl AsFd) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let end = PollFlags::RDHUP;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let end = PollFlags::empty();
    let mut asked = [PollFd::new(&socket, end)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut asked, Some(&at_once)), Ok(1..))
        && asked[0].revents().intersects(end | PollFlags::HUP | PollFlags::ERR)
}

/// Lets each piece leave immediately (TCP_NODELAY). This does nothing to a socket that is not one of
/// TCP.
///
/// # Examples
/// ```
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
/// scgi_proto::socket::send_at_once(&stream);
/// assert!(stream.nodelay()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn send_at_once(socket: impl AsFd) {
    // Only a matter of delay.
    let _ = rustix::net::sockopt::set_tcp_nodelay(socket, true);
}

/// Makes the close a reset (SO_LINGER with 0), so that the peer cannot take what it got for complete.
/// A Unix socket has no reset: its peer sees a plain close.
pub fn reset_on_close(socket: impl AsFd) {
    // Where this fails, the connection is broken already.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(core::time::Duration::ZERO));
}

/// Ends the write side.
///
/// # Errors
/// If the peer is gone already.
pub fn shutdown_write(socket: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::shutdown(socket, Shutdown::Write)?)
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

/// A socket that was accepted, in non-blocking mode, and that no reactor knows yet.
///
/// These are all: an adapter must handle each.
#[derive(Debug)]
pub enum UnregisteredSocket {
    /// One of TCP.
    Tcp(OwnedFd),
    /// A Unix socket.
    Unix(OwnedFd),
}

impl AsFd for UnregisteredSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(fd) | Self::Unix(fd) => fd.as_fd(),
        }
    }
}

/// Accepts one connection, in non-blocking mode, from a listener that is in it too.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if none is waiting; others from the system.
///
/// # Examples
/// ```
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// listener.set_nonblocking(true)?;
/// let none = scgi_proto::socket::accept(&listener).map(drop);
/// assert_eq!(none.map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        use rustix::net::SocketFlags;
        // With the flags it is one system call instead of two or three.
        let flags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);
        Ok(rustix::net::accept_with(listener, flags)?)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        let socket = rustix::net::accept(listener)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(socket)
    }
}

/// The program at the other end of a TCP or Unix socket.
///
/// # Errors
/// If the system does not know it, because the peer broke the connection for example.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let socket = socket.as_fd();
    let not_connected = || io::Error::from(io::ErrorKind::NotConnected);
    let address = rustix::net::getpeername(socket)?.ok_or_else(not_connected)?;
    match core::net::SocketAddr::try_from(address) {
        Ok(address) => Ok(Peer::Tcp(address)),
        Err(_) => Ok(unix_peer(socket)),
    }
}

/// The address to which a socket is bound. An abstract name begins with `@`.
///
/// # Errors
/// If the system does not say.
///
/// # Examples
/// ```
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let address = scgi_proto::socket::local_address(&listener)?;
/// assert_eq!(address.socket_address(), Some(listener.local_addr()?));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn local_address(socket: impl AsFd) -> io::Result<Address> {
    let address = rustix::net::getsockname(socket)?;
    if let Ok(address) = core::net::SocketAddr::try_from(address.clone()) {
        return Ok(address.into());
    }
    let address = SocketAddrUnix::try_from(address)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.abstract_name() {
        return Ok(Address::Unix(std::format!("@{}", name.escape_ascii()).into()));
    }
    let path = address.path_bytes().unwrap_or(b"(unnamed)");
    Ok(Address::Unix(OsStr::from_bytes(path).into()))
}

/// Whether it is a Unix socket.
///
/// # Examples
/// ```
/// use scgi_proto::socket::is_unix;
/// let (near, _far) = std::os::unix::net::UnixStream::pair()?;
/// assert!(is_unix(&near));
/// assert!(!is_unix(&std::net::TcpListener::bind("127.0.0.1:0")?));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_unix(socket: impl AsFd) -> bool {
    rustix::net::getsockname(socket)
        .is_ok_and(|address| address.address_family() == AddressFamily::UNIX)
}

/// The process at the other end of a Unix socket, where the system reports it.
///
/// # Examples
/// ```
/// use scgi_proto::Peer;
/// let (near, _far) = std::os::unix::net::UnixStream::pair()?;
/// let peer = scgi_proto::socket::unix_peer(&near);
/// # #[cfg(target_os = "linux")]
/// assert!(matches!(peer, Peer::Unix(Some(found)) if found.pid == Some(std::process::id())));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unix_peer(socket: impl AsFd) -> Peer {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Ok(peer) = rustix::net::sockopt::socket_peercred(socket.as_fd()) {
        return Peer::Unix(Some(crate::exchange::peer::Credentials {
            uid: peer.uid.as_raw(),
            gid: peer.gid.as_raw(),
            pid: u32::try_from(peer.pid.as_raw_nonzero().get()).ok(),
        }));
    }
    let _ = socket;
    Peer::Unix(None)
}

/// How many descriptors this process may open, where the system bounds that; see
/// [`ServerConfig::max_connections`](crate::server::ServerConfig::max_connections).
#[must_use]
pub fn descriptors() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

// Miri knows no Unix sockets and no processes.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_those_that_the_shell_tells() {
        let told = std::process::Command::new("sh").args(["-c", "ulimit -Sn"]).output();
        let told = std::string::String::from_utf8(told.expect("a shell").stdout).expect("text");
        assert_eq!(descriptors(), told.trim().parse().ok(), "{told}");
    }
}

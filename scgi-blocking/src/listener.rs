//! A listener, which accepts connections.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use scgi_proto::{Address, BindOptions, Bound, ToAddress};
#[cfg(unix)]
use {
    scgi_proto::SocketFile,
    std::os::fd::{AsFd, BorrowedFd},
    std::os::unix::net::{UnixListener, UnixStream},
};

#[cfg(unix)]
use crate::socket::refuse_new;
use crate::socket::{is_connection_waiting, stop_accepting};
use crate::stream::Stream;

/// A TCP or Unix listener.
///
/// # Examples
/// ```
/// use scgi_blocking::Listener;
/// let listener = Listener::bind("127.0.0.1:0")?;
/// println!("Listening on {}", listener.local_address()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    /// Removes the socket's file at the end, if this program made it. First, as long as the
    /// socket is bound: no other server takes it for a stale one then.
    #[cfg(unix)]
    file: Option<SocketFile>,
    inner: Inner,
    /// Bound here, so no other process has the socket.
    own: bool,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    /// Binds an address; a host name is looked up. The file of a Unix socket that no process uses
    /// any more is replaced.
    ///
    /// # Errors
    /// As [`scgi_proto::bind`].
    pub fn bind(address: impl ToAddress) -> io::Result<Self> {
        Self::bind_with(address, &BindOptions::default())
    }

    /// As [`bind`](Self::bind), with the rights of a Unix socket's file and the backlog.
    ///
    /// # Errors
    /// As [`scgi_proto::bind_with`].
    pub fn bind_with(address: impl ToAddress, options: &BindOptions) -> io::Result<Self> {
        let address = address.to_address()?;
        // One that was passed stays with the process that passed it.
        let own = !matches!(address, Address::Fd(_) | Address::Systemd(_));
        match scgi_proto::bind_with(&address, options)? {
            Bound::Tcp(listener) => {
                #[cfg(not(unix))]
                crate::socket::listen(&listener, options.backlog())?;
                Ok(Self { own, ..listener.into() })
            }
            #[cfg(unix)]
            Bound::Unix(listener, file) => Ok(Self { inner: Inner::Unix(listener), own, file }),
        }
    }

    /// The address it listens on, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_address(&self) -> io::Result<Address> {
        #[cfg(unix)]
        if let Some(file) = &self.file {
            return Ok(Address::Unix(file.path().to_path_buf()));
        }
        #[cfg(unix)]
        return scgi_proto::socket::local_address(self);
        #[cfg(not(unix))]
        match &self.inner {
            Inner::Tcp(listener) => listener.local_addr().map(Address::from),
        }
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// If accepting fails; [`serve`](crate::serve()) continues after any error.
    pub fn accept(&self) -> io::Result<Stream> {
        match &self.inner {
            Inner::Tcp(listener) => listener.accept().map(|(stream, _)| stream.into()),
            #[cfg(unix)]
            Inner::Unix(listener) => listener.accept().map(|(stream, _)| stream.into()),
        }
    }

    /// Accepts what waits, at most `max` connections. The listener then is in non-blocking mode.
    pub(crate) fn accept_waiting(&self, max: usize) -> Waiting {
        let mut waiting = Waiting { taken: Vec::new(), is_all: false };
        if self.set_nonblocking(true).is_err() {
            waiting.is_all = true;
            return waiting;
        }
        while waiting.taken.len() < max {
            match self.accept() {
                Ok(stream) => waiting.taken.push(stream),
                Err(error) => match error.kind() {
                    // Invalid since its read side was shut down, and no more connections wait.
                    ErrorKind::WouldBlock | ErrorKind::InvalidInput => {
                        waiting.is_all = true;
                        break;
                    }
                    // Only this connection has failed.
                    ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {}
                    // Descriptors or memory have run out. The system sets one aside for each thread
                    // that waits in accept(2), so this also fails where no connection waits.
                    _ => {
                        waiting.is_all = !self.may_have_waiting();
                        break;
                    }
                },
            }
        }
        waiting
    }

    /// Ends the non-blocking mode.
    pub(crate) fn become_blocking(&self) {
        // It fails for no socket.
        let _ = self.set_nonblocking(false);
    }

    fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match &self.inner {
            Inner::Tcp(listener) => listener.set_nonblocking(on),
            #[cfg(unix)]
            Inner::Unix(listener) => listener.set_nonblocking(on),
        }
    }

    /// Whether the socket is known to be this program's alone.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }

    /// Whether threads that wait in accept(2) at the end are sent connections, as listening cannot be
    /// ended otherwise.
    pub(crate) fn is_called(&self) -> bool {
        !self.is_own() || cfg!(not(any(target_os = "linux", target_os = "android")))
    }

    /// Waits until a connection waits to be accepted; returns whether that came in time.
    pub(crate) fn is_connection_waiting(&self, timeout: Duration) -> bool {
        match &self.inner {
            Inner::Tcp(listener) => is_connection_waiting(listener, timeout),
            #[cfg(unix)]
            Inner::Unix(listener) => is_connection_waiting(listener, timeout),
        }
    }

    /// Whether a connection waits to be accepted, or the system does not say.
    pub(crate) fn may_have_waiting(&self) -> bool {
        cfg!(not(unix)) || self.is_connection_waiting(Duration::ZERO)
    }

    /// Refuses new connections, while those that wait can still be accepted. Returns whether the
    /// system can do that with this socket.
    pub(crate) fn refuse_new(&self) -> bool {
        match &self.inner {
            Inner::Tcp(_) => false,
            #[cfg(unix)]
            Inner::Unix(listener) => refuse_new(listener),
        }
    }

    /// Ends every accept that waits, and the socket for every process that has it. Returns whether
    /// the system can do that.
    pub(crate) fn stop(&self) -> bool {
        match &self.inner {
            Inner::Tcp(listener) => stop_accepting(listener),
            #[cfg(unix)]
            Inner::Unix(listener) => stop_accepting(listener),
        }
    }

    /// Ends one accept that waits, by connecting to it.
    ///
    /// # Errors
    /// If connecting fails.
    pub(crate) fn wake_one(&self) -> io::Result<()> {
        match &self.inner {
            Inner::Tcp(listener) => {
                let address = listener.local_addr().map(reachable)?;
                TcpStream::connect_timeout(&address, Duration::from_millis(100)).map(drop)
            }
            #[cfg(unix)]
            Inner::Unix(listener) => UnixStream::connect_addr(&listener.local_addr()?).map(drop),
        }
    }
}

/// What waited to be accepted.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) taken: Vec<Stream>,
    /// Whether that was all.
    pub(crate) is_all: bool,
}

/// An address of this machine on which a listener bound to `address` is reached.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(unix)]
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.inner {
            Inner::Tcp(listener) => listener.as_fd(),
            Inner::Unix(listener) => listener.as_fd(),
        }
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for Listener {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        match &self.inner {
            Inner::Tcp(listener) => listener.as_socket(),
        }
    }
}

/// The listener is put into blocking mode.
impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        // It fails for no socket.
        let _ = listener.set_nonblocking(false);
        Self {
            inner: Inner::Tcp(listener),
            own: false,
            #[cfg(unix)]
            file: None,
        }
    }
}

/// The listener is put into blocking mode.
#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        // It fails for no socket.
        let _ = listener.set_nonblocking(false);
        Self { inner: Inner::Unix(listener), own: false, file: None }
    }
}

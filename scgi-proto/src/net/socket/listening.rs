//! A listening socket, before a runtime has it.

use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

#[cfg(unix)]
use super::unix::{UnregisteredSocket, accept};
use super::{AsSocket, SocketRef};
use crate::net::address::Address;
use crate::net::bind::{bind_with, try_bind_with};
use crate::net::bound::Bound;
use crate::net::options::BindOptions;
#[cfg(unix)]
use crate::net::unix::SocketFile;

/// A listening socket of TCP or Unix, in non-blocking mode: an adapter hands it to its reactor.
///
/// # Examples
/// ```
/// use scgi_proto::socket::ListeningSocket;
/// use scgi_proto::{BindOptions, bind};
///
/// let address = "127.0.0.1:0".parse()?;
/// let socket = ListeningSocket::bind(&address, &BindOptions::default())?;
/// assert!(socket.local_address()?.to_string().starts_with("127.0.0.1:"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ListeningSocket {
    /// Removes the socket's file at the end, if this program made it. First, as long as the
    /// socket is bound: no other server takes it for a stale one then.
    #[cfg(unix)]
    file: Option<SocketFile>,
    #[cfg(unix)]
    socket: OwnedFd,
    #[cfg(not(unix))]
    socket: TcpListener,
    /// How accepted sockets are taken.
    #[cfg(unix)]
    kind: fn(OwnedFd) -> UnregisteredSocket,
    /// Whether another process has passed it.
    is_inherited: bool,
}

impl ListeningSocket {
    /// Binds an address; this may block.
    ///
    /// # Errors
    /// As [`bind_with`].
    pub fn bind(address: &Address, options: &BindOptions) -> io::Result<Self> {
        Self::new(address, bind_with(address, options)?)
    }

    /// As [`bind`](Self::bind), but it never waits.
    ///
    /// # Errors
    /// As [`try_bind_with`]: [`io::ErrorKind::WouldBlock`] if it would have to wait.
    pub fn try_bind(address: &Address, options: &BindOptions) -> io::Result<Self> {
        Self::new(address, try_bind_with(address, options)?)
    }

    fn new(address: &Address, bound: Bound) -> io::Result<Self> {
        let is_inherited = matches!(address, Address::Fd(_) | Address::Systemd(_));
        Ok(match bound {
            Bound::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Self { is_inherited, ..listener.into() }
            }
            #[cfg(unix)]
            Bound::Unix(listener, file) => {
                listener.set_nonblocking(true)?;
                Self { is_inherited, file, ..listener.into() }
            }
        })
    }

    /// Whether another process has passed the socket, and may have it still.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.is_inherited
    }

    /// The address it listens on, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// If the system does not say.
    #[cfg(unix)]
    pub fn local_address(&self) -> io::Result<Address> {
        match &self.file {
            Some(file) => Ok(Address::Unix(file.path().to_path_buf())),
            None => super::unix::local_address(self),
        }
    }

    /// The address it listens on, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// If the system does not say.
    #[cfg(not(unix))]
    pub fn local_address(&self) -> io::Result<Address> {
        self.socket.local_addr().map(Address::from)
    }

    /// Accepts one connection.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if none is waiting; others from the system.
    #[cfg(unix)]
    pub fn accept(&self) -> io::Result<UnregisteredSocket> {
        accept(self).map(self.kind)
    }

    /// As [`accept`](Self::accept); `None` if no connection is waiting.
    ///
    /// # Errors
    /// Those of the system.
    #[cfg(unix)]
    pub fn try_accept(&self) -> io::Result<Option<UnregisteredSocket>> {
        match self.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            accepted => accepted.map(Some),
        }
    }

    /// The listener of `std`.
    #[cfg(not(unix))]
    #[must_use]
    pub fn into_tcp(self) -> TcpListener {
        self.socket
    }
}

/// The listener is to be in non-blocking mode.
impl From<TcpListener> for ListeningSocket {
    fn from(listener: TcpListener) -> Self {
        #[cfg(unix)]
        return Self {
            file: None,
            socket: listener.into(),
            kind: UnregisteredSocket::Tcp,
            is_inherited: false,
        };
        #[cfg(not(unix))]
        Self { socket: listener, is_inherited: false }
    }
}

/// The listener is to be in non-blocking mode.
#[cfg(unix)]
impl From<std::os::unix::net::UnixListener> for ListeningSocket {
    fn from(listener: std::os::unix::net::UnixListener) -> Self {
        let (socket, kind) = (listener.into(), UnregisteredSocket::Unix);
        Self { file: None, socket, kind, is_inherited: false }
    }
}

#[cfg(unix)]
impl AsSocket for ListeningSocket {
    fn as_fd(&self) -> SocketRef<'_> {
        self.socket.as_fd()
    }
}

/// What some reactors ask for.
#[cfg(unix)]
impl AsRawFd for ListeningSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(windows)]
impl AsSocket for ListeningSocket {
    fn as_socket(&self) -> SocketRef<'_> {
        self.socket.as_socket()
    }
}

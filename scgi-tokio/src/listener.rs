//! Where a server accepts connections.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use scgi_proto::server::Acceptor;
use scgi_proto::{Address, BindOptions, Bound, ToAddress, try_bind_with};
use socket2::SockRef;
use tokio::task::spawn_blocking;
#[cfg(unix)]
use {
    scgi_proto::SocketFile,
    scgi_proto::socket::{UnregisteredSocket, accept},
    std::os::fd::OwnedFd,
    std::path::Path,
    std::task::ready,
    tokio::io::Interest,
    tokio::io::unix::AsyncFd,
};

use crate::stream::Stream;
use crate::transport::Transport;

/// A TCP or Unix listener.
///
/// # Examples
/// ```
/// use scgi_tokio::Listener;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind("127.0.0.1:0").await?;
/// println!("Listening on {}", listener.local_address()?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Listener {
    /// Removes the socket's file at the end, if this program made it. First, as long as the
    /// socket is bound: no other server takes it for a stale one then.
    #[cfg(unix)]
    file: Option<SocketFile>,
    #[cfg(unix)]
    socket: io::Result<AsyncFd<OwnedFd>>,
    #[cfg(not(unix))]
    socket: tokio::net::TcpListener,
    /// How accepted sockets are taken.
    #[cfg(unix)]
    kind: fn(OwnedFd) -> UnregisteredSocket,
    /// Whether another process has passed it.
    #[cfg(unix)]
    is_inherited: bool,
}

impl Listener {
    /// Binds an address; a host name is looked up. The file of a Unix socket that no process uses
    /// any more is replaced.
    ///
    /// # Errors
    /// As [`scgi_proto::bind`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// As [`bind_with`](Self::bind_with).
    pub async fn bind(address: impl ToAddress) -> io::Result<Self> {
        Self::bind_with(address, &BindOptions::default()).await
    }

    /// As [`bind`](Self::bind), with the rights of a Unix socket's file and the backlog.
    ///
    /// # Errors
    /// As [`scgi_proto::bind_with`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// Safe: what was bound is given up, and the file of a Unix socket removed.
    pub async fn bind_with(address: impl ToAddress, options: &BindOptions) -> io::Result<Self> {
        let address = address.to_address()?;
        // System calls are cheaper in a process that never had a second thread.
        let bound = match try_bind_with(&address, options) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let (address, options) = (address.clone(), *options);
                spawn_blocking(move || scgi_proto::bind_with(&address, &options)).await??
            }
            bound => bound?,
        };
        #[cfg(unix)]
        let is_inherited = matches!(address, Address::Fd(_) | Address::Systemd(_));
        match bound {
            Bound::Tcp(listener) => {
                #[cfg(not(unix))]
                SockRef::from(&listener).listen(options.backlog())?;
                listener.set_nonblocking(true)?;
                #[cfg(unix)]
                let listener = Self {
                    is_inherited,
                    ..Self::new(Ok(listener.into()), UnregisteredSocket::Tcp, None)
                };
                #[cfg(not(unix))]
                let listener = Self { socket: tokio::net::TcpListener::from_std(listener)? };
                listener.check().map(|()| listener)
            }
            #[cfg(unix)]
            Bound::Unix(listener, file) => {
                listener.set_nonblocking(true)?;
                let listener = Self::new(Ok(listener.into()), UnregisteredSocket::Unix, file);
                let listener = Self { is_inherited, ..listener };
                listener.check().map(|()| listener)
            }
        }
    }
}

#[cfg(unix)]
impl Listener {
    fn new(
        listener: io::Result<OwnedFd>,
        kind: fn(OwnedFd) -> UnregisteredSocket,
        file: Option<SocketFile>,
    ) -> Self {
        #[allow(
            deprecated,
            reason = "the successor is `unsafe` for types that may swap their descriptor; an \
                      `OwnedFd` cannot"
        )]
        let register = |listener| AsyncFd::with_interest(listener, Interest::READABLE);
        Self { socket: listener.and_then(register), kind, file, is_inherited: false }
    }

    fn socket(&self) -> io::Result<&AsyncFd<OwnedFd>> {
        // The error is kept: it may be asked for again.
        self.socket.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
    }

    /// Why the runtime could not take the listener over, if it could not.
    fn check(&self) -> io::Result<()> {
        self.socket().map(drop)
    }

    /// The address it listens on, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_address(&self) -> io::Result<Address> {
        if let Some(file) = &self.file {
            return Ok(Address::Unix(file.path().to_path_buf()));
        }
        let address = SockRef::from(self.socket()?).local_addr()?;
        Ok(match address.as_socket() {
            Some(address) => address.into(),
            None => Address::Unix(unix_path(&address)),
        })
    }

    /// The next connection, if one is waiting.
    fn accept_at_once(&self) -> io::Result<Option<Stream>> {
        match accept(self.socket()?.get_ref()) {
            Ok(socket) => Ok(Some((self.kind)(socket).into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let socket = self.socket()?;
        loop {
            let mut ready = ready!(socket.poll_read_ready(cx))?;
            // A connection that its client took back in the meantime only means the next one.
            if let Ok(accepted) = ready.try_io(|socket| accept(socket.get_ref())) {
                return Poll::Ready(accepted.map(self.kind).map(Stream::from));
            }
        }
    }
}

#[cfg(not(unix))]
impl Listener {
    #[expect(clippy::unused_self, reason = "as on Unix")]
    fn check(&self) -> io::Result<()> {
        Ok(())
    }

    /// The address it listens on, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_address(&self) -> io::Result<Address> {
        self.socket.local_addr().map(Address::from)
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        self.socket.poll_accept(cx).map_ok(|(stream, _)| stream.into())
    }
}

impl Listener {
    /// Waits for the next connection.
    ///
    /// # Errors
    /// If accepting fails; [`serve`](crate::serve()) continues after any error.
    ///
    /// # Cancel safety
    /// Safe: no connection is lost.
    pub async fn accept(&self) -> io::Result<Stream> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }
}

impl Acceptor for Listener {
    type Stream = Transport<Stream>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Transport<Stream>>> {
        Self::poll_accept(self, cx).map_ok(Transport)
    }

    #[cfg(unix)]
    fn try_accept(&mut self) -> io::Result<Option<Transport<Stream>>> {
        Ok(self.accept_at_once()?.map(Transport))
    }

    fn check(&self) -> io::Result<()> {
        Self::check(self)
    }

    #[cfg(unix)]
    fn is_inherited(&self) -> bool {
        self.is_inherited
    }

    fn address(&self) -> Option<Address> {
        self.local_address().ok()
    }
}

/// If the runtime cannot take it over, [`serve`](crate::serve()) says so.
impl From<tokio::net::TcpListener> for Listener {
    fn from(listener: tokio::net::TcpListener) -> Self {
        #[cfg(unix)]
        return Self::new(listener.into_std().map(Into::into), UnregisteredSocket::Tcp, None);
        #[cfg(not(unix))]
        Self { socket: listener }
    }
}

/// If the runtime cannot take it over, [`serve`](crate::serve()) says so.
#[cfg(unix)]
impl From<tokio::net::UnixListener> for Listener {
    fn from(listener: tokio::net::UnixListener) -> Self {
        Self::new(listener.into_std().map(Into::into), UnregisteredSocket::Unix, None)
    }
}

#[cfg(unix)]
fn unix_path(address: &socket2::SockAddr) -> std::path::PathBuf {
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_abstract_namespace() {
        return format!("@{}", name.escape_ascii()).into();
    }
    address.as_pathname().unwrap_or_else(|| Path::new("(unnamed)")).to_path_buf()
}

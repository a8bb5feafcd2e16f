//! Where a server accepts connections.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use scgi_proto::server::Acceptor;
use scgi_proto::socket::{AsSocket, ListeningSocket, SocketRef};
use scgi_proto::{Address, BindOptions, ToAddress};
use tokio::task::spawn_blocking;
#[cfg(unix)]
use {
    std::task::ready,
    tokio::io::{Interest, unix::AsyncFd},
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
    /// The error is kept, as it may be asked for again.
    socket: io::Result<Registered>,
}

/// What tokio's reactor watches.
#[cfg(unix)]
type Registered = AsyncFd<ListeningSocket>;
#[cfg(not(unix))]
type Registered = tokio::net::TcpListener;

#[cfg(unix)]
fn register(socket: ListeningSocket) -> io::Result<Registered> {
    #[allow(
        deprecated,
        reason = "the successor is `unsafe` for types that may swap their descriptor; a \
                  `ListeningSocket` cannot"
    )]
    AsyncFd::with_interest(socket, Interest::READABLE)
}

#[cfg(not(unix))]
fn register(socket: ListeningSocket) -> io::Result<Registered> {
    Registered::from_std(socket.into_tcp())
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
        let bound = match ListeningSocket::try_bind(&address, options) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let options = *options;
                spawn_blocking(move || ListeningSocket::bind(&address, &options)).await??
            }
            bound => bound?,
        };
        Ok(Self { socket: Ok(register(bound)?) })
    }

    /// The address it listens on, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_address(&self) -> io::Result<Address> {
        #[cfg(unix)]
        return self.socket()?.get_ref().local_address();
        #[cfg(not(unix))]
        self.socket()?.local_addr().map(Address::from)
    }

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

    #[cfg(unix)]
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let socket = self.socket()?;
        loop {
            let mut ready = ready!(socket.poll_read_ready(cx))?;
            // A connection that its client took back in the meantime only means the next one.
            if let Ok(accepted) = ready.try_io(|socket| socket.get_ref().accept()) {
                return Poll::Ready(accepted.map(Stream::from));
            }
        }
    }

    #[cfg(not(unix))]
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        self.socket()?.poll_accept(cx).map_ok(|(stream, _)| Stream::Tcp(stream))
    }

    fn socket(&self) -> io::Result<&Registered> {
        self.socket.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
    }
}

impl Acceptor for Listener {
    type Stream = Transport<Stream>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Transport<Stream>>> {
        Self::poll_accept(self, cx).map_ok(Transport::new)
    }

    #[cfg(unix)]
    fn try_accept(&mut self) -> io::Result<Option<Transport<Stream>>> {
        let accepted = self.socket()?.get_ref().try_accept()?;
        Ok(accepted.map(|socket| Transport::new(socket.into())))
    }

    fn check(&self) -> io::Result<()> {
        self.socket().map(drop)
    }

    #[cfg(unix)]
    fn is_inherited(&self) -> bool {
        self.socket.as_ref().is_ok_and(|socket| socket.get_ref().is_inherited())
    }

    fn address(&self) -> Option<Address> {
        self.local_address().ok()
    }
}

/// If the runtime cannot take it over, [`serve`](crate::serve()) says so.
impl From<tokio::net::TcpListener> for Listener {
    fn from(listener: tokio::net::TcpListener) -> Self {
        #[cfg(unix)]
        let listener = listener.into_std().and_then(|listener| register(listener.into()));
        #[cfg(not(unix))]
        let listener = Ok(listener);
        Self { socket: listener }
    }
}

/// If the runtime cannot take it over, [`serve`](crate::serve()) says so.
#[cfg(unix)]
impl From<tokio::net::UnixListener> for Listener {
    fn from(listener: tokio::net::UnixListener) -> Self {
        Self { socket: listener.into_std().and_then(|listener| register(listener.into())) }
    }
}

/// # Panics
/// If the runtime could not take the listener over, which [`serve`](crate::serve()) says.
#[cfg(unix)]
impl AsSocket for Listener {
    fn as_fd(&self) -> SocketRef<'_> {
        self.socket.as_ref().expect("the runtime has the listener").get_ref().as_fd()
    }
}

#[cfg(windows)]
impl AsSocket for Listener {
    fn as_socket(&self) -> SocketRef<'_> {
        self.socket.as_ref().expect("the runtime has the listener").as_socket()
    }
}

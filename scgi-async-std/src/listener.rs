//! Where a server accepts connections.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use async_io::Async;
use scgi_proto::server::Acceptor;
use scgi_proto::socket::{AsSocket, ListeningSocket, SocketRef};
use scgi_proto::{Address, BindOptions, ToAddress};

use crate::stream::Stream;
use crate::transport::Transport;

/// A TCP or Unix listener.
///
/// # Examples
/// ```
/// use scgi_async_std::Listener;
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind("127.0.0.1:0").await?;
/// println!("Listening on {}", listener.local_address()?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Listener {
    /// The error is kept, as it may be asked for again.
    socket: io::Result<Registered>,
}

/// What the reactor of async-io watches.
#[cfg(unix)]
type Registered = Async<ListeningSocket>;
#[cfg(not(unix))]
type Registered = Async<std::net::TcpListener>;

fn register(socket: ListeningSocket) -> io::Result<Registered> {
    #[cfg(not(unix))]
    let socket = socket.into_tcp();
    Async::new(socket)
}

impl Listener {
    /// Binds an address; a host name is looked up. The file of a Unix socket that no process uses
    /// any more is replaced.
    ///
    /// # Errors
    /// As [`scgi_proto::bind`].
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
    /// # Cancel safety
    /// Safe: what was bound is given up, and the file of a Unix socket removed.
    pub async fn bind_with(address: impl ToAddress, options: &BindOptions) -> io::Result<Self> {
        let address = address.to_address()?;
        let bound = match ListeningSocket::try_bind(&address, options) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let options = *options;
                blocking::unblock(move || ListeningSocket::bind(&address, &options)).await?
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
        self.socket()?.get_ref().local_addr().map(Address::from)
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// If accepting fails; `serve` continues after any error.
    ///
    /// # Cancel safety
    /// Safe: no connection is lost.
    pub async fn accept(&self) -> io::Result<Stream> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let socket = self.socket()?;
        loop {
            #[cfg(unix)]
            let accepted = socket.get_ref().accept().map(Stream::from);
            #[cfg(not(unix))]
            let accepted = socket.get_ref().accept().and_then(|(stream, _)| Async::new(stream));
            #[cfg(not(unix))]
            let accepted = accepted.map(Stream::Tcp);
            match accepted {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => return Poll::Ready(accepted),
            }
            ready!(socket.poll_readable(cx))?;
        }
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

/// If the runtime cannot take it over, `serve` says so.
impl From<std::net::TcpListener> for Listener {
    fn from(listener: std::net::TcpListener) -> Self {
        Self { socket: register(listener.into()) }
    }
}

/// If the runtime cannot take it over, `serve` says so.
#[cfg(unix)]
impl From<std::os::unix::net::UnixListener> for Listener {
    fn from(listener: std::os::unix::net::UnixListener) -> Self {
        Self { socket: register(listener.into()) }
    }
}

/// # Panics
/// If the runtime could not take the listener over, which `serve` says.
#[cfg(unix)]
impl AsSocket for Listener {
    fn as_fd(&self) -> SocketRef<'_> {
        self.socket.as_ref().expect("the runtime has the listener").get_ref().as_fd()
    }
}

#[cfg(windows)]
impl AsSocket for Listener {
    fn as_socket(&self) -> SocketRef<'_> {
        self.socket.as_ref().expect("the runtime has the listener").get_ref().as_socket()
    }
}

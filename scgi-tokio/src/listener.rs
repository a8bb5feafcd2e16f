//! Where a server accepts connections.

use std::io;

use scgi_proto::{Address, Bound};
use socket2::SockRef;
use tokio::net::TcpListener;
#[cfg(unix)]
use {scgi_proto::SocketFile, std::path::Path, tokio::net::UnixListener};

use crate::stream::Stream;

/// Connections that may wait to be accepted: what Linux allows by default (`somaxconn`). A
/// front server's burst waits here instead of failing.
const BACKLOG: i32 = 4096;

/// A TCP or Unix listener.
///
/// # Examples
/// ```
/// use scgi_tokio::Listener;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind(&"127.0.0.1:0".parse()?).await?;
/// println!("Listening on {}", listener.local_address()?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Listener {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix {
        listener: UnixListener,
        /// Removes the socket's file at the end, if this program made it.
        file: Option<SocketFile>,
    },
}

impl Listener {
    /// Binds an address, which is resolved if it is a host name. A Unix socket on which nobody
    /// answers any more is replaced.
    ///
    /// # Errors
    /// As [`scgi_proto::bind`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        let address = address.clone();
        // Resolving a name blocks.
        let bound = tokio::task::spawn_blocking(move || scgi_proto::bind(&address)).await??;
        let inner = match bound {
            Bound::Tcp(listener) => {
                SockRef::from(&listener).listen(BACKLOG)?;
                listener.set_nonblocking(true)?;
                Inner::Tcp(TcpListener::from_std(listener)?)
            }
            #[cfg(unix)]
            Bound::Unix(listener, file) => {
                SockRef::from(&listener).listen(BACKLOG)?;
                listener.set_nonblocking(true)?;
                Inner::Unix { listener: UnixListener::from_std(listener)?, file }
            }
        };
        Ok(Self { inner })
    }

    /// The address it listens on, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_address(&self) -> io::Result<Address> {
        match &self.inner {
            Inner::Tcp(listener) => listener.local_addr().map(Address::from),
            #[cfg(unix)]
            Inner::Unix { listener, file } => match file {
                Some(file) => Ok(Address::Unix(file.path().to_path_buf())),
                None => listener.local_addr().map(|address| unix_address(&address.into())),
            },
        }
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// If accepting fails; [`serve`](crate::serve()) goes on after any.
    ///
    /// # Cancel safety
    /// Safe: no connection is lost.
    pub async fn accept(&self) -> io::Result<Stream> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    pub(crate) fn poll_accept(
        &self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<Stream>> {
        match &self.inner {
            Inner::Tcp(listener) => {
                listener.poll_accept(cx).map_ok(|(stream, _)| Stream::Tcp(stream))
            }
            #[cfg(unix)]
            Inner::Unix { listener, .. } => {
                listener.poll_accept(cx).map_ok(|(stream, _)| Stream::Unix(stream))
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self { inner: Inner::Tcp(listener) }
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self { inner: Inner::Unix { listener, file: None } }
    }
}

#[cfg(unix)]
fn unix_address(address: &std::os::unix::net::SocketAddr) -> Address {
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
        return Address::Unix(format!("@{}", name.escape_ascii()).into());
    }
    Address::Unix(address.as_pathname().unwrap_or_else(|| Path::new("(unnamed)")).to_path_buf())
}

//! The two kinds of sockets, whose closes and resets the proxy passes on.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use scgi_proto::driver::connect_unix;
use scgi_proto::{Address, BindOptions, Bound, SocketFile, bind_with};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

/// A connected TCP or Unix socket.
pub(crate) trait Socket: AsyncRead + AsyncWrite + AsFd + Send + Unpin {}

impl<IO: AsyncRead + AsyncWrite + AsFd + Send + Unpin> Socket for IO {}

/// Makes the close that follows a reset, on TCP; a Unix socket has none.
pub(crate) fn reset(socket: &dyn Socket) {
    // If it fails, the connection is broken already.
    let _ = set_socket_linger(socket.as_fd(), Some(Duration::ZERO));
}

/// Connects within `limit`: the queue of a Unix socket may be full for as long as its server likes.
pub(crate) async fn connect(address: &Address, limit: Duration) -> io::Result<Box<dyn Socket>> {
    timeout(limit, attempt(address)).await?
}

async fn attempt(address: &Address) -> io::Result<Box<dyn Socket>> {
    match address {
        Address::Tcp(name) => match address.is_host_name() {
            true => tcp(TcpStream::connect(name.as_str()).await?),
            false => tcp(TcpStream::connect(&address.resolve()?[..]).await?),
        },
        Address::Unix(path) => {
            // `std`'s own connect would block the runtime while the backend's queue is full.
            let stream = StdUnixStream::from(connect_unix(path, sleep).await?);
            stream.set_nonblocking(true)?;
            Ok(Box::new(UnixStream::from_std(stream)?))
        }
        // One that a server is given.
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Without Nagle's delay: pieces arrive as they were written.
fn tcp(stream: TcpStream) -> io::Result<Box<dyn Socket>> {
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// Where the front server connects.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    /// Its file is removed at the end.
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    pub(crate) fn bind(address: &Address, options: &BindOptions) -> io::Result<Self> {
        match bind_with(address, options)? {
            Bound::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            Bound::Unix(listener, file) => {
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(UnixListener::from_std(listener)?, file))
            }
        }
    }

    pub(crate) fn local_address(&self) -> io::Result<String> {
        Ok(match self {
            Self::Tcp(listener) => listener.local_addr()?.to_string(),
            Self::Unix(_, Some(file)) => format!("unix:{}", file.path().display()),
            Self::Unix(listener, None) => format!("{:?}", listener.local_addr()?),
        })
    }

    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Socket>> {
        match self {
            Self::Tcp(listener) => tcp(listener.accept().await?.0),
            Self::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

//! Where browsers and front proxies connect: TCP, a Unix socket, or a socket that was passed.

use std::io;

use scgi_proto::{Address, BindOptions, Bound, SocketFile, bind_with};
use tokio::net::{TcpListener, UnixListener};

use super::checks::Connected;
use super::stream::Stream;

/// A bound listener.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    /// Its file is removed at the end.
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    /// Binds by the same rules as the servers of this project.
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

    /// A URL, or the address of the Unix socket.
    pub(crate) fn local_address(&self) -> io::Result<String> {
        Ok(match self {
            Self::Tcp(listener) => format!("http://{}", listener.local_addr()?),
            Self::Unix(_, Some(file)) => format!("unix:{}", file.path().display()),
            Self::Unix(listener, None) => format!("{:?}", listener.local_addr()?),
        })
    }

    /// Whether every connection is to a loopback address, so that Host is always checked.
    pub(crate) fn is_loopback(&self) -> bool {
        let Self::Tcp(listener) = self else { return false };
        listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback())
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, Connected)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let is_loopback = stream.local_addr()?.ip().to_canonical().is_loopback();
                Ok((Stream::Tcp(stream), Connected { peer: Some(peer), is_loopback }))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Connected { peer: None, is_loopback: false }))
            }
        }
    }
}

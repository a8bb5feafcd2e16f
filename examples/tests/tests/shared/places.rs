//! Where a server of a test listens: a port or a Unix socket of its own.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use scgi_proto::{Address, socket};
use tempfile::TempDir;

use crate::peers::Peer;

/// A listener, before a runtime has it.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Where clients connect.
#[derive(Debug)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf, #[expect(dead_code, reason = "holds the socket")] TempDir),
}

impl Listener {
    pub(crate) fn bind(unix: bool) -> (Self, Place) {
        if unix {
            let folder = scgi_tests::process::scratch_dir().expect("a folder");
            let path = folder.path().join("a.sock");
            let listener = UnixListener::bind(&path).expect("a listener");
            return (Self::Unix(listener), Place::Unix(path, folder));
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        (Self::Tcp(listener), Place::Tcp(address))
    }

    pub(crate) fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// The first connection, on threads.
    pub(crate) fn accept(&self) -> Peer {
        match self {
            Self::Tcp(listener) => Peer::Tcp(listener.accept().expect("a connection").0),
            Self::Unix(listener) => Peer::Unix(listener.accept().expect("a connection").0),
        }
    }

    /// Fills the queue, so that connecting waits as long as the result exists.
    pub(crate) fn fill(&self, place: &Place) -> Vec<Peer> {
        let moment = Duration::from_millis(100);
        rustix::net::listen(self, 0).expect("it listens");
        let mut waiting = Vec::new();
        loop {
            let connected = match place {
                Place::Tcp(address) => TcpStream::connect_timeout(address, moment).map(Peer::Tcp),
                Place::Unix(path, _) => {
                    socket::connect_unix(path, moment).map(|peer| Peer::Unix(peer.into()))
                }
            };
            match connected {
                Ok(peer) => waiting.push(peer),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                    return waiting;
                }
            }
        }
    }

    /// For a server on tokio, from within its runtime.
    pub(crate) fn into_tokio(self) -> scgi_tokio::Listener {
        match self {
            Self::Tcp(listener) => {
                listener.set_nonblocking(true).expect("a mode");
                tokio::net::TcpListener::from_std(listener).expect("a listener").into()
            }
            Self::Unix(listener) => {
                listener.set_nonblocking(true).expect("a mode");
                tokio::net::UnixListener::from_std(listener).expect("a listener").into()
            }
        }
    }

    /// For a server on smol or async-std.
    pub(crate) fn into_futures(self) -> scgi_async_std::Listener {
        match self {
            Self::Tcp(listener) => listener.into(),
            Self::Unix(listener) => listener.into(),
        }
    }

    /// For a server on threads.
    pub(crate) fn into_blocking(self) -> scgi_blocking::Listener {
        match self {
            Self::Tcp(listener) => listener.into(),
            Self::Unix(listener) => listener.into(),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Place {
    pub(crate) fn connect(&self) -> Peer {
        let peer = match self {
            Self::Tcp(address) => Peer::Tcp(TcpStream::connect(address).expect("a connection")),
            Self::Unix(path, _) => Peer::Unix(UnixStream::connect(path).expect("a connection")),
        };
        peer.with_patience()
    }

    /// The address, if it is on TCP.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(..) => None,
        }
    }

    /// The path of the Unix socket, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(path, _) => Some(path),
        }
    }

    /// What a client of this project connects to.
    pub(crate) fn server(&self) -> Address {
        match self {
            Self::Tcp(address) => (*address).into(),
            Self::Unix(path, _) => Address::Unix(path.clone()),
        }
    }
}

//! A listener of the standard library that is bound.

use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::UnixListener;

#[cfg(unix)]
use crate::net::unix::file::SocketFile;

/// A bound listener of the standard library, for an adapter to take over.
///
/// These are all: an adapter must handle each.
#[derive(Debug)]
pub enum Bound {
    /// A TCP listener.
    Tcp(TcpListener),
    /// A listener on a Unix socket, and its file if this process made one.
    #[cfg(unix)]
    Unix(UnixListener, Option<SocketFile>),
}

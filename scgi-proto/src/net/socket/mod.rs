//! Calls on sockets that never wait, and what else `std` lacks: for the adapters, in which they
//! would stand three times.
//!
//! A runtime's own sockets are registered with its reactor first, which costs system calls. Most
//! requests are there as soon as they are accepted, and are answered without that: see
//! [`ListeningSocket`] and [`StreamSocket`].

#[cfg(unix)]
pub(crate) mod connect;
mod listening;
mod stream;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use core::any::Any;
#[cfg(unix)]
pub use std::os::fd::{AsFd as AsSocket, BorrowedFd as SocketRef};
#[cfg(windows)]
pub use std::os::windows::io::{AsSocket, BorrowedSocket as SocketRef};

#[cfg(unix)]
pub use connect::connect_unix;
pub use listening::ListeningSocket;
pub use stream::{Reactor, StreamSocket};
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

/// The socket in a stream of any type, if it is an `S`.
///
/// Asked by type, so that a stream that is a socket cannot be left without resets by forgetting to
/// say so.
pub fn as_socket<S: AsSocket + 'static>(stream: &dyn Any) -> Option<SocketRef<'_>> {
    #[cfg(unix)]
    return stream.downcast_ref::<S>().map(AsSocket::as_fd);
    #[cfg(windows)]
    stream.downcast_ref::<S>().map(AsSocket::as_socket)
}

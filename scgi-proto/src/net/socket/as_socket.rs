//! What holds a socket of the system.

use core::any::Any;
#[cfg(unix)]
pub use std::os::fd::{AsFd as AsSocket, BorrowedFd as SocketRef};
#[cfg(windows)]
pub use std::os::windows::io::{AsSocket, BorrowedSocket as SocketRef};

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

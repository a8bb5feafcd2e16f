//! Calls on sockets that never wait, and others that `std` lacks: for those who write an adapter.
//!
//! A runtime's own sockets are registered with its reactor first, which costs system calls. Most
//! requests are there as soon as they are accepted, and are answered without that: see
//! [`ListeningSocket`] and [`StreamSocket`].

mod as_socket;
#[cfg(unix)]
pub(crate) mod connect;
mod listening;
mod stream;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub use as_socket::{AsSocket, SocketRef, as_socket};
#[cfg(unix)]
pub use connect::connect_unix;
pub use listening::ListeningSocket;
pub use stream::{Reactor, StreamSocket};
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

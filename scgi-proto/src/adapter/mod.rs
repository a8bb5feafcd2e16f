//! The types that users of an asynchronous adapter see, once for all runtimes: for those who write an
//! adapter.
//!
//! An adapter has a type that implements [`Adapter`] and [`Streams`]. `scgi_tokio::Body`, `Client` and
//! `Connection` are the types of this module with that of tokio as their first parameter. The traits
//! of other crates that they have are features of this crate: `tokio`, `futures-io` and `http-body`.

mod body;
mod client;
mod connection;
#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "http-body")]
mod http_body;
#[cfg(feature = "net")]
mod stream;
#[cfg(feature = "tokio")]
mod tokio_io;
mod transport;

pub use body::{READER_CHUNK, Reads};
pub use client::Client;
pub use connection::Connection;
pub use transport::{Streams, Transport};

use crate::driver::{Clock, PinnedClock};

/// An asynchronous adapter: its clock, and with [`Streams`] its streams.
pub trait Adapter: Sized + 'static {
    /// The time of one connection.
    type Clock: Clock + Send + Unpin + 'static;

    /// The same time, in the memory of the future that waits: it costs no allocation.
    type Waiting: PinnedClock + for<'a> From<&'a Self::Clock>;
}

/// An adapter that knows the timer of its runtime.
pub trait Timed: Adapter {
    /// A clock that is at zero now.
    fn clock() -> Self::Clock;
}

/// An adapter for any runtime: the program passes it a timer.
pub trait TakesTimer: Adapter {
    /// What makes the waits.
    type Timer;

    /// A clock that is at zero now.
    fn clock_with(timer: Self::Timer) -> Self::Clock;
}

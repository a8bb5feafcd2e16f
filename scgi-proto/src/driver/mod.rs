//! The loops over a stream and a clock, once for all runtimes: for those who write an adapter.
//!
//! [`ServerExchange`](crate::ServerExchange) and [`ClientExchange`](crate::ClientExchange) are the rules of a connection's life,
//! and do nothing by themselves. The drivers here join them with a stream ([`Transport`]) and
//! with time ([`Clock`]): when to read and how much, what to write, what ends a wait, and how a
//! handler is run between. They are polled, keep all progress in themselves, and know nothing of
//! runtimes but [`core::task`].
//!
//! An adapter gives its runtime's streams and timers the two traits, and wraps
//! - [`Connection`], the server side of one connection;
//! - [`Client`], the client side;
//! - [`Body`], whose chunks come from the connection or from the program ([`Source`]); see
//!   [`BodyWrapper`].
//!
//! The body of a request comes to the handler through a [`body_pipe`]. A server has a connection
//! as an [`PendingConnection`] first, and may answer immediately ([`InlineFuture`]).
//!
//! # Examples
//! A whole adapter, for a stream in memory that never waits:
//! ```
//! use core::pin::pin;
//! use core::task::{Context, Poll, Waker};
//! use core::time::Duration;
//! use scgi_proto::driver::{Body, Clock, Connection, Transport};
//! use scgi_proto::{BoxError, ConnectionConfig, Request, Response};
//! use std::io::{Read, Result, Write};
//!
//! struct Memory<'a> {
//!     input: &'static [u8],
//!     output: &'a mut Vec<u8>,
//! }
//!
//! impl Transport for Memory<'_> {
//!     fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize>> {
//!         Poll::Ready(self.input.read(buf))
//!     }
//!     fn poll_write(&mut self, _: &mut Context<'_>, a: &[u8], _: &[u8]) -> Poll<Result<usize>> {
//!         Poll::Ready(self.output.write(a))
//!     }
//!     fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
//!         Poll::Ready(Ok(()))
//!     }
//!     fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
//!         Poll::Ready(Ok(()))
//!     }
//! }
//!
//! /// No deadline ever passes.
//! struct Timeless;
//!
//! impl Clock for Timeless {
//!     fn now(&self) -> Duration {
//!         Duration::ZERO
//!     }
//!     fn poll_until(&mut self, _: &mut Context<'_>, _: Duration) -> Poll<()> {
//!         Poll::Pending
//!     }
//! }
//!
//! async fn upper(request: Request<Body>) -> std::result::Result<Response<Body>, BoxError> {
//!     let body = request.into_body().collect(1000).await?;
//!     Ok(Response::new(body.to_ascii_uppercase()))
//! }
//!
//! let mut output = Vec::new();
//! let input = b"24:CONTENT_LENGTH\x002\x00SCGI\x001\x00,hi";
//! {
//!     let memory = Memory { input, output: &mut output };
//!     let mut connection = Connection::new(memory, Timeless, &ConnectionConfig::default());
//!     let mut answer = pin!(connection.answer(upper));
//!     let mut cx = Context::from_waker(Waker::noop());
//!     assert!(matches!(answer.as_mut().poll(&mut cx), Poll::Ready(Ok(None))));
//! }
//! assert_eq!(output, b"Status: 200 OK\r\nContent-Length: 2\r\n\r\nHI");
//! ```

mod body;
mod client;
mod connection;
pub(crate) mod counters;
mod inline_future;
mod read_buffer;
mod read_target;
pub mod trace;
mod transport;
mod upgrade_program;
mod upgraded;

#[cfg(all(feature = "net", unix))]
pub use crate::net::socket::connect::connect_unix_async as connect_unix;
pub use body::{Body, BodyCollector, BodyWrapper, NextChunk, Source};
pub use body::{Demand, PipeReader, PipeWriter, body_pipe};
#[cfg(feature = "net")]
pub use client::connect::{Connector, connect};
pub use client::connect::{connect_deadline, connect_first, connect_in_time};
pub use client::{Client, InFlight};
#[cfg(feature = "server")]
pub(crate) use connection::Lease;
pub use connection::pending_connection::{Admission, PendingConnection};
pub use connection::{Connection, NextEvent};
pub use counters::{ConnectionGuard, Counters, Registry};
pub use inline_future::{Inline, InlineFuture, Unfinished};
pub use read_buffer::with_read_buffer;
pub use read_target::{ReadTarget, read_once};
pub use transport::{Advice, Clock, PinnedClock, Transport};
pub use upgrade_program::UpgradeProgram;
pub use upgraded::Upgraded;

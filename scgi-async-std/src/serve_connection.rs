//! Serving one stream of any kind.

use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use scgi_proto::driver::Connection;
use scgi_proto::{ConnectionConfig, Error};

use crate::handler::Handler;
use crate::transport::{Clock, Transport};

/// Serves the one request of a stream, on any runtime or none.
///
/// It knows no timer, so no deadline is enforced: limit its time from outside, or build on
/// [`Connection::with_timer`](crate::Connection::with_timer).
///
/// # Errors
/// What went wrong with the connection, after the peer was told where that was possible.
///
/// # Cancel safety
/// Dropping the future drops the connection and cancels the handler.
///
/// # Examples
/// ```
/// use scgi_async_std::{ConnectionConfig, Error, Request, Response, serve_connection};
///
/// async fn answer<S>(stream: S) -> Result<(), Error>
/// where
///     S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + Send + 'static,
/// {
///     let hello = async |_: Request| Response::new("hello");
///     serve_connection(stream, hello, &ConnectionConfig::default()).await
/// }
/// ```
pub async fn serve_connection<IO, M, H>(
    io: IO,
    handler: H,
    config: &ConnectionConfig,
) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler<M>,
{
    let clock = Clock::since(Instant::now(), None);
    let mut connection = Connection::new(Transport(io), clock, config);
    connection.answer(|request| handler.call(request)).await
}

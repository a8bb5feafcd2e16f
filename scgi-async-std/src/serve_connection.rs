//! Serving one stream of any kind.

use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use scgi_proto::driver::Connection;
use scgi_proto::{ConnectionConfig, Error};

use crate::handler::Handler;
use crate::transport::{Clock, Timer, Transport};

/// Serves the one request of a stream, with the timer of smol and async-std: for an accept loop of
/// your own.
///
/// It behaves as `serve` does, deadlines included. A response that cannot be completed ends with a
/// reset if the stream is a TCP socket of async-io, smol or async-std, or a [`Stream`](crate::Stream).
/// Other streams, one that wraps a socket for example, are closed: the peer then sees a complete
/// response unless its head states a length.
///
/// # Errors
/// What went wrong with the connection, after the peer got a response where that was possible.
///
/// # Cancel safety
/// Dropping the future drops the connection and cancels the handler.
///
/// # Examples
/// ```
/// use scgi_async_std::{ConnectionConfig, Error, Request, Response, Stream, serve_connection};
///
/// async fn answer(stream: Stream) -> Result<(), Error> {
///     let hello = async |_: Request| Response::new("hello");
///     serve_connection(stream, hello, &ConnectionConfig::default()).await
/// }
/// ```
#[cfg(feature = "net")]
pub async fn serve_connection<IO, M, H>(
    io: IO,
    handler: H,
    config: &ConnectionConfig,
) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler<M>,
{
    serve_on(Clock::of_async_io(Instant::now()), io, handler, config).await
}

/// Serves the one request of a stream on any runtime: `timer` makes the waits of its deadlines.
///
/// # Errors
/// What went wrong with the connection, after the peer got a response where that was possible.
///
/// # Cancel safety
/// Dropping the future drops the connection and cancels the handler.
///
/// # Examples
/// ```
/// use scgi_async_std::{ConnectionConfig, Error, Request, Response, Timer};
/// use scgi_async_std::serve_connection_with_timer;
///
/// async fn answer<S>(stream: S, timer: Timer) -> Result<(), Error>
/// where
///     S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + Send + 'static,
/// {
///     let hello = async |_: Request| Response::new("hello");
///     serve_connection_with_timer(stream, hello, &ConnectionConfig::default(), timer).await
/// }
/// ```
pub async fn serve_connection_with_timer<IO, M, H>(
    io: IO,
    handler: H,
    config: &ConnectionConfig,
    timer: Timer,
) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler<M>,
{
    serve_on(Clock::since(Instant::now(), timer), io, handler, config).await
}

async fn serve_on<IO, M, H>(
    clock: Clock,
    io: IO,
    handler: H,
    config: &ConnectionConfig,
) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler<M>,
{
    let mut connection = Connection::new(Transport::new(io), clock, config);
    if let Some(program) = connection.answer(|request| handler.call(request)).await? {
        // On the heap: the future of most requests need not have room for it.
        Box::pin(program.run_on(connection)).await;
    }
    Ok(())
}

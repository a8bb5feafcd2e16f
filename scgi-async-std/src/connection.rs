//! The server side of one connection, piece by piece.

use scgi_proto::adapter;

use crate::transport::FuturesIo;

/// The server side of one connection: request events come out, response events go in. `IO` is any
/// stream with `AsyncRead` and `AsyncWrite` of futures-io that is `Unpin` and `'static`.
///
/// All deadlines of [`ConnectionConfig`](crate::ConnectionConfig) hold. They need a
/// [`Timer`](crate::Timer): with a runtime's feature, `Connection::new` takes the one of async-io.
///
/// # Examples
/// ```
/// use scgi_async_std::{ConnectionConfig, Connection, Timer};
/// use scgi_async_std::{RequestEvent, ResponseEvent, ResponseHead, Status};
///
/// async fn answer<S>(stream: S, timer: Timer) -> Result<(), scgi_async_std::Error>
/// where
///     S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + 'static,
/// {
///     let mut connection = Connection::with_timer(stream, &ConnectionConfig::default(), timer);
///     while let Some(event) = connection.next_event().await? {
///         if event == RequestEvent::End {
///             break;
///         }
///     }
///     connection.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).await?;
///     connection.send(ResponseEvent::Body("hello".into())).await?;
///     connection.send(ResponseEvent::End).await?;
///     connection.finish().await
/// }
/// ```
pub type Connection<IO> = adapter::Connection<FuturesIo, IO>;

//! A connection that has changed its protocol.

use scgi_proto::driver;

/// A connection after a 101: a WebSocket, for example. Bytes pass in both directions as they are.
///
/// A handler takes it with [`Response::with_upgrade`](scgi_proto::Response::with_upgrade), a client
/// with [`Response::into_upgraded`](scgi_proto::Response::into_upgraded). What the peer sent before
/// the 101 is read first. `AsyncReadExt::split` of
/// futures-lite or futures makes two halves of it. `close` shuts down the write side; the peer can still send.
///
/// On a server it keeps its place among the
/// [connections served at once](crate::Serve::with_max_connections) until it is dropped, in whichever task it
/// is. Of the deadlines, only the write timeout holds
/// ([`ConnectionConfig::with_upgraded_write_timeout`](crate::ConnectionConfig::with_upgraded_write_timeout)).
/// At the shutdown deadline, reads and writes fail.
///
/// # Examples
/// A handler that sends back what it gets:
/// ```
/// use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
/// use scgi_async_std::{Request, Response, Status, Upgraded};
///
/// async fn echo(request: Request) -> Response {
///     if !request.upgrade().is_some_and(|offer| offer.offers("echo")) {
///         return Response::new("").with_status(Status::UPGRADE_REQUIRED).with_field("Upgrade", "echo");
///     }
///     Response::switching_protocols("echo").with_upgrade(async |mut io: Upgraded| {
///         let mut buf = [0; 4096];
///         loop {
///             let count = io.read(&mut buf).await?;
///             if count == 0 {
///                 return std::io::Result::Ok(());
///             }
///             io.write_all(&buf[..count]).await?;
///             io.flush().await?;
///         }
///     })
/// }
/// # let _ = echo;
/// ```
pub type Upgraded = driver::Upgraded;

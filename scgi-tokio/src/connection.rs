//! The server side of one connection, piece by piece.

use scgi_proto::adapter;

use crate::runtime::Tokio;

/// The server side of one connection: request events come out, response events go in. `IO` is any
/// stream with tokio's `AsyncRead` and `AsyncWrite` that is `Unpin` and `'static`.
///
/// All deadlines of [`ConnectionConfig`](crate::ConnectionConfig) hold; they need tokio's timers.
/// [`serve`](crate::serve()) is built on the same loops.
///
/// # Examples
/// ```
/// use scgi_tokio::{ConnectionConfig, Connection, RequestEvent, ResponseEvent, ResponseHead, Status};
///
/// async fn answer(stream: tokio::net::UnixStream) -> Result<(), scgi_tokio::Error> {
///     let mut connection = Connection::new(stream, &ConnectionConfig::default());
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
///
/// An upgrade, whose connection [`into_upgraded`](adapter::Connection::into_upgraded) hands over:
/// ```
/// use scgi_tokio::{Connection, ConnectionConfig, RequestEvent, ResponseEvent, ResponseHead, Status};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut near, far) = tokio::io::duplex(1024);
/// near.write_all(
///     b"91:CONTENT_LENGTH\x000\0SCGI\x001\0SERVER_PROTOCOL\0HTTP/1.1\0\
///     HTTP_CONNECTION\0Upgrade\0HTTP_UPGRADE\0echo\0,first",
/// ).await?;
/// let mut connection = Connection::new(far, &ConnectionConfig::default());
/// let Some(RequestEvent::Head(head)) = connection.next_event().await? else { panic!() };
/// assert!(head.upgrade().is_some());
/// let head = ResponseHead::new(Status::SWITCHING_PROTOCOLS).with_field("Upgrade", "echo");
/// connection.send(ResponseEvent::Head(head)).await?;
/// let mut io = connection.into_upgraded().expect("it is upgraded");
/// let mut first = [0; 5];
/// io.read_exact(&mut first).await?;
/// assert_eq!(&first, b"first");
/// # Ok(()) }
/// ```
pub type Connection<IO> = adapter::Connection<Tokio, IO>;

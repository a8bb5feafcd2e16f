//! The server side of one connection, piece by piece.

use std::ops::{Deref, DerefMut};

use scgi_proto::ConnectionConfig;
use scgi_proto::driver::{self, EventConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::transport::{Clock, Transport};
use crate::upgraded::Upgraded;

/// The server side of one connection: request events come out, response events go in.
///
/// All deadlines of [`ConnectionConfig`] hold; they need tokio's timers. [`serve`](crate::serve()) is
/// built on this.
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
#[derive(Debug)]
pub struct Connection<IO> {
    inner: EventConnection<Transport<IO>, Clock>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Connection<IO> {
    /// The server side of a connection that was just accepted.
    pub fn new(io: IO, config: &ConnectionConfig) -> Self {
        let clock = Clock::since(Instant::now());
        Self { inner: driver::Connection::new(Transport(io), clock, config).into() }
    }

    /// The connection after the head of a 101 was sent: it belongs to the program, from the first byte
    /// that came behind the request.
    ///
    /// # Errors
    /// The connection itself, if it has not been upgraded.
    ///
    /// # Examples
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
    #[allow(clippy::result_large_err, reason = "it is what the caller had")]
    pub fn into_upgraded(self) -> Result<Upgraded, Self>
    where
        IO: Send,
    {
        self.inner.into_upgraded().map(Upgraded::from).map_err(|inner| Self { inner })
    }
}

/// Its methods are in [`EventConnection`].
impl<IO> Deref for Connection<IO> {
    type Target = EventConnection<Transport<IO>, Clock>;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl<IO> DerefMut for Connection<IO> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

//! The server side of one connection, piece by piece.

use std::ops::{Deref, DerefMut};

use scgi_proto::ConnectionConfig;
use scgi_proto::driver::{self, EventConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::transport::{Clock, Transport};

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

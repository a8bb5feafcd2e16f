//! The server side of one connection, piece by piece.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use scgi_proto::ConnectionConfig;
use scgi_proto::driver::{self, EventConnection};

use crate::transport::{Clock, Timer, Transport};
use crate::upgraded::Upgraded;

/// The server side of one connection: request events come out, response events go in.
///
/// All deadlines of [`ConnectionConfig`] hold. They need a [`Timer`]: with a runtime's feature,
/// `Connection::new` takes the one of async-io. [`serve_connection_with_timer`] is built on this.
///
/// [`serve_connection_with_timer`]: crate::serve_connection_with_timer
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
#[derive(Debug)]
pub struct Connection<IO> {
    inner: EventConnection<Transport<IO>, Clock>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Connection<IO> {
    /// The server side of a connection that was just accepted, with the timer of smol and async-std.
    #[cfg(feature = "net")]
    pub fn new(io: IO, config: &ConnectionConfig) -> Self {
        Self::on(Clock::of_async_io(Instant::now()), io, config)
    }

    /// The server side of a connection that was just accepted, on any runtime: `timer` makes the
    /// waits of its deadlines.
    pub fn with_timer(io: IO, config: &ConnectionConfig, timer: Timer) -> Self {
        Self::on(Clock::since(Instant::now(), timer), io, config)
    }

    fn on(clock: Clock, io: IO, config: &ConnectionConfig) -> Self {
        Self { inner: driver::Connection::new(Transport(io), clock, config).into() }
    }

    /// The connection after the head of a 101 was sent: it belongs to the program, from the first byte
    /// that came behind the request.
    ///
    /// # Errors
    /// The connection itself, if it has not been upgraded.
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

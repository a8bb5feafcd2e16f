//! The server side of one connection, piece by piece.

use std::future::poll_fn;
use std::task::{Context, Poll};

use scgi_proto::driver;
use scgi_proto::{ConnectionConfig, Error, RequestEvent, ResponseEvent, Status};
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
    driver: driver::Connection<Transport<IO>, Clock>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Connection<IO> {
    /// The server side of a connection that was just accepted.
    pub fn new(io: IO, config: &ConnectionConfig) -> Self {
        let clock = Clock::since(Instant::now());
        Self { driver: driver::Connection::new(Transport(io), clock, config) }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Connection<IO> {
    /// Waits for the next piece of the request.
    ///
    /// Yields the head once, then body chunks as they arrive, then [`RequestEvent::End`], then
    /// `None`. `None` at once means that the front server closed without sending anything, as
    /// Apache does on some errors of its client.
    ///
    /// # Errors
    /// [`Error::Decode`] or [`Error::Timeout`]: the reply to that is ready, and
    /// [`finish`](Self::finish) sends it. [`Error::Io`]: the stream failed.
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the connection, and the deadline of the body ends.
    pub async fn next_event(&mut self) -> Result<Option<RequestEvent>, Error> {
        self.driver.next_event().await
    }

    /// As [`next_event`](Self::next_event), to be polled.
    pub fn poll_next_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<RequestEvent>, Error>> {
        self.driver.poll_next_event(cx)
    }

    /// Sends a piece of the response. The head is held back until the first chunk, the end, or
    /// [`flush`](Self::flush), so that they leave together.
    ///
    /// # Errors
    /// [`Error::Encode`] if the piece cannot be sent, or not now; nothing of it is.
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take it.
    ///
    /// # Cancel safety
    /// The piece is taken at the first poll and stays in the connection: a later
    /// [`flush`](Self::flush) or [`finish`](Self::finish) continues with it. Do not send it again.
    pub async fn send(&mut self, event: ResponseEvent) -> Result<(), Error> {
        self.driver.send(event)?;
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Writes everything that was sent.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take it.
    ///
    /// # Cancel safety
    /// Safe: what is not written stays in the connection.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.driver.flush();
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Writes what is to be written now.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.driver.poll_flush(cx)
    }

    /// Ends the reply because the program failed: with `status` if nothing was written yet, else
    /// by breaking the connection. [`finish`](Self::finish) then sends it.
    pub fn fail(&mut self, status: Status) {
        self.driver.fail(status);
    }

    /// Sends what is left of the reply and closes: at once after a wholly read request, else by
    /// shutting down the write side and reading the rest away, within bounds, as the reply is
    /// lost to a reset otherwise.
    ///
    /// A reply that was not ended is broken off.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take the reply.
    ///
    /// # Cancel safety
    /// Safe: a later call continues.
    pub async fn finish(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    /// As [`finish`](Self::finish), to be polled.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.driver.poll_finish(cx)
    }
}

//! The server side of one connection that users of an asynchronous adapter see.

use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};

use super::transport::{Streams, Transport};
use super::{Adapter, TakesTimer, Timed};
use crate::driver::{self, Upgraded};
use crate::error::Error;
use crate::exchange::server::config::ConnectionConfig;
use crate::wire::event::{RequestEvent, ResponseEvent};
use crate::wire::response::Status;

/// The server side of one connection: request events come out, response events go in. `A` is the
/// adapter.
pub struct Connection<A: Adapter, IO> {
    driver: driver::Connection<Transport<A, IO>, A::Clock>,
}

impl<A: Adapter + Streams<IO>, IO> Connection<A, IO> {
    /// The server side of a connection that was just accepted, with the timer of the adapter's
    /// runtime.
    pub fn new(io: IO, config: &ConnectionConfig) -> Self
    where
        A: Timed,
    {
        Self::on(A::clock(), io, config)
    }

    /// The server side of a connection that was just accepted, on any runtime: `timer` makes the
    /// waits of its deadlines.
    pub fn with_timer(io: IO, config: &ConnectionConfig, timer: A::Timer) -> Self
    where
        A: TakesTimer,
    {
        Self::on(A::clock_with(timer), io, config)
    }

    fn on(clock: A::Clock, io: IO, config: &ConnectionConfig) -> Self {
        Self { driver: driver::Connection::new(Transport::new(io), clock, config) }
    }

    /// The connection after the head of a 101 was sent: it belongs to the program, from the first byte
    /// that came behind the request.
    ///
    /// # Errors
    /// The connection itself, if it has not been upgraded.
    #[allow(clippy::result_large_err, reason = "it is what the caller had")]
    pub fn into_upgraded(self) -> Result<Upgraded, Self>
    where
        IO: Send + 'static,
    {
        self.driver.into_upgraded().map_err(|driver| Self { driver })
    }

    /// Waits for the next event of the request.
    ///
    /// Yields the head once, then body chunks as they arrive, then [`RequestEvent::End`], then
    /// `None`. `None` at once means that the front server closed without sending anything, as
    /// Apache does on some errors of its client.
    ///
    /// # Errors
    /// [`Error::Decode`] or [`Error::Timeout`]: the response to that is ready, and
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

    /// Sends an event of the response. The head is held back until the first chunk, the end, or
    /// [`flush`](Self::flush), so that they leave together.
    ///
    /// # Errors
    /// [`Error::Encode`] if the event cannot be sent, or not now; nothing of it is.
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take it.
    ///
    /// # Cancel safety
    /// The event is taken at the first poll and stays in the connection: a later
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

    /// Ends the response because the program failed: with `status` if nothing was written yet, else
    /// by breaking the connection. [`finish`](Self::finish) then sends it.
    pub fn fail(&mut self, status: Status) {
        self.driver.fail(status);
    }

    /// Sends what is left of the response and closes: at once after a wholly read request, else by
    /// shutting down the write side and reading the rest away, within bounds, as the response is
    /// lost to a reset otherwise.
    ///
    /// A response that was not ended is broken off.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take the response.
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

impl<A: Adapter, IO: fmt::Debug> fmt::Debug for Connection<A, IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.driver.fmt(f)
    }
}

//! The client that users of an asynchronous adapter see.

use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};

use super::transport::{Streams, Transport};
use super::{Adapter, TakesTimer, Timed};
use crate::driver::{self, Body};
use crate::error::Error;
use crate::exchange::client::config::ClientConfig;
use crate::message::{Request, Response};
#[cfg(feature = "net")]
use crate::net::{address::ToAddress, socket::StreamSocket};
use crate::wire::event::{RequestEvent, ResponseEvent};

/// The client side of one connection: one request, one response. `A` is the adapter.
pub struct Client<A: Adapter, IO> {
    driver: driver::Client<Transport<A, IO>, A::Clock>,
}

#[cfg(feature = "net")]
impl<A: Timed + driver::Connector> Client<A, StreamSocket<A>> {
    /// Connects to a server, with the deadlines of [`ClientConfig::default`]; see
    /// [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// If that fails.
    ///
    /// # Panics
    /// As [`connect_with`](Self::connect_with).
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up, and the server sees a connection without a byte at most.
    pub async fn connect(address: impl ToAddress) -> Result<Self, Error> {
        Self::connect_with(address, &ClientConfig::default()).await
    }

    /// Connects to a server, as [`connect`](driver::connect()) of the core. The deadline of the whole
    /// call begins here.
    ///
    /// # Errors
    /// [`Error::Io`] if that fails, [`Error::Timeout`] if it takes too long.
    ///
    /// # Panics
    /// On tokio, if it must wait on a runtime without timers.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up, and the server sees a connection without a byte at most.
    pub async fn connect_with(
        address: impl ToAddress,
        config: &ClientConfig,
    ) -> Result<Self, Error> {
        let clock = A::clock();
        let waiting = pin!(A::Waiting::from(&clock));
        let stream = driver::connect(address, config, waiting).await?;
        Ok(Self::on(clock, stream, config))
    }
}

impl<A: Adapter, IO> Client<A, IO> {
    /// The client side of a fresh stream, with the timer of the adapter's runtime. The deadline of the
    /// whole call begins here.
    ///
    /// A stream that wraps a Unix socket needs [`over_unix_socket`](Self::over_unix_socket).
    pub fn new(io: IO, config: &ClientConfig) -> Self
    where
        A: Timed,
    {
        Self::on(A::clock(), io, config)
    }

    /// The client side of a fresh stream, on any runtime: `timer` makes the waits of its deadlines.
    /// The deadline of the whole call begins here.
    ///
    /// A stream that wraps a Unix socket needs [`over_unix_socket`](Self::over_unix_socket).
    pub fn with_timer(io: IO, config: &ClientConfig, timer: A::Timer) -> Self
    where
        A: TakesTimer,
    {
        Self::on(A::clock_with(timer), io, config)
    }

    fn on(clock: A::Clock, io: IO, config: &ClientConfig) -> Self {
        Self { driver: driver::Client::new(Transport::new(io), clock, config) }
    }

    /// Says that the stream is carried by a Unix socket, where a reset says only that the server
    /// closed with bytes of the request unread. Without it, a reset after a response without
    /// Content-Length means that the response may be cut. The adapter recognises its `Stream` and
    /// the Unix sockets of its runtimes.
    #[must_use]
    pub fn over_unix_socket(self) -> Self {
        Self { driver: self.driver.over_unix_socket() }
    }
}

impl<A: Adapter + Streams<IO>, IO> Client<A, IO> {
    /// Sends a whole request and waits for the head of the response, whose body is then read
    /// from the connection. The rest of the request's body is still sent meanwhile: a
    /// server may answer early.
    ///
    /// # Errors
    /// [`Error::Encode`] if the request cannot be sent, [`Error::Decode`] if the response is
    /// malformed or absent, [`Error::Io`] if the stream failed and there is no response,
    /// [`Error::Timeout`] if a deadline passed, [`Error::Body`] if the source of the request's body
    /// failed.
    ///
    /// # Panics
    /// On tokio, if it must wait on a runtime without timers.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn request(self, request: Request<Body<A>>) -> Result<Response<Body<A>>, Error>
    where
        IO: Send + Unpin + 'static,
    {
        let waiting = pin!(A::Waiting::from(self.driver.clock()));
        self.driver.request(request, waiting).await
    }

    /// Sends an event of the request. The head is held back until the first chunk, the end, or
    /// [`flush`](Self::flush), so that they leave together.
    ///
    /// While it waits for the server to take the event, it reads what the server answers, up to
    /// 64 KiB. If the server closes without taking it, that is not an error here: the response says more,
    /// and [`next_event`](Self::next_event) reports if there is none.
    ///
    /// # Errors
    /// [`Error::Encode`] if the event cannot be sent, or not now; nothing of it is.
    /// [`Error::ResponseUnread`] if the server takes no more before its response is read: the event
    /// stays queued, and [`next_event`](Self::next_event) continues with it. [`Error::Timeout`] if a
    /// deadline passed.
    ///
    /// # Cancel safety
    /// The event is taken at the first poll and stays in the client: a later call of any method
    /// continues with it. Do not send it again.
    pub async fn send(&mut self, event: RequestEvent) -> Result<(), Error> {
        self.driver.send(event)?;
        poll_fn(|cx| self.driver.poll_flush(cx)).await
    }

    /// Writes everything that was sent, the head too.
    ///
    /// # Errors
    /// [`Error::ResponseUnread`] and [`Error::Timeout`] as [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Safe: what is not written stays in the client.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.driver.flush();
        poll_fn(|cx| self.driver.poll_flush(cx)).await
    }

    /// Waits for the next event of the response, and writes meanwhile.
    ///
    /// Yields the head once, then body chunks as they arrive, then [`ResponseEvent::End`], then
    /// `None`.
    ///
    /// # Errors
    /// [`Error::Decode`] if the response is malformed, cut or absent; [`Error::Io`] if the
    /// stream failed; [`Error::Timeout`] if a deadline passed. Later calls then fail with
    /// [`Error::Closed`].
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the client.
    pub async fn next_event(&mut self) -> Result<Option<ResponseEvent>, Error> {
        poll_fn(|cx| self.poll_next_event(cx)).await
    }

    /// As [`next_event`](Self::next_event), to be polled.
    pub fn poll_next_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<ResponseEvent>, Error>> {
        self.driver.poll_next_event(cx)
    }
}

impl<A: Adapter<Clock: fmt::Debug>, IO: fmt::Debug> fmt::Debug for Client<A, IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.driver.fmt(f)
    }
}

//! The client side: calling an SCGI server.

use std::any::Any;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use scgi_proto::driver;
use scgi_proto::{ClientConfig, Error, RequestEvent, ResponseEvent, ToAddress};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::message::{Request, Response};
use crate::stream::Stream;
use crate::transport::{Clock, PinnedClock, Transport};

/// The client side of one connection: one request, one response.
///
/// # Examples
/// ```no_run
/// use scgi_tokio::{Client, Request, RequestHead};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("/run/rtorrent.sock").await?;
/// let call = "<methodCall><methodName>system.client_version</methodName></methodCall>";
/// let head = RequestHead::builder("POST", "/RPC2").param("CONTENT_TYPE", "text/xml").build();
/// let response = client.request(Request::new(head, call)).await?;
/// println!("{}", response.status());
/// let reply = response.into_body().collect(1 << 20).await?;
/// # let _ = reply;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Client<IO> {
    driver: driver::Client<Transport<IO>, Clock>,
    start: Instant,
}

impl Client<Stream> {
    /// Connects to a server, with the deadlines of [`ClientConfig::default`]; see
    /// [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// If that fails.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up, and the server sees a connection without a byte at most.
    pub async fn connect(address: impl ToAddress) -> Result<Self, Error> {
        Self::connect_with(address, &ClientConfig::default()).await
    }

    /// Connects to a server, as [`Stream::connect_with`]. The deadline of the whole call begins here.
    ///
    /// # Errors
    /// [`Error::Io`] if that fails, [`Error::Timeout`] if it takes too long.
    ///
    /// # Panics
    /// If it has to wait on a runtime without timers.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up, and the server sees a connection without a byte at most.
    pub async fn connect_with(
        address: impl ToAddress,
        config: &ClientConfig,
    ) -> Result<Self, Error> {
        let start = Instant::now();
        Ok(Self::since(start, Stream::connect_with(address, config).await?, config))
    }
}

impl<IO: 'static> Client<IO> {
    /// The client side of a fresh stream. The deadline of the whole call begins here.
    ///
    /// A stream that wraps a Unix socket needs [`over_unix_socket`](Self::over_unix_socket).
    pub fn new(io: IO, config: &ClientConfig) -> Self {
        Self::since(Instant::now(), io, config)
    }

    fn since(start: Instant, io: IO, config: &ClientConfig) -> Self {
        let is_unix = is_unix_socket(&io);
        let driver = driver::Client::new(Transport(io), Clock::since(start), config);
        Self { driver: driver.with_unix_socket(is_unix), start }
    }

    /// Says that the stream is carried by a Unix socket, where a reset says only that the server
    /// closed with bytes of the request unread. Without it, a reset after a response without
    /// Content-Length means that the response may be cut. [`Stream`] and tokio's `UnixStream` are
    /// recognised.
    #[must_use]
    pub fn over_unix_socket(mut self) -> Self {
        self.driver = self.driver.with_unix_socket(true);
        self
    }
}

/// Whether the stream is one of the Unix sockets that are known by their type.
fn is_unix_socket<IO: 'static>(io: &IO) -> bool {
    let io: &dyn Any = io;
    #[cfg(unix)]
    if io.is::<tokio::net::UnixStream>() {
        return true;
    }
    io.downcast_ref().is_some_and(Stream::is_unix)
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Client<IO> {
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
    /// If it has to wait on a runtime without timers.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn request(self, request: Request) -> Result<Response, Error>
    where
        IO: Send + 'static,
    {
        let waiting = pin!(PinnedClock::since(self.start));
        self.driver.request(request, waiting).await
    }

    /// Sends a piece of the request. The head is held back until the first chunk, the end, or
    /// [`flush`](Self::flush), so that they leave together.
    ///
    /// While it waits for the server to take the piece, it reads what the server answers, up to
    /// 64 KiB. If the server closes without taking it, that is not an error here: the response says more,
    /// and [`next_event`](Self::next_event) reports if there is none.
    ///
    /// # Errors
    /// [`Error::Encode`] if the piece cannot be sent, or not now; nothing of it is.
    /// [`Error::ResponseUnread`] if the server takes no more before its response is read: the piece
    /// stays queued, and [`next_event`](Self::next_event) continues with it. [`Error::Timeout`] if a
    /// deadline passed.
    ///
    /// # Cancel safety
    /// The piece is taken at the first poll and stays in the client: a later call of any method
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

    /// Waits for the next piece of the response, and writes meanwhile.
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

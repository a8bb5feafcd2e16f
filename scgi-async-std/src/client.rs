//! The client side: calling an SCGI server.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
#[cfg(feature = "net")]
use scgi_proto::ToAddress;
use scgi_proto::driver;
use scgi_proto::{ClientConfig, Error, RequestEvent, ResponseEvent};

use crate::message::{Request, Response};
#[cfg(feature = "net")]
use crate::stream::Stream;
use crate::transport::{Clock, Timer, Transport};

/// The client side of one connection: one request, one response.
///
/// # Examples
/// ```
/// use scgi_async_std::{Client, ClientConfig, Error, Request, RequestHead, Timer};
///
/// async fn call<S>(stream: S, timer: Timer) -> Result<(), Error>
/// where
///     S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + Send + 'static,
/// {
///     let client = Client::with_timer(stream, &ClientConfig::default(), timer);
///     let head = RequestHead::builder("POST", "/RPC2").param("CONTENT_TYPE", "text/xml").build();
///     let response = client.request(Request::new(head, "<methodCall/>")).await?;
///     println!("{}", response.status());
///     let reply = response.into_body().collect(1 << 20).await?;
///     # let _ = reply;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Client<IO> {
    driver: driver::Client<Transport<IO>, Clock>,
}

#[cfg(feature = "net")]
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
    /// # Cancel safety
    /// Safe: the attempt is given up, and the server sees a connection without a byte at most.
    pub async fn connect_with(
        address: impl ToAddress,
        config: &ClientConfig,
    ) -> Result<Self, Error> {
        let start = Instant::now();
        let stream = Stream::connect_with(address, config).await?;
        Ok(Self::on(Clock::of_async_io(start), stream, config))
    }
}

#[cfg(feature = "net")]
impl<IO: 'static> Client<IO> {
    /// The client side of a fresh stream, with the timer of smol and async-std. The deadline of the
    /// whole call begins here.
    ///
    /// A stream that wraps a Unix socket needs [`over_unix_socket`](Self::over_unix_socket).
    pub fn new(io: IO, config: &ClientConfig) -> Self {
        Self::on(Clock::of_async_io(Instant::now()), io, config)
    }
}

impl<IO: 'static> Client<IO> {
    /// The client side of a fresh stream, on any runtime: `timer` makes the waits of its deadlines.
    /// The deadline of the whole call begins here.
    ///
    /// A stream that wraps a Unix socket needs [`over_unix_socket`](Self::over_unix_socket).
    pub fn with_timer(io: IO, config: &ClientConfig, timer: Timer) -> Self {
        Self::on(Clock::since(Instant::now(), timer), io, config)
    }

    fn on(clock: Clock, io: IO, config: &ClientConfig) -> Self {
        let is_unix = is_unix_socket(&io);
        let driver = driver::Client::new(Transport(io), clock, config);
        Self { driver: driver.with_unix_socket(is_unix) }
    }

    /// Says that the stream is carried by a Unix socket, where a reset says only that the server
    /// closed with bytes of the request unread. Without it, a reset after a response without
    /// Content-Length means that the response may be cut. With a runtime's feature, `Stream` and the
    /// Unix sockets of async-io, smol and async-std are recognised.
    #[must_use]
    pub fn over_unix_socket(mut self) -> Self {
        self.driver = self.driver.with_unix_socket(true);
        self
    }
}

/// Whether the stream is one of the Unix sockets that are known by their type.
#[cfg(feature = "net")]
fn is_unix_socket<IO: 'static>(io: &IO) -> bool {
    let io: &dyn std::any::Any = io;
    #[cfg(unix)]
    if io.is::<async_io::Async<std::os::unix::net::UnixStream>>() {
        return true;
    }
    #[cfg(all(feature = "smol", unix))]
    if io.is::<::smol::net::unix::UnixStream>() {
        return true;
    }
    #[cfg(all(feature = "async-std", unix))]
    if io.is::<::async_std::os::unix::net::UnixStream>() {
        return true;
    }
    io.downcast_ref().is_some_and(Stream::is_unix)
}

/// Nothing is known of a stream whose runtime is not.
#[cfg(not(feature = "net"))]
fn is_unix_socket<IO>(_: &IO) -> bool {
    false
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
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn request(mut self, request: Request) -> Result<Response, Error>
    where
        IO: Send + 'static,
    {
        let waiting = self.driver.clock_mut().another();
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

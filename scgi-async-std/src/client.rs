//! The client side: calling an SCGI server.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
#[cfg(feature = "net")]
use scgi_proto::ToAddress;
use scgi_proto::driver::{self, EventClient};
use scgi_proto::{ClientConfig, Error};

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
    inner: EventClient<Transport<IO>, Clock>,
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
        Self { inner: driver::Client::new(Transport(io), clock, config).into() }
    }

    /// Says that the stream is carried by a Unix socket, where a reset says only that the server
    /// closed with bytes of the request unread. Without it, a reset after a response without
    /// Content-Length means that the response may be cut. With a runtime's feature, `Stream` and the
    /// Unix sockets of async-io, smol and async-std are recognised.
    #[must_use]
    pub fn over_unix_socket(mut self) -> Self {
        self.inner = self.inner.over_unix_socket();
        self
    }
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
    pub async fn request(self, request: Request) -> Result<Response, Error>
    where
        IO: Send + 'static,
    {
        let mut driver = self.inner.into_inner();
        let waiting = driver.clock_mut().another();
        driver.request(request, waiting).await
    }
}

/// The methods that send and receive piece by piece are in [`EventClient`].
impl<IO> Deref for Client<IO> {
    type Target = EventClient<Transport<IO>, Clock>;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl<IO> DerefMut for Client<IO> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

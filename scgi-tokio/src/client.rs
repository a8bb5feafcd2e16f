//! The client side: calling an SCGI server.

use std::ops::{Deref, DerefMut};
use std::pin::pin;

use scgi_proto::driver::{self, EventClient};
use scgi_proto::{ClientConfig, Error, ToAddress};
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
    inner: EventClient<Transport<IO>, Clock>,
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
        let driver = driver::Client::new(Transport(io), Clock::since(start), config);
        Self { inner: driver.into(), start }
    }

    /// Says that the stream is carried by a Unix socket, where a reset says only that the server
    /// closed with bytes of the request unread. Without it, a reset after a response without
    /// Content-Length means that the response may be cut. [`Stream`] and tokio's `UnixStream` are
    /// recognised.
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
        self.inner.into_inner().request(request, waiting).await
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

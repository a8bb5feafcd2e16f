//! The client side: calling an SCGI server.

use std::future::poll_fn;
use std::task::{Context, Poll};

use scgi_proto::driver;
use scgi_proto::{Address, Error, Limits, RequestEvent, ResponseEvent};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::message::{Request, Response};
use crate::stream::Stream;
use crate::transport::Transport;

/// The client side of one connection: one request, one response.
///
/// # Examples
/// ```no_run
/// use scgi_tokio::{Client, Request, RequestHead};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect(&"/run/rtorrent.sock".parse()?).await?;
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
    driver: driver::Client<Transport<IO>>,
}

impl Client<Stream> {
    /// Connects to a server.
    ///
    /// # Errors
    /// If that fails.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up, and the server sees a connection without a byte at most.
    pub async fn connect(address: &Address) -> Result<Self, Error> {
        Ok(Self::new(Stream::connect(address).await?, Limits::default()))
    }
}

impl<IO> Client<IO> {
    /// The client side of a fresh stream; `limits` bound the response's head.
    pub fn new(io: IO, limits: Limits) -> Self {
        Self { driver: driver::Client::new(Transport(io), limits) }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Client<IO> {
    /// Sends a whole request and waits for the head of the response, whose body is then read
    /// from the connection. The rest of the request's body goes on being sent meanwhile: a
    /// server may answer early.
    ///
    /// # Errors
    /// [`Error::Encode`] if the request cannot be sent, [`Error::Decode`] if the response is
    /// malformed or absent, [`Error::Io`] if the stream failed and there is no response,
    /// [`Error::Body`] if the source of the request's body failed.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn request(self, request: Request) -> Result<Response, Error>
    where
        IO: Send + 'static,
    {
        self.driver.request(request).await
    }

    /// Sends a piece of the request. The head is held back until the first chunk, the end, or
    /// [`flush`](Self::flush), so that they leave together.
    ///
    /// If the server does not take it, that is no error here: the response says more, and
    /// [`next_event`](Self::next_event) tells if there is none.
    ///
    /// # Errors
    /// [`Error::Encode`] if the piece cannot be sent, or not now; nothing of it is.
    ///
    /// # Cancel safety
    /// The piece is taken at the first poll and stays in the client: a later call of any method
    /// goes on with it. Do not send it again.
    pub async fn send(&mut self, event: RequestEvent) -> Result<(), Error> {
        self.driver.send(event)?;
        poll_fn(|cx| self.driver.poll_flush(cx)).await;
        Ok(())
    }

    /// Writes everything that was sent, the head too.
    ///
    /// # Cancel safety
    /// Safe: what is not written stays in the client.
    pub async fn flush(&mut self) {
        self.driver.flush();
        poll_fn(|cx| self.driver.poll_flush(cx)).await;
    }

    /// Waits for the next piece of the response, and goes on writing meanwhile.
    ///
    /// Yields the head once, then body chunks as they arrive, then [`ResponseEvent::End`], then
    /// `None`.
    ///
    /// # Errors
    /// [`Error::Decode`] if the response is malformed, cut or absent; [`Error::Io`] if the
    /// stream failed.
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

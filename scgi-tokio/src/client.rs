//! The client side: calling an SCGI server.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use scgi_proto::{
    Address, Call, DecodeError, Error, Limits, RequestEvent, ResponseEvent, ResponseHead,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use crate::body::{Body, Source};
use crate::connection::poll_write;
use crate::message::{Request, Response};
use crate::stream::Stream;

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
    io: IO,
    call: Call,
    /// Why writing failed; told if no response can be read either.
    write_error: Option<io::Error>,
}

impl Client<Stream> {
    /// Connects to a server.
    ///
    /// # Errors
    /// If that fails.
    pub async fn connect(address: &Address) -> Result<Self, Error> {
        Ok(Self::new(Stream::connect(address).await?, Limits::default()))
    }
}

impl<IO> Client<IO> {
    /// The client side of a fresh stream; `limits` bound the response's head.
    pub fn new(io: IO, limits: Limits) -> Self {
        Self { io, call: Call::new(limits), write_error: None }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
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
        let (head, body) = request.into_parts();
        let mut transfer = Transfer { client: self, body: Some(body) };
        transfer.client.call.send(RequestEvent::Head(head))?;
        let head = poll_fn(|cx| transfer.poll_head(cx)).await?;
        let len = head.fields().get("Content-Length").and_then(parse);
        Ok(Response::from_parts(head, Body::from_source(transfer, len)))
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
        self.call.send(event)?;
        poll_fn(|cx| self.poll_flush(cx)).await;
        Ok(())
    }

    /// Writes everything that was sent, the head too.
    ///
    /// # Cancel safety
    /// Safe: what is not written stays in the client.
    pub async fn flush(&mut self) {
        self.call.flush();
        poll_fn(|cx| self.poll_flush(cx)).await;
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
        loop {
            let _ = self.poll_flush(cx);
            match self.call.next_event() {
                Ok(Some(event)) => return Poll::Ready(Ok(Some(event))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(self.explain(error))),
            }
            if self.call.is_response_over() {
                return Poll::Ready(Ok(None));
            }
            let buf = self.call.buffer_mut();
            match ready!(poll_read_buf(Pin::new(&mut self.io), cx, buf)) {
                Ok(count) => self.call.handle_read(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Poll::Ready(Err(self.write_error.take().unwrap_or(error).into()));
                }
            }
        }
    }

    /// That there is no response is the consequence of a failed write, if one failed.
    fn explain(&mut self, error: DecodeError) -> Error {
        match self.write_error.take() {
            Some(write_error) if error == DecodeError::NoResponse => write_error.into(),
            _ => error.into(),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.call.wants_write() {
            match ready!(poll_write(&mut self.io, cx, self.call.pending())) {
                Ok(count) => self.call.handle_written(count),
                Err(error) => {
                    self.call.handle_write_failed();
                    self.write_error = Some(error);
                }
            }
        }
        Poll::Ready(())
    }
}

fn parse(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A client in the middle of a whole exchange: the request's body goes out, the response comes
/// in.
struct Transfer<IO> {
    client: Client<IO>,
    /// `None` once all of it was handed over.
    body: Option<Body>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Transfer<IO> {
    /// Moves the request's body on as far as the server takes it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while let Some(body) = &mut self.body {
            ready!(self.client.poll_flush(cx));
            match body.poll_chunk(cx) {
                Poll::Ready(Some(chunk)) => self.client.call.send(RequestEvent::Body(chunk?))?,
                Poll::Ready(None) => {
                    self.client.call.send(RequestEvent::End)?;
                    self.body = None;
                }
                Poll::Pending => {
                    self.client.call.flush();
                    ready!(self.client.poll_flush(cx));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<ResponseEvent>, Error>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            self.body = None;
            return Poll::Ready(Err(error));
        }
        self.client.poll_next_event(cx)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Error>> {
        match ready!(self.poll_event(cx))? {
            Some(ResponseEvent::Head(head)) => Poll::Ready(Ok(head)),
            // The decoder yields a head first or fails.
            _ => Poll::Ready(Err(DecodeError::NoResponse.into())),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Source for Transfer<IO> {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        match ready!(self.poll_event(cx)) {
            Ok(Some(ResponseEvent::Body(chunk))) => Poll::Ready(Some(Ok(chunk))),
            Ok(_) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

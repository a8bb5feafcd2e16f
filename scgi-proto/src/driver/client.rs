//! The client side of one connection: a [`ClientExchange`] with its stream.

use core::future::poll_fn;
use core::task::{Context, Poll, ready};
use std::io;

use super::body::BodyWrapper;
use super::in_flight::InFlight;
use super::read_target::read_once;
use super::transport::{FlushingTransport, Transport};
use crate::error::Error;
use crate::exchange::client::ClientExchange;
use crate::message::{Request, Response};
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::event::{RequestEvent, ResponseEvent};
use crate::wire::limits::Limits;

/// The client side of one connection, to be polled: one request, one response.
#[derive(Debug)]
pub struct Client<T> {
    pub(super) outlet: FlushingTransport<T>,
    pub(super) call: ClientExchange,
    /// Why writing failed; told if no response can be read either.
    pub(super) write_error: Option<io::Error>,
}

impl<T> Client<T> {
    /// The client side of a fresh stream; `limits` bound the response's head.
    pub fn new(transport: T, limits: Limits) -> Self {
        Self {
            outlet: FlushingTransport::new(transport),
            call: ClientExchange::new(limits),
            write_error: None,
        }
    }
}

impl<T: Transport> Client<T> {
    /// Sends a whole request and waits for the head of the response, whose body is then read
    /// from the connection. The rest of the request's body goes on being sent meanwhile: a
    /// server may answer early. `B` is the body of the adapter.
    ///
    /// # Errors
    /// [`Error::Encode`] if the request cannot be sent, [`Error::Decode`] if the response is
    /// malformed or absent, [`Error::Io`] if the stream failed and there is no response,
    /// [`Error::Body`] if the source of the request's body failed.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn request<B>(self, request: Request<B>) -> Result<Response<B>, Error>
    where
        T: Send + Unpin + 'static,
        B: BodyWrapper,
    {
        let (head, body) = request.into_parts();
        let mut transfer = InFlight::begin(self, head, body.into_inner())?;
        let head = poll_fn(|cx| transfer.poll_head(cx)).await?;
        Ok(Response::from_parts(head, B::wrap(transfer.into_body())))
    }

    /// Queues a piece of the request; [`poll_flush`](Self::poll_flush) writes it. The head is
    /// held back until the first chunk, the end, or [`flush`](Self::flush), so that they leave
    /// together.
    ///
    /// # Errors
    /// If the piece cannot be sent, or not now; nothing of it is.
    pub fn send(&mut self, event: RequestEvent) -> Result<(), EncodeError> {
        self.call.send(event)
    }

    /// Lets the queued head leave although no chunk has come.
    pub fn flush(&mut self) {
        self.call.flush();
    }

    /// Waits for the next piece of the response, and goes on writing meanwhile.
    ///
    /// # Errors
    /// [`Error::Decode`] if the response is malformed, cut or absent; [`Error::Io`] if the
    /// stream failed.
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
            match ready!(self.poll_fill(cx)) {
                Ok(None) => {}
                Ok(chunk) => return Poll::Ready(Ok(chunk)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Poll::Ready(Err(self.write_error.take().unwrap_or(error).into()));
                }
            }
        }
    }

    /// One read: to the event of a chunk of the body, or into the call.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<ResponseEvent>>> {
        let Self { outlet: FlushingTransport { transport, .. }, call, .. } = self;
        let chunk_limit = call.chunk_limit();
        read_once(call, chunk_limit, |buf| transport.poll_read(cx, buf))
    }

    /// That there is no response is the consequence of a failed write, if one failed.
    fn explain(&mut self, error: DecodeError) -> Error {
        match self.write_error.take() {
            Some(write_error) if error == DecodeError::NoResponse => write_error.into(),
            _ => error.into(),
        }
    }

    /// Writes what is to be written now. If the server does not take it, that is no error here:
    /// the response says more, and [`poll_next_event`](Self::poll_next_event) tells if there is
    /// none.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.call.wants_write() {
            match ready!(self.outlet.poll_write(cx, self.call.pending())) {
                Ok(count) => self.call.handle_written(count),
                Err(error) => self.handle_write_failed(error),
            }
        }
        if let Err(error) = ready!(self.outlet.poll_flush(cx)) {
            self.handle_write_failed(error);
        }
        Poll::Ready(())
    }

    fn handle_write_failed(&mut self, error: io::Error) {
        self.call.handle_write_failed();
        self.write_error.get_or_insert(error);
    }
}

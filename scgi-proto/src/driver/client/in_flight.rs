//! A client in the middle of a whole exchange: the request's body goes out, the response comes
//! in.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::Bytes;

use super::Client;
use super::turn::Turn;
use crate::driver::body::{Body, BodyWrapper, Source};
use crate::driver::transport::{Clock, Transport};
use crate::error::Error;
use crate::message::{Request, Response};
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::event::{RequestEvent, ResponseEvent};
use crate::wire::request::RequestHead;
use crate::wire::response::ResponseHead;

/// A client that sends a request's body while it reads the response, to be polled.
///
/// [`Client::request`] is built on it.
#[derive(Debug)]
pub struct InFlight<T, C> {
    client: Client<T, C>,
    /// `None` once all of it was handed over.
    body: Option<Body>,
}

impl<T: Transport, C: Clock> Client<T, C> {
    /// Sends a whole request and waits for the head of the response, whose body is then read
    /// from the connection. The rest of the request's body is still sent meanwhile: a
    /// server may answer early. `B` is the body of the adapter.
    ///
    /// `waiting` waits for the head, on the same time as the client's own clock, which waits for
    /// the body. It lives as long as this future, so that an adapter needs no memory for it.
    ///
    /// # Errors
    /// [`Error::Encode`] if the request cannot be sent, [`Error::Decode`] if the response is
    /// malformed or absent, [`Error::Io`] if the stream failed and there is no response,
    /// [`Error::Timeout`] if a deadline passed, [`Error::Body`] if the source of the request's body
    /// failed.
    ///
    /// After a 101 that the request has asked for, [`Response::into_upgraded`] returns the connection.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn request<B>(
        self,
        request: Request<B>,
        mut waiting: impl Clock,
    ) -> Result<Response<B>, Error>
    where
        T: Send + Unpin + 'static,
        C: Send + Unpin + 'static,
        B: BodyWrapper,
    {
        let (head, body) = request.into_parts();
        let mut in_flight = InFlight::begin(self, head, body.into_inner())?;
        let head = poll_fn(|cx| in_flight.poll_head_on(cx, &mut waiting)).await?;
        Ok(Response::from_parts(head, B::wrap(in_flight.into_body())))
    }
}

impl<T: Transport, C: Clock> InFlight<T, C> {
    /// Queues the head of a request, whose body is sent from here on.
    ///
    /// # Errors
    /// If the head cannot be sent.
    pub fn begin(
        mut client: Client<T, C>,
        head: RequestHead,
        body: Body,
    ) -> Result<Self, EncodeError> {
        client.io.call.send(RequestEvent::Head(head))?;
        Ok(Self { client, body: Some(body) })
    }

    /// Moves the request's body on as far as the server takes it, at most for one turn. Returns
    /// whether there is more to do in the next one.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        let mut turn = Turn::default();
        let mut is_busy = false;
        while let Some(body) = &mut self.body {
            let blocks = body.blocks();
            if (blocks || self.client.io.call.should_write_first())
                && self.client.io.poll_write(cx, &mut turn).is_pending()
            {
                return Ok(!turn.has_bytes());
            }
            if self.client.io.has_write_failed() {
                // No one takes the rest; the response may be there all the same.
                self.body = None;
                break;
            }
            if !turn.has_chunks() {
                // Not written yet: small chunks leave together with those of the next turn.
                return Ok(true);
            }
            turn.take_chunk(blocks);
            match body.poll_chunk(cx) {
                Poll::Ready(Some(chunk)) => self.client.io.call.send(RequestEvent::Body(chunk?))?,
                Poll::Ready(None) => {
                    self.client.io.call.send(RequestEvent::End)?;
                    self.body = None;
                }
                Poll::Pending => {
                    self.client.io.call.flush();
                    // It had only empty chunks: it would have waited by itself.
                    is_busy = blocks;
                    break;
                }
            }
        }
        let is_blocked = self.client.io.poll_write(cx, &mut turn).is_pending();
        Ok(is_busy || (is_blocked && !turn.has_bytes()))
    }

    /// What comes of the response, while the request is sent; without deadlines.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<ResponseEvent>, Error>> {
        self.client.io.check_open()?;
        let more = self.send(cx)?;
        self.client.io.poll_event(cx, more)
    }

    fn fail(&mut self, error: Error) -> Error {
        self.body = None;
        self.client.io.fail(error)
    }

    /// The client, whose connection is the caller's after a 101.
    pub fn into_client(self) -> Client<T, C> {
        self.client
    }

    /// The client, for an adapter that waits by itself.
    pub fn client_mut(&mut self) -> &mut Client<T, C> {
        &mut self.client
    }

    /// Waits for the head of the response.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Error>> {
        let event = self.poll_event(cx);
        let Client { io, clock } = &mut self.client;
        let event = io.poll_timed(cx, clock, event);
        self.poll_is_head(event)
    }

    /// As [`poll_head`](Self::poll_head), on the time of another clock.
    pub(super) fn poll_head_on(
        &mut self,
        cx: &mut Context<'_>,
        clock: &mut impl Clock,
    ) -> Poll<Result<ResponseHead, Error>> {
        let event = self.poll_event(cx);
        let event = self.client.io.poll_timed(cx, clock, event);
        self.poll_is_head(event)
    }

    fn poll_is_head(
        &mut self,
        event: Poll<Result<Option<ResponseEvent>, Error>>,
    ) -> Poll<Result<ResponseHead, Error>> {
        match ready!(event).map_err(|error| self.fail(error))? {
            Some(ResponseEvent::Head(head)) => Poll::Ready(Ok(head)),
            // The decoder yields a head first or fails.
            _ => Poll::Ready(Err(DecodeError::NoResponse.into())),
        }
    }

    /// The body of the response if all of it is at hand: the connection can be closed. Else it is
    /// to be [polled](Self::poll_chunk) for.
    pub fn take_whole_body(&mut self) -> Option<Bytes> {
        if self.client.io.outlet.is_unflushed() {
            None
        } else {
            self.client.io.call.take_whole_body()
        }
    }

    /// Bytes of the response's body still to come, where that is known.
    #[must_use]
    pub fn body_remaining(&self) -> Option<u64> {
        self.client.io.call.body_remaining()
    }

    /// Waits for the next chunk of the response's body; `None` after the last.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let event = self.poll_event(cx);
        let Client { io, clock } = &mut self.client;
        let event = io.poll_timed(cx, clock, event);
        match ready!(event).map_err(|error| self.fail(error)) {
            Ok(Some(ResponseEvent::Body(chunk))) => Poll::Ready(Some(Ok(chunk))),
            Ok(_) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl<T: Transport + Send + Unpin + 'static, C: Clock + Send + Unpin + 'static> InFlight<T, C> {
    /// The body of the response: bytes at hand if they are all of it, and the connection closes;
    /// else it is read from there.
    pub(super) fn into_body(mut self) -> Body {
        if self.client.io.call.is_upgraded() {
            return Body::from_upgraded(self.client.into_tunnel());
        }
        if let Some(body) = self.take_whole_body() {
            return Body::from(body);
        }
        let len = self.body_remaining();
        Body::from_source(self, len)
    }
}

/// The rest of the response, as its body.
impl<T: Transport + Unpin + Send, C: Clock + Unpin + Send> Source for InFlight<T, C> {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        Self::poll_chunk(&mut self, cx)
    }
}

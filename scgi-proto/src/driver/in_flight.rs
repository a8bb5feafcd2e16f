//! A client in the middle of a whole exchange: the request's body goes out, the response comes
//! in.

use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::Bytes;

use super::body::{Body, Source};
use super::client::Client;
use super::transport::Transport;
use crate::error::Error;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::event::{RequestEvent, ResponseEvent};
use crate::wire::request::RequestHead;
use crate::wire::response::ResponseHead;

/// A client that sends a request's body while it reads the response.
pub(super) struct InFlight<T> {
    client: Client<T>,
    /// `None` once all of it was handed over.
    body: Option<Body>,
}

impl<T: Transport> InFlight<T> {
    pub(super) fn begin(
        mut client: Client<T>,
        head: RequestHead,
        body: Body,
    ) -> Result<Self, EncodeError> {
        client.call.send(RequestEvent::Head(head))?;
        Ok(Self { client, body: Some(body) })
    }

    /// Moves the request's body on as far as the server takes it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while let Some(body) = &mut self.body {
            if self.client.call.is_full() {
                ready!(self.client.poll_flush(cx));
            }
            if self.client.write_error.is_some() {
                // Nobody takes the rest; the response may be there all the same.
                self.body = None;
                break;
            }
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

    /// Waits for the head of the response.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Error>> {
        match ready!(self.poll_event(cx))? {
            Some(ResponseEvent::Head(head)) => Poll::Ready(Ok(head)),
            // The decoder yields a head first or fails.
            _ => Poll::Ready(Err(DecodeError::NoResponse.into())),
        }
    }
}

impl<T: Transport + Send + Unpin + 'static> InFlight<T> {
    /// The body of the response: bytes at hand if they are all of it, and the connection closes;
    /// else it is read from there.
    pub(super) fn into_body(mut self) -> Body {
        if !self.client.outlet.is_unflushed() {
            if let Some(body) = self.client.call.take_whole_body() {
                return Body::from(body);
            }
        }
        let len = self.client.call.body_remaining();
        Body::from_source(self, len)
    }
}

/// The rest of the response, as its body.
impl<T: Transport + Unpin + Send> Source for InFlight<T> {
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

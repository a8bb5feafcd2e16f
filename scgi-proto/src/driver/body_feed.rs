//! The body of a request on its way from the connection to the handler.

use core::task::{Context, Poll, ready};

use bytes::Bytes;

use super::body::Body;
use super::connection::Connection;
use super::pipe::{Demand, PipeWriter, body_pipe};
use super::transport::{Clock, Transport};
use crate::exchange::server::ServerExchange;
use crate::wire::event::RequestEvent;

/// The connection's end of a body that is streamed to the handler.
#[derive(Default)]
pub(super) struct BodyFeed {
    /// `None` once the body is handed over or nobody wants it.
    pipe: Option<PipeWriter>,
}

impl BodyFeed {
    /// Makes the body, which has `len` bytes: of those that came with the head if they are all
    /// of it, else a pipe.
    pub(super) fn begin(exchange: &mut ServerExchange, len: u64) -> (Body, Self) {
        if len == 0 {
            return (Body::empty(), Self::default());
        }
        let first = match exchange.next_event() {
            Ok(Some(RequestEvent::Body(chunk))) if chunk.len() as u64 == len => {
                return (Body::from(chunk), Self::default());
            }
            Ok(Some(RequestEvent::Body(chunk))) => chunk,
            _ => Bytes::new(),
        };
        let (writer, reader) = body_pipe();
        (Body::from_pipe(first, reader, len), Self { pipe: Some(writer) })
    }

    /// Serves the handler's demand once; ready if it may go on with what it got.
    pub(super) fn poll<T: Transport, C: Clock>(
        &mut self,
        connection: &mut Connection<T, C>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(pipe) = &mut self.pipe else { return Poll::Pending };
        match ready!(pipe.poll_demand(cx)) {
            Demand::Chunk => {}
            Demand::Nothing => {
                *self = Self::default();
                connection.exchange.handle_body_unwanted();
                return Poll::Pending;
            }
        }
        self.poll_chunk(connection, cx)
    }

    /// Serves a demand that had to wait, as the handler would be polled in vain until it is.
    #[inline]
    pub(super) fn poll_wanted<T: Transport, C: Clock>(
        &mut self,
        connection: &mut Connection<T, C>,
        cx: &mut Context<'_>,
    ) {
        if connection.exchange.waits_for_body() {
            let _ = self.poll_chunk(connection, cx);
        }
    }

    /// Serves a demand; ready if it was.
    fn poll_chunk<T: Transport, C: Clock>(
        &mut self,
        connection: &mut Connection<T, C>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(pipe) = &mut self.pipe else { return Poll::Pending };
        match ready!(connection.poll_next_event(cx)) {
            Ok(Some(RequestEvent::Body(chunk))) => pipe.send(chunk),
            Ok(_) => {
                pipe.end(Ok(()));
                self.pipe = None;
            }
            Err(error) => {
                pipe.end(Err(error));
                self.pipe = None;
            }
        }
        Poll::Ready(())
    }
}

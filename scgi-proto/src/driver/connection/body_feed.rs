//! Feeds the body of a request from the connection to the handler.

use core::task::{Context, Poll, ready};

use super::Connection;
use crate::driver::body::Body;
use crate::driver::body::{Demand, PipeWriter, body_pipe};
use crate::driver::transport::{Clock, Transport};
use crate::error::Error;
use crate::wire::event::RequestEvent;

/// The connection's end of a body that is streamed to the handler.
#[derive(Default)]
pub(super) struct BodyFeed {
    /// `None` once the body is handed over or it is not wanted.
    pipe: Option<PipeWriter>,
}

impl BodyFeed {
    /// Makes the body, which has `len` bytes: of those that came with the head if they are all
    /// of it, else a pipe.
    pub(super) fn begin<T, C: Clock>(connection: &mut Connection<T, C>, len: u64) -> (Body, Self) {
        if len == 0 {
            return (Body::empty(), Self::default());
        }
        let first = connection.received_body();
        if first.len() as u64 == len {
            return (Body::from(first), Self::default());
        }
        let (writer, reader) = body_pipe();
        (Body::from_pipe(first, reader, len), Self { pipe: Some(writer) })
    }

    /// Whether someone may still read the body.
    pub(super) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Serves the handler's demand once; ready if it may go on with what it got.
    pub(super) fn poll<T: Transport, C: Clock>(
        &mut self,
        connection: &mut Connection<T, C>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(pipe) = &mut self.pipe else { return Poll::Pending };
        match pipe.poll_demand(cx) {
            Poll::Ready(Demand::Chunk) => {
                connection.exchange.handle_body_asked();
                self.poll_chunk(connection, cx)
            }
            Poll::Ready(Demand::Nothing) => {
                self.pipe = None;
                connection.exchange.handle_body_unwanted();
                Poll::Pending
            }
            Poll::Pending => {
                connection.handle_body_held();
                Poll::Pending
            }
        }
    }

    /// Serves a demand that had to wait, as polling the handler before that does nothing.
    #[inline]
    pub(super) fn poll_wanted<T: Transport, C: Clock>(
        &mut self,
        connection: &mut Connection<T, C>,
        cx: &mut Context<'_>,
    ) {
        if connection.exchange.waits_for_body() {
            let _ = self.poll(connection, cx);
        }
    }

    /// Serves a demand; ready if it was.
    fn poll_chunk<T: Transport, C: Clock>(
        &mut self,
        connection: &mut Connection<T, C>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(pipe) = &mut self.pipe else { return Poll::Pending };
        match ready!(connection.poll_read_event(cx)) {
            Ok(Some(RequestEvent::Body(chunk))) => pipe.send(chunk),
            Ok(_) => {
                pipe.end(Ok(()));
                self.pipe = None;
            }
            Err(error) => {
                connection.report(&error);
                pipe.end(Err(error));
                self.pipe = None;
            }
        }
        Poll::Ready(())
    }

    /// Hands a deadline that has passed to the reader of the body, if it is one of the body and
    /// the reader does not know yet. Otherwise it stays an error.
    pub(super) fn take_timeout<T: Transport, C: Clock>(
        &mut self,
        connection: &Connection<T, C>,
        result: Result<(), Error>,
    ) -> Result<(), Error> {
        match (result, &mut self.pipe) {
            (Err(error @ Error::Timeout(_)), Some(pipe))
                if connection.exchange.has_body_timed_out() =>
            {
                connection.report(&error);
                pipe.end(Err(error));
                Ok(())
            }
            (result, _) => result,
        }
    }

    /// Lets the exchange know if the reader now knows that the body is late.
    #[inline]
    pub(super) fn notice_timeout<T: Transport, C: Clock>(
        &mut self,
        connection: &mut Connection<T, C>,
    ) {
        if connection.exchange.has_body_timed_out() {
            let Some(pipe) = &mut self.pipe else { return };
            if pipe.is_error_taken() {
                self.pipe = None;
                connection.exchange.handle_body_timeout_noticed();
            }
        }
    }
}

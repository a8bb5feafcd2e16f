//! Reads the events of a request from a connection.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use super::Connection;
use crate::driver::read_target::read_once;
use crate::driver::trace::Trace;
use crate::driver::transport::{Clock, FlushingTransport, Transport};
use crate::error::Error;
use crate::wire::event::RequestEvent;

impl<T: Transport, C: Clock> Connection<T, C> {
    /// Waits for the next event of the request.
    ///
    /// # Errors
    /// [`Error::Decode`] or [`Error::Timeout`]: the response to that is ready, and
    /// [`poll_finish`](Self::poll_finish) sends it. [`Error::Io`]: the stream failed.
    /// [`Error::Closed`]: it had to make room.
    pub fn poll_next_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<RequestEvent>, Error>> {
        let event = self.poll_event(cx);
        if let Poll::Ready(Err(error)) = &event {
            self.report(error);
        }
        event
    }

    /// Logs an error of reading.
    pub(super) fn report(&self, error: &Error) {
        self.in_scope(|| Trace::failed(error, self.peer.as_deref()));
    }

    /// Waits as [`poll_next_event`](Self::poll_next_event), as a future. Dropped before it is
    /// ready, it ends the deadline of the body.
    pub fn next_event(&mut self) -> NextEvent<'_, T, C> {
        NextEvent { connection: self }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RequestEvent>, Error>> {
        loop {
            if let Poll::Ready(event) = self.poll_read_event(cx) {
                return Poll::Ready(event);
            }
            ready!(self.poll_deadline(cx))?;
        }
    }

    /// As [`poll_event`](Self::poll_event), without a look at the deadlines of a wait.
    pub(super) fn poll_read_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<RequestEvent>, Error>> {
        let had_to_wait = self.exchange.waits_for_body();
        let mut now = None;
        if had_to_wait {
            self.exchange.handle_waited(*now.insert(self.clock.now()));
        }
        loop {
            // Of a body that flows, nothing is in the buffer.
            let max_chunk_len = self.exchange.max_chunk_len();
            if max_chunk_len.is_none() {
                if let Some(event) = self.exchange.next_event()? {
                    self.begin_trace(&event);
                    return Poll::Ready(Ok(Some(event)));
                }
                if self.exchange.is_request_over() {
                    return Poll::Ready(Ok(None));
                }
            }
            match self.poll_fill(max_chunk_len, cx)? {
                Poll::Ready(None) => {}
                Poll::Ready(Some(chunk)) => {
                    // The timer reports what passed while it waited.
                    if !had_to_wait {
                        self.check_deadline()?;
                    }
                    return Poll::Ready(Ok(Some(chunk)));
                }
                Poll::Pending => {
                    if self.poll_evicted(cx).is_ready() {
                        // The rest of the head may have come by now, without the runtime having
                        // noticed. A connection with unread input is not closed.
                        if self.try_read()? {
                            continue;
                        }
                        self.exchange.close();
                        return Poll::Ready(Err(Error::Closed));
                    }
                    let now = now.unwrap_or_else(|| self.clock.now());
                    self.exchange.handle_read_blocked(now);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Takes note of the head, if it is one.
    fn begin_trace(&mut self, event: &RequestEvent) {
        let RequestEvent::Head(head) = event else { return };
        self.trace = Some(Trace::begin(head, self.peer.as_deref()));
        if let Some(counted) = &mut self.counted {
            counted.keep();
        }
        if self.exchange.has_upgrade() {
            self.in_scope(|| Trace::upgrade_refused(head));
        }
    }

    /// One read: to the event of a chunk of the body, or into the exchange.
    fn poll_fill(
        &mut self,
        max_chunk_len: Option<usize>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<RequestEvent>>> {
        let Self { outlet: FlushingTransport { transport, .. }, exchange, .. } = self;
        let read = read_once(exchange, max_chunk_len, |buf| transport.poll_read(cx, buf));
        match &read {
            // A signal came: nothing was read, and the caller reads again.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                return Poll::Ready(Ok(None));
            }
            Poll::Ready(Err(_)) => exchange.close(),
            // What is left of the buffer of a head may be large, and hold its memory.
            Poll::Pending if exchange.body_remaining().is_some() => exchange.release_buffer(),
            Poll::Ready(Ok(_)) | Poll::Pending => {}
        }
        read
    }
}

/// The next event of a request; made by [`Connection::next_event`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct NextEvent<'a, T: Transport, C: Clock> {
    connection: &'a mut Connection<T, C>,
}

impl<T: Transport, C: Clock> Future for NextEvent<'_, T, C> {
    type Output = Result<Option<RequestEvent>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.connection.poll_next_event(cx)
    }
}

impl<T: Transport, C: Clock> Drop for NextEvent<'_, T, C> {
    fn drop(&mut self) {
        let Connection { exchange, clock, .. } = &mut *self.connection;
        exchange.handle_read_withdrawn(|| clock.now());
    }
}

impl<T: Transport, C: Clock> fmt::Debug for NextEvent<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextEvent").finish_non_exhaustive()
    }
}

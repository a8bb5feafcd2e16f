//! The server side of one connection: an [`ServerExchange`] with its stream and its time.

mod answer;
mod body_feed;
pub(super) mod pending_connection;
mod read;
mod tunnel;
mod waits;

use core::any::Any;
use core::fmt;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::boxed::Box;

use bytes::{Bytes, BytesMut};

use self::pending_connection::{Admission, PendingConnection};
pub use self::read::NextEvent;
#[cfg(feature = "server")]
pub(crate) use self::tunnel::Lease;
use super::counters::ConnectionGuard;
use super::trace::Trace;
use super::transport::{Advice, Clock, FlushingTransport, Transport};
use crate::error::Error;
use crate::exchange::buffers::Buffers;
use crate::exchange::peer::Peer;
use crate::exchange::server::ServerExchange;
use crate::exchange::server::config::ConnectionConfig;
use crate::message::Request;
use crate::shutdown::ShutdownSignal;
use crate::wire::error::EncodeError;
use crate::wire::event::{RequestEvent, ResponseEvent};
use crate::wire::request::RequestHead;
use crate::wire::response::Status;

/// The server side of one connection, to be polled: request events come out, response events go
/// in.
///
/// All progress is kept here and none in futures, so whatever is built on it can be cancelled.
/// An adapter wraps it with `async` methods; [`answer`](Self::answer) runs a handler on it.
pub struct Connection<T, C> {
    outlet: FlushingTransport<T>,
    /// [`Transport::advise`], also where the trait is not at hand: when a connection is dropped.
    advise: fn(&T, Advice),
    clock: C,
    exchange: ServerExchange,
    counted: Option<ConnectionGuard>,
    /// Boxed, as few servers ask.
    peer: Option<Box<Peer>>,
    trace: Option<Trace>,
}

impl<T, C> Connection<T, C> {
    /// Takes the memory of a connection that has ended, for the next one.
    pub fn take_memory(&mut self) -> Buffers {
        self.exchange.take_memory()
    }

    /// The stream and the clock, for an adapter that waits by itself.
    pub fn parts_mut(&mut self) -> (&mut T, &mut C) {
        (&mut self.outlet.transport, &mut self.clock)
    }

    /// The machine, to ask how far the connection is.
    pub fn exchange(&self) -> &ServerExchange {
        &self.exchange
    }

    /// Says that no one reads what is left of the request's body.
    pub fn handle_body_unwanted(&mut self) {
        self.exchange.handle_body_unwanted();
    }

    /// Says that a reader waits for the body, for an adapter whose reader polls the connection.
    pub fn handle_body_wanted(&mut self) {
        self.exchange.handle_body_wanted();
    }

    /// Breaks the connection, so that the peer sees the response as cut.
    pub fn abort(&mut self) {
        self.exchange.abort();
    }

    /// The program at the other end, if the server asked.
    pub fn peer(&self) -> Option<Peer> {
        self.peer.as_deref().copied()
    }

    /// The request for the handler, with what only the connection knows.
    pub fn request<B>(&self, head: RequestHead, body: B) -> Request<B> {
        let shutdown = self.counted.as_ref().map(|counted| counted.shutdown().clone());
        Request::from_parts(head, body).with_peer(self.peer()).with_shutdown(shutdown)
    }

    /// Completes when the server of this connection begins to stop.
    pub fn shutdown_signal(&self) -> ShutdownSignal {
        let counted = self.counted.as_ref();
        counted.map(|counted| counted.shutdown().signal()).unwrap_or_default()
    }

    /// Takes note that the head of a 101 has left.
    pub fn note_upgraded(&self) {
        if let Some(counted) = &self.counted {
            counted.upgraded();
        }
        self.in_scope(Trace::upgraded);
    }

    /// The span of the request, once its head has come.
    pub fn trace(&self) -> Option<Trace> {
        self.trace.clone()
    }

    /// What has come of the request's body behind its head, to be taken before anything is waited
    /// for.
    pub fn received_body(&mut self) -> Bytes {
        if self.exchange.body_remaining() == Some(0) {
            return Bytes::new();
        }
        match self.exchange.next_event() {
            Ok(Some(RequestEvent::Body(chunk))) => chunk,
            // The reader of the body gets the error.
            _ => Bytes::new(),
        }
    }

    /// Runs a part of the handler, within the span of its request.
    fn in_scope<R>(&self, run: impl FnOnce() -> R) -> R {
        match &self.trace {
            Some(trace) => trace.in_scope(run),
            None => run(),
        }
    }
}

impl<T, C: Clock> Connection<T, C> {
    /// Says that the program holds the body and does not wait for it, or no longer.
    pub fn handle_body_held(&mut self) {
        let Self { exchange, clock, .. } = self;
        exchange.handle_body_held(|| clock.now());
    }
}

impl<T: Transport, C: Clock> Connection<T, C> {
    /// The server side of a connection that was accepted when `clock` was at zero.
    #[inline]
    pub fn new(transport: T, clock: C, config: &ConnectionConfig) -> Self {
        let exchange = ServerExchange::new(config, Duration::ZERO);
        let outlet = FlushingTransport::new(transport);
        Self { outlet, advise: T::advise, clock, exchange, counted: None, peer: None, trace: None }
    }

    /// A connection that a server has let in, after `bytes` have arrived.
    pub fn received(
        pending: PendingConnection<T, C>,
        config: &ConnectionConfig,
        bytes: BytesMut,
    ) -> Self {
        let mut exchange = ServerExchange::new(config, Duration::ZERO);
        exchange.receive(bytes);
        let PendingConnection { transport, clock, admitted: Admission { counted, peer } } = pending;
        let counted = Some(counted);
        let outlet = FlushingTransport::new(transport);
        Self { outlet, advise: T::advise, clock, exchange, counted, peer, trace: None }
    }

    /// One that a server has let in, and that uses the memory which an earlier one left.
    #[inline]
    pub fn admitted(
        transport: T,
        clock: C,
        config: &ConnectionConfig,
        admitted: Admission,
        memory: Buffers,
    ) -> Self {
        let mut connection = Self::new(transport, clock, config);
        connection.exchange.give_memory(memory);
        connection.counted = Some(admitted.counted);
        connection.peer = admitted.peer;
        connection
    }

    /// The clock, to set it up.
    pub fn clock_mut(&mut self) -> &mut C {
        &mut self.clock
    }

    /// Ready if the server needs the place of a connection whose head has not come.
    fn poll_evicted(&mut self, cx: &Context<'_>) -> Poll<()> {
        match &mut self.counted {
            Some(counted) if self.exchange.body_remaining().is_none() => counted.poll_evicted(cx),
            _ => Poll::Pending,
        }
    }
}

impl<T: Transport, C: Clock> Connection<T, C> {
    /// Queues an event of the response; [`poll_flush`](Self::poll_flush) writes it. The head is
    /// held back until the first chunk, the end, or [`flush`](Self::flush), so that they leave
    /// together.
    ///
    /// # Errors
    /// If the event cannot be sent, or not now; nothing of it is.
    pub fn send(&mut self, event: ResponseEvent) -> Result<(), EncodeError> {
        self.exchange.send(event)
    }

    /// Lets the queued head leave although no chunk has come.
    pub fn flush(&mut self) {
        self.exchange.flush();
    }

    /// Writes what is to be written now.
    ///
    /// While the peer does not take it, what the peer sends is read and discarded, if no one can
    /// ask for it any more: many a peer reads only when it has sent all.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take it.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if let Poll::Ready(written) = self.poll_write(cx) {
                return Poll::Ready(written);
            }
            if let Poll::Ready(error) = self.poll_unasked(cx) {
                return Poll::Ready(Err(error));
            }
            ready!(self.poll_deadline(cx))?;
        }
    }

    /// As [`poll_flush`](Self::poll_flush), without a look at the input and the deadlines.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.exchange.waits_for_write() {
            self.exchange.handle_waited(self.clock.now());
        }
        loop {
            let held_back = self.outlet.is_unflushed();
            let step = if self.exchange.wants_write() {
                if self.exchange.wants_no_delay() {
                    self.outlet.transport.advise(Advice::SendAtOnce);
                }
                self.outlet.poll_write(cx, self.exchange.pending()).map_ok(Some)
            } else {
                self.outlet.poll_flush(cx).map_ok(|()| None)
            };
            match step {
                Poll::Ready(Ok(Some(count))) => self.exchange.handle_written(count),
                Poll::Ready(Ok(None)) => {
                    if held_back {
                        // If that had to wait, its deadline is over.
                        self.exchange.handle_written(0);
                    }
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => {
                    self.exchange.close();
                    return Poll::Ready(Err(error.into()));
                }
                Poll::Pending => {
                    self.exchange.handle_write_blocked(self.clock.now());
                    return Poll::Pending;
                }
            }
        }
    }

    /// Ends the response because the program failed: with `status` if nothing was written yet, else
    /// by breaking the connection. [`poll_finish`](Self::poll_finish) then sends it.
    pub fn fail(&mut self, status: Status) {
        self.exchange.fail(status);
    }

    /// Queues an event of the response; if it cannot be sent, the program has failed, and
    /// this gives `false`.
    pub fn send_or_fail(&mut self, event: ResponseEvent) -> bool {
        let sent = self.exchange.send(event);
        if let Err(error) = &sent {
            self.program_failed(error);
        }
        sent.is_ok()
    }

    /// Ends the response because the program failed with `error`, as by [`fail`](Self::fail).
    pub fn program_failed(&mut self, error: &(dyn core::error::Error + 'static)) {
        self.in_scope(|| Trace::program_failed(&self.exchange, error));
        self.fail(Status::INTERNAL_SERVER_ERROR);
    }

    /// Ends the response because the program panicked, as by [`fail`](Self::fail).
    pub fn program_panicked(&mut self, panic: &(dyn Any + Send)) {
        self.in_scope(|| Trace::panicked(panic));
        self.fail(Status::INTERNAL_SERVER_ERROR);
    }

    /// Sends what is left of the response and closes: at once after a wholly read request, else by
    /// shutting down the write side and reading the rest away, within bounds, as the response is
    /// lost to a reset otherwise. A response that was not ended is broken off.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take the response.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // The program has answered: whatever it held of the body, it cannot read on.
        self.exchange.handle_body_unwanted();
        ready!(self.poll_flush(cx))?;
        loop {
            if self.exchange.is_closed() || self.exchange.is_upgraded() {
                return Poll::Ready(Ok(()));
            }
            if self.exchange.wants_shutdown() {
                match self.outlet.transport.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => self.exchange.handle_shutdown(self.clock.now()),
                    // The peer is gone already, with or without the response.
                    Poll::Ready(Err(_)) => self.exchange.close(),
                    Poll::Pending => {
                        self.exchange.handle_write_blocked(self.clock.now());
                        ready!(self.poll_deadline(cx))?;
                    }
                }
            } else if self.exchange.is_response_written() {
                // While draining, no one is left to hear of a failure: the response was sent.
                if self.poll_unasked(cx).is_pending() && !self.exchange.is_closed() {
                    if self.poll_evicted(cx).is_ready() {
                        self.exchange.close();
                    } else {
                        let _ = ready!(self.poll_deadline(cx));
                    }
                }
            } else {
                self.exchange.abort();
            }
        }
    }

    /// Ends a connection whose request ended with `result`: [finishes](Self::poll_finish) it, also
    /// after an error if a response to that is to be sent. Adds an error of its own to the result.
    pub fn poll_end(&mut self, result: &mut Result<(), Error>, cx: &mut Context<'_>) -> Poll<()> {
        while result.is_ok() || !self.exchange.is_closed() {
            match ready!(self.poll_finish(cx)) {
                Ok(()) => break,
                // After a deadline, another response may have replaced one that had not begun.
                Err(error) if result.is_ok() => *result = Err(error),
                Err(_) => {}
            }
        }
        Poll::Ready(())
    }
}

impl<T, C> Drop for Connection<T, C> {
    fn drop(&mut self) {
        if let Some(trace) = &self.trace {
            trace.finish(&self.exchange);
            let shutdown = self.counted.as_ref().and_then(|counted| counted.shutdown().elapsed());
            if let Some(waited) = shutdown {
                trace.waited_for(&self.exchange, waited);
            }
        }
        if let Some(counted) = &self.counted {
            counted.finish(&self.exchange);
        }
        if self.exchange.wants_reset() {
            (self.advise)(&self.outlet.transport, Advice::ResetOnClose);
        }
    }
}

impl<T: fmt::Debug, C> fmt::Debug for Connection<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("transport", &self.outlet.transport)
            .field("exchange", &self.exchange)
            .finish_non_exhaustive()
    }
}

//! The client side of one connection: a [`ClientExchange`] with its stream and its time.

mod client_io;
pub(super) mod connect;
mod in_flight;
mod tunnel;
mod turn;

use core::task::{Context, Poll};

use self::client_io::ClientIo;
pub use self::in_flight::InFlight;
use self::turn::Turn;
use super::transport::{Clock, Transport};
use crate::error::Error;
use crate::exchange::client::ClientExchange;
use crate::exchange::client::config::ClientConfig;
use crate::wire::error::EncodeError;
use crate::wire::event::{RequestEvent, ResponseEvent};

/// The client side of one connection, to be polled: one request, one response.
#[derive(Debug)]
pub struct Client<T, C> {
    io: ClientIo<T>,
    clock: C,
}

impl<T, C: Clock> Client<T, C> {
    /// The client side of a fresh stream. The deadline of the whole call counts from the zero of
    /// `clock`, so that it covers connecting.
    pub fn new(transport: T, clock: C, config: &ClientConfig) -> Self {
        let call = ClientExchange::new(config, core::time::Duration::ZERO);
        Self { io: ClientIo::new(transport, call), clock }
    }

    /// Says that the stream is carried by a Unix socket; see [`Transport::is_unix_socket`].
    #[must_use]
    pub fn over_unix_socket(mut self) -> Self {
        self.io.is_over_unix_socket = true;
        self
    }

    /// The stream, for an adapter that waits by itself.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.io.outlet.transport
    }

    /// Whether the last poll was pending only because its turn was over: it has to be polled again
    /// without a wait. The waker was woken for that.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.io.is_busy
    }

    /// The time of this client.
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// The time of this client, to set it up.
    pub fn clock_mut(&mut self) -> &mut C {
        &mut self.clock
    }
}

impl<T: Transport, C: Clock> Client<T, C> {
    /// Queues an event of the request; [`poll_flush`](Self::poll_flush) writes it. The head is
    /// held back until the first chunk, the end, or [`flush`](Self::flush), so that they leave
    /// together.
    ///
    /// # Errors
    /// If the event cannot be sent, or not now; nothing of it is.
    pub fn send(&mut self, event: RequestEvent) -> Result<(), EncodeError> {
        self.io.call.send(event)
    }

    /// Lets the queued head leave although no chunk has come.
    pub fn flush(&mut self) {
        self.io.call.flush();
    }

    /// Writes what is to be written now, and meanwhile reads what the server answers, up to 64 KiB.
    ///
    /// If the server does not take it because it closed, that is not an error here: the response says
    /// more, and [`poll_next_event`](Self::poll_next_event) reports if there is none.
    ///
    /// # Errors
    /// [`Error::ResponseUnread`] if the server takes nothing more and has answered more than is read
    /// ahead. [`Error::Timeout`] if a deadline passed.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self { io, clock } = self;
        io.check_open()?;
        match io.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                if io.call.is_request_written() {
                    // The deadline of the head begins, although nothing of it is asked for yet.
                    io.call.handle_blocked(clock.now());
                }
                Poll::Ready(Ok(()))
            }
            // Not the end of the call.
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let flushed = io.poll_timed(cx, clock, Poll::Pending);
                flushed.map_err(|error| io.fail(error))
            }
        }
    }

    /// Waits for the next event of the response, and writes meanwhile.
    ///
    /// # Errors
    /// [`Error::Decode`] if the response is malformed, cut or absent; [`Error::Io`] if the
    /// stream failed; [`Error::Timeout`] if a deadline passed. Later calls then fail with
    /// [`Error::Closed`].
    pub fn poll_next_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<ResponseEvent>, Error>> {
        let Self { io, clock } = self;
        io.check_open()?;
        let mut turn = Turn::default();
        let _ = io.poll_write(cx, &mut turn);
        let event = io.poll_event(cx, !turn.has_bytes());
        let event = io.poll_timed(cx, clock, event);
        event.map_err(|error| io.fail(error))
    }
}

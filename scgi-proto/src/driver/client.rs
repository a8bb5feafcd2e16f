//! The client side of one connection: a [`ClientExchange`] with its stream and its time.

use core::future::poll_fn;
use core::task::{Context, Poll, ready};
use std::io::{self, ErrorKind};

use super::body::BodyWrapper;
use super::in_flight::InFlight;
use super::read_target::read_once;
use super::transport::{Clock, FlushingTransport, Transport};
use super::turn::Turn;
use crate::error::Error;
use crate::exchange::client::ClientExchange;
use crate::exchange::client_config::ClientConfig;
use crate::exchange::timeout::Timeout;
use crate::message::{Request, Response};
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::event::{RequestEvent, ResponseEvent};

/// As much of a response is read while a piece of the request waits to be written: enough for most
/// early answers, and a bound on what a server can make a client hold.
const READ_AHEAD: usize = 64 * 1024;

/// The client side of one connection, to be polled: one request, one response.
#[derive(Debug)]
pub struct Client<T, C> {
    pub(super) outlet: FlushingTransport<T>,
    pub(super) call: ClientExchange,
    clock: C,
    is_unix_socket: bool,
    /// Whether the last poll ended because its turn was over.
    is_busy: bool,
    /// Why writing failed; reported if no response can be read either.
    write_error: Option<io::Error>,
    /// Why reading failed; reported once all that came was handed out.
    read_error: Option<io::Error>,
    /// Whether an error was reported, which ends the call.
    failed: bool,
}

impl<T, C: Clock> Client<T, C> {
    /// The client side of a fresh stream. The deadline of the whole call counts from the zero of
    /// `clock`, so that it covers connecting.
    pub fn new(transport: T, clock: C, config: &ClientConfig) -> Self {
        Self {
            outlet: FlushingTransport::new(transport),
            call: ClientExchange::new(config, core::time::Duration::ZERO),
            clock,
            is_unix_socket: false,
            is_busy: false,
            write_error: None,
            read_error: None,
            failed: false,
        }
    }

    /// Says that the stream is a Unix socket, or is carried by one. There a reset says only that
    /// the server closed with bytes of the request unread, even after a complete response.
    #[must_use]
    pub fn with_unix_socket(mut self, is_unix_socket: bool) -> Self {
        self.is_unix_socket = is_unix_socket;
        self
    }

    /// The stream, for an adapter that waits by itself.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.outlet.transport
    }

    /// Whether the last poll was pending only because its turn was over: it has to be polled again
    /// without a wait. The waker was woken for that.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// The time of this client.
    pub fn clock_mut(&mut self) -> &mut C {
        &mut self.clock
    }
}

impl<T: Transport, C: Clock> Client<T, C> {
    /// Sends a whole request and waits for the head of the response, whose body is then read
    /// from the connection. The rest of the request's body goes on being sent meanwhile: a
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
        let mut transfer = InFlight::begin(self, head, body.into_inner())?;
        let head = poll_fn(|cx| transfer.poll_head_on(cx, &mut waiting)).await?;
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

    /// Writes what is to be written now, and meanwhile reads what the server answers, up to 64 KiB.
    ///
    /// If the server does not take it because it closed, that is no error here: the response says
    /// more, and [`poll_next_event`](Self::poll_next_event) reports if there is none.
    ///
    /// # Errors
    /// [`Error::ResponseUnread`] if the server takes nothing more and has answered more than is read
    /// ahead. [`Error::Timeout`] if a deadline passed.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.check_open()?;
        self.is_busy = false;
        let mut turn = Turn::default();
        loop {
            if self.poll_write(cx, &mut turn).is_ready() {
                if self.call.is_request_written() {
                    // The deadline of the head begins, although nothing of it is asked for yet.
                    self.call.handle_blocked(self.clock.now());
                }
                return Poll::Ready(Ok(()));
            }
            if !turn.has_bytes() {
                self.end_turn(cx);
                return Poll::Pending;
            }
            if self.call.is_input_over() {
                break;
            }
            if self.call.buffered() >= READ_AHEAD {
                return Poll::Ready(Err(Error::ResponseUnread));
            }
            let Self { outlet: FlushingTransport { transport, .. }, call, .. } = self;
            match read_once(call, None, |buf| transport.poll_read(cx, buf)) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => self.handle_read_failed(error),
                Poll::Pending => break,
            }
        }
        let Self { call, clock, .. } = self;
        let timeout = ready!(poll_deadline(call, cx, clock, true));
        Poll::Ready(Err(self.fail(timeout.into())))
    }

    /// Waits for the next piece of the response, and goes on writing meanwhile.
    ///
    /// # Errors
    /// [`Error::Decode`] if the response is malformed, cut or absent; [`Error::Io`] if the
    /// stream failed; [`Error::Timeout`] if a deadline passed. Later calls then fail with
    /// [`Error::Closed`].
    pub fn poll_next_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<ResponseEvent>, Error>> {
        self.check_open()?;
        let mut turn = Turn::default();
        let _ = self.poll_write(cx, &mut turn);
        let event = self.poll_event(cx, !turn.has_bytes());
        let event = self.poll_timed(cx, event);
        event.map_err(|error| self.fail(error))
    }

    /// What came of the response, without writing and without deadlines. With `more` to write, the
    /// runtime gets its turn and polls again.
    pub(super) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        more: bool,
    ) -> Poll<Result<Option<ResponseEvent>, Error>> {
        self.is_busy = false;
        loop {
            match self.call.next_event() {
                Ok(Some(event)) => return Poll::Ready(Ok(Some(event))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(self.explain(error))),
            }
            if self.call.is_response_over() {
                return Poll::Ready(Ok(None));
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(chunk)) => return Poll::Ready(Ok(chunk)),
                Poll::Ready(Err(error)) => self.handle_read_failed(error),
                Poll::Pending => {
                    if more {
                        self.end_turn(cx);
                    }
                    return Poll::Pending;
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

    /// No more can be read. What came before is handed out first; then the response is cut, unless
    /// this is how a Unix socket ends.
    fn handle_read_failed(&mut self, error: io::Error) {
        if error.kind() == ErrorKind::Interrupted {
            return;
        }
        if !(self.is_unix_socket && error.kind() == ErrorKind::ConnectionReset) {
            self.call.handle_reset();
        }
        self.call.receive_slice(&[]);
        self.read_error.get_or_insert(error);
    }

    /// The failure of the stream explains why there is no response, or none complete.
    fn explain(&mut self, error: DecodeError) -> Error {
        let is_reset = |error: &io::Error| error.kind() == ErrorKind::ConnectionReset;
        let failure = match error {
            DecodeError::NoResponse => self.write_error.take().or_else(|| self.read_error.take()),
            DecodeError::UnexpectedEnd { .. } => self.read_error.take(),
            DecodeError::ResponseCut => self.read_error.take_if(|error| !is_reset(error)),
            _ => None,
        };
        failure.map_or_else(|| error.into(), Error::from)
    }

    /// Writes what is to be written now, at most for one turn. If the server does not take it, that
    /// is no error here.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<()> {
        while self.call.wants_write() {
            if !turn.has_bytes() {
                return Poll::Pending;
            }
            match ready!(self.outlet.poll_write(cx, self.call.pending())) {
                Ok(count) => {
                    turn.take_bytes(count);
                    self.call.handle_written(count);
                }
                Err(error) => self.handle_write_failed(error),
            }
        }
        let flushed = self.outlet.poll_flush(cx);
        self.call.set_unflushed(flushed.is_pending());
        if let Err(error) = ready!(flushed) {
            self.handle_write_failed(error);
        }
        Poll::Ready(())
    }

    fn handle_write_failed(&mut self, error: io::Error) {
        self.call.handle_write_failed();
        if self.write_error.is_none() && !self.is_unix_socket && !shows_clean_end(&error) {
            self.call.handle_reset();
        }
        self.write_error.get_or_insert(error);
    }

    /// Whether nobody takes the rest of the request.
    pub(super) fn has_write_failed(&self) -> bool {
        self.write_error.is_some()
    }

    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.failed { Err(Error::Closed) } else { Ok(()) }
    }

    /// Ends the call with an error.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        self.failed = true;
        self.call.close();
        error
    }

    /// The runtime gets its turn.
    fn end_turn(&mut self, cx: &Context<'_>) {
        self.is_busy = true;
        cx.waker().wake_by_ref();
    }

    /// Puts the deadlines of the call behind an event that may have to be waited for.
    pub(super) fn poll_timed<E>(
        &mut self,
        cx: &mut Context<'_>,
        event: Poll<Result<E, Error>>,
    ) -> Poll<Result<E, Error>> {
        poll_timed(&mut self.call, cx, &mut self.clock, event, self.is_busy)
    }

    /// As [`poll_timed`](Self::poll_timed), on the time of another clock.
    pub(super) fn poll_timed_on<E>(
        &mut self,
        cx: &mut Context<'_>,
        clock: &mut impl Clock,
        event: Poll<Result<E, Error>>,
    ) -> Poll<Result<E, Error>> {
        poll_timed(&mut self.call, cx, clock, event, self.is_busy)
    }
}

/// Whether a first failed write says that the server had ended its response before.
///
/// On Linux a TCP socket whose peer sent FIN and then a reset fails with EPIPE, one that was reset
/// before with ECONNRESET. Elsewhere nothing tells the two apart.
fn shows_clean_end(error: &io::Error) -> bool {
    cfg!(any(target_os = "linux", target_os = "android")) && error.kind() == ErrorKind::BrokenPipe
}

/// Puts the deadlines of `call` behind an event that may have to be waited for. `is_busy` says that
/// it waits only for its next turn.
fn poll_timed<E>(
    call: &mut ClientExchange,
    cx: &mut Context<'_>,
    clock: &mut impl Clock,
    event: Poll<Result<E, Error>>,
    is_busy: bool,
) -> Poll<Result<E, Error>> {
    let timeout = match &event {
        // No timer wakes a call whose bytes flow.
        Poll::Ready(_) if call.has_call_timeout() => call.handle_timeout(clock.now()),
        Poll::Ready(_) => None,
        Poll::Pending => match poll_deadline(call, cx, clock, !is_busy) {
            Poll::Ready(timeout) => Some(timeout),
            Poll::Pending => None,
        },
    };
    timeout.map_or(event, |timeout| Poll::Ready(Err(timeout.into())))
}

fn poll_deadline(
    call: &mut ClientExchange,
    cx: &mut Context<'_>,
    clock: &mut impl Clock,
    is_blocked: bool,
) -> Poll<Timeout> {
    if is_blocked {
        call.handle_blocked(clock.now());
    }
    while let Some(at) = call.poll_timeout() {
        ready!(clock.poll_until(cx, at));
        if let Some(timeout) = call.handle_timeout(clock.now()) {
            return Poll::Ready(timeout);
        }
    }
    Poll::Pending
}

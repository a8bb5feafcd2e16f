//! Reads and writes for a [`ClientExchange`], under its deadlines.

use core::task::{Context, Poll, ready};
use std::io::{self, ErrorKind};

use super::turn::Turn;
use crate::driver::read_target::read_once;
use crate::driver::transport::{Clock, FlushingTransport, Transport};
use crate::error::Error;
use crate::exchange::client::ClientExchange;
use crate::exchange::timeout::Timeout;
use crate::wire::error::DecodeError;
use crate::wire::event::ResponseEvent;

/// As much of a response is read while a piece of the request waits to be written: enough for most
/// early answers, and a bound on what a server can make a client hold.
const READ_AHEAD: usize = 64 * 1024;

/// A call and its stream. Time is an argument here, as one call may wait on two clocks.
#[derive(Debug)]
pub(super) struct ClientIo<T> {
    pub(super) outlet: FlushingTransport<T>,
    pub(super) call: ClientExchange,
    pub(super) is_over_unix_socket: bool,
    /// Whether the last poll ended because its turn was over.
    pub(super) is_busy: bool,
    /// Why writing failed; reported if no response can be read either.
    write_error: Option<io::Error>,
    /// Why reading failed; reported once all that came was handed out.
    read_error: Option<io::Error>,
    /// Whether an error was reported, which ends the call.
    failed: bool,
}

impl<T> ClientIo<T> {
    pub(super) fn new(transport: T, call: ClientExchange) -> Self {
        Self {
            outlet: FlushingTransport::new(transport),
            call,
            is_over_unix_socket: false,
            is_busy: false,
            write_error: None,
            read_error: None,
            failed: false,
        }
    }
}

impl<T: Transport> ClientIo<T> {
    /// Writes what is to be written now, and meanwhile reads what the server answers. Without
    /// deadlines, pending if it waits for the server.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.is_busy = false;
        let mut turn = Turn::default();
        while self.poll_write(cx, &mut turn).is_pending() {
            if !turn.has_bytes() {
                self.end_turn(cx);
                return Poll::Pending;
            }
            if self.call.is_input_over() {
                return Poll::Pending;
            }
            if self.call.buffered() >= READ_AHEAD {
                return Poll::Ready(Err(Error::ResponseUnread));
            }
            let Self { outlet: FlushingTransport { transport, .. }, call, .. } = self;
            if let Err(error) = ready!(read_once(call, None, |buf| transport.poll_read(cx, buf))) {
                self.handle_read_failed(error);
            }
        }
        Poll::Ready(Ok(()))
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
        let max_chunk_len = call.max_chunk_len();
        read_once(call, max_chunk_len, |buf| transport.poll_read(cx, buf))
    }

    fn is_unix_socket(&self) -> bool {
        self.is_over_unix_socket || self.outlet.transport.is_unix_socket()
    }

    /// No more can be read. What came before is handed out first; then the response is cut, unless
    /// this is how a Unix socket ends.
    fn handle_read_failed(&mut self, error: io::Error) {
        if error.kind() == ErrorKind::Interrupted {
            return;
        }
        if !(error.kind() == ErrorKind::ConnectionReset && self.is_unix_socket()) {
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
    /// is not an error here.
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
        if self.write_error.is_none() && !shows_clean_end(&error) && !self.is_unix_socket() {
            self.call.handle_reset();
        }
        self.write_error.get_or_insert(error);
    }

    /// Whether the server takes no more of the request.
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
        clock: &mut impl Clock,
        event: Poll<Result<E, Error>>,
    ) -> Poll<Result<E, Error>> {
        let timeout = match &event {
            // No timer wakes a call whose bytes flow.
            Poll::Ready(_) if self.call.has_call_timeout() => self.call.handle_timeout(clock.now()),
            Poll::Ready(_) => None,
            Poll::Pending => match self.poll_deadline(cx, clock) {
                Poll::Ready(timeout) => Some(timeout),
                Poll::Pending => None,
            },
        };
        timeout.map_or(event, |timeout| Poll::Ready(Err(timeout.into())))
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, clock: &mut impl Clock) -> Poll<Timeout> {
        // A call that waits only for its turn waits for no one.
        if !self.is_busy {
            self.call.handle_blocked(clock.now());
        }
        while let Some(at) = self.call.poll_timeout() {
            ready!(clock.poll_until(cx, at));
            // The timer may come before the runtime has looked at the stream, after a pause of the
            // process.
            if clock.now() >= at && self.try_once() {
                self.end_turn(cx);
                return Poll::Pending;
            }
            if let Some(timeout) = self.call.handle_timeout(clock.now()) {
                return Poll::Ready(timeout);
            }
        }
        Poll::Pending
    }

    /// Reads or writes what the system has by now, without the runtime. Returns whether there was
    /// something to do.
    fn try_once(&mut self) -> bool {
        if self.call.wants_write() {
            match self.outlet.try_write(self.call.pending()) {
                Ok(None) => return false,
                Ok(Some(count)) => self.call.handle_written(count),
                Err(error) => self.handle_write_failed(error),
            }
            return true;
        }
        let Self { outlet: FlushingTransport { transport, .. }, call, .. } = self;
        if call.is_input_over() {
            return false;
        }
        let read = read_once(call, None, |buf| match transport.try_read(buf) {
            Ok(Some(count)) => Poll::Ready(Ok(count)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        });
        if let Poll::Ready(Err(error)) = read {
            self.handle_read_failed(error);
            return true;
        }
        read.is_ready()
    }
}

/// Whether a first failed write says that the server had ended its response before.
///
/// On Linux a TCP socket whose peer sent FIN and then a reset fails with EPIPE, one that was reset
/// before with ECONNRESET. Elsewhere nothing tells the two apart.
fn shows_clean_end(error: &io::Error) -> bool {
    cfg!(any(target_os = "linux", target_os = "android")) && error.kind() == ErrorKind::BrokenPipe
}

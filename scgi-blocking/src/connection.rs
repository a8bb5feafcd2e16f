//! The server side of one connection, piece by piece.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::driver::Admission;
use scgi_proto::driver::read_once;
use scgi_proto::trace::Trace;
use scgi_proto::{
    Buffers, ConnectionConfig, ConnectionGuard, Error, Peer, RequestEvent, ResponseEvent,
    ServerExchange, Status,
};

use crate::socket::{AsSocket, Cancel, Interest, Socket, as_socket, poll};

/// The server side of one connection: request events come out, response events go in.
///
/// All deadlines of [`ConnectionConfig`] hold on sockets; see the [crate's page](crate) for other streams.
/// [`serve`](crate::serve()) is built on this.
///
/// # Examples
/// ```
/// use scgi_blocking::{ConnectionConfig, Connection, RequestEvent, ResponseEvent, ResponseHead, Status};
///
/// fn answer(stream: std::net::TcpStream) -> Result<(), scgi_blocking::Error> {
///     let mut connection = Connection::new(stream, &ConnectionConfig::default());
///     while let Some(event) = connection.next_event()? {
///         if event == RequestEvent::End {
///             break;
///         }
///     }
///     connection.send(ResponseEvent::Head(ResponseHead::new(Status::OK)))?;
///     connection.send(ResponseEvent::Body("hello".into()))?;
///     connection.send(ResponseEvent::End)?;
///     connection.finish()
/// }
/// ```
pub struct Connection<IO> {
    io: IO,
    exchange: ServerExchange,
    /// The zero of the exchange's time.
    start: Instant,
    socket: AsSocket<IO>,
    /// Set when the server gives up what still runs.
    cancel: Option<Arc<Cancel>>,
    counted: Option<ConnectionGuard>,
    /// Made when the head has to be waited for: it ends the connection.
    evictor: Option<Waker>,
    /// Boxed, as few servers ask.
    peer: Option<Box<Peer>>,
    trace: Option<Trace>,
    /// Whether reads of the body and writes wait a moment themselves, once that was tried.
    is_patient: Option<bool>,
}

impl<IO: 'static> Connection<IO> {
    /// The server side of a connection that was just accepted.
    pub fn new(io: IO, config: &ConnectionConfig) -> Self {
        let exchange = ServerExchange::new(config, Duration::ZERO);
        Self {
            io,
            exchange,
            start: Instant::now(),
            socket: as_socket,
            cancel: None,
            counted: None,
            evictor: None,
            peer: None,
            trace: None,
            is_patient: None,
        }
    }

    /// One of a server: it ends when `cancel` is set, is counted, and uses the memory that the
    /// one before left to this thread.
    pub(crate) fn of_server(
        io: IO,
        config: &ConnectionConfig,
        cancel: Arc<Cancel>,
        admitted: Admission,
    ) -> Self {
        let mut connection = Self::new(io, config);
        connection.exchange.give_memory(MEMORY.take());
        connection.cancel = Some(cancel);
        connection.counted = Some(admitted.counted);
        connection.peer = admitted.peer;
        connection
    }
}

impl<IO> Connection<IO> {
    pub(crate) fn exchange(&mut self) -> &mut ServerExchange {
        &mut self.exchange
    }

    pub(crate) fn peer(&self) -> Option<Peer> {
        self.peer.as_deref().copied()
    }

    /// The span of the request, once its head has come.
    pub(crate) fn trace(&self) -> Option<Trace> {
        self.trace.clone()
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Acts on a deadline that has passed.
    ///
    /// # Errors
    /// The deadline.
    pub(crate) fn check_deadline(&mut self) -> Result<(), Error> {
        let Self { exchange, start, .. } = self;
        exchange.check_timeout(|| start.elapsed()).map_or(Ok(()), |late| Err(late.into()))
    }

    /// Breaks the connection if the server has given it up.
    fn check_cancel(&mut self) -> Result<(), Error> {
        if self.cancel.as_ref().is_some_and(|cancel| cancel.is_set()) {
            self.exchange.abort();
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Closes the connection if the server needs its place and its head has not come.
    fn check_evicted(&mut self) -> Result<(), Error> {
        let Some(counted) = &mut self.counted else { return Ok(()) };
        if self.exchange.body_remaining().is_some() {
            return Ok(());
        }
        if self.evictor.is_none() {
            let Some(socket) = (self.socket)(&self.io) else { return Ok(()) };
            // Without a handle, this one can only not be evicted.
            let Ok(evictor) = socket.evictor() else { return Ok(()) };
            self.evictor = Some(evictor);
        }
        let evictor = self.evictor.as_ref().unwrap_or(Waker::noop());
        if counted.poll_evicted(&Context::from_waker(evictor)).is_ready() {
            self.exchange.close();
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Waits, but not beyond the next deadline.
    fn wait(&mut self, interest: Interest) -> Result<(), Error> {
        self.check_cancel()?;
        self.check_evicted()?;
        let now = self.now();
        match interest {
            Interest::Write => self.exchange.handle_write_blocked(now),
            Interest::Read | Interest::Both => self.exchange.handle_read_blocked(now),
        }
        if let Some(timeout) = self.exchange.handle_timeout(now) {
            return Err(timeout.into());
        }
        let left = self.exchange.poll_timeout().map(|at| at.saturating_sub(now));
        match (self.socket)(&self.io) {
            Some(socket) => socket.wait(interest, left, self.cancel.as_deref())?,
            None => pause(left),
        }
        self.check_evicted()?;
        self.check_cancel()
    }
}

impl<IO: Read + Write> Connection<IO> {
    /// Waits for the next piece of the request.
    ///
    /// Yields the head once, then body chunks as they arrive, then [`RequestEvent::End`], then
    /// `None`. `None` at once means that the front server closed without sending anything, as
    /// Apache does on some errors of its client.
    ///
    /// # Errors
    /// [`Error::Decode`] or [`Error::Timeout`]: the reply to that is ready, and
    /// [`finish`](Self::finish) sends it. [`Error::Io`]: the stream failed.
    pub fn next_event(&mut self) -> Result<Option<RequestEvent>, Error> {
        self.wait_for_event().inspect_err(|error| {
            Trace::failed(error, self.peer.as_deref());
        })
    }

    fn wait_for_event(&mut self) -> Result<Option<RequestEvent>, Error> {
        let mut reads = 0;
        loop {
            // Of a body that flows, nothing is in the buffer.
            let chunk_limit = self.exchange.chunk_limit();
            if chunk_limit.is_none() {
                if let Some(event) = self.exchange.next_event()? {
                    self.begin_trace(&event);
                    return Ok(Some(event));
                }
                if self.exchange.is_request_over() {
                    return Ok(None);
                }
            }
            // Where reads wait by themselves, this is all that can be done about time.
            if reads > 0 {
                self.check_deadline()?;
            }
            if let Some(event) = self.read_once(chunk_limit)? {
                return Ok(Some(event));
            }
            reads += 1;
        }
    }

    /// Takes note of the head, if it is one.
    fn begin_trace(&mut self, event: &RequestEvent) {
        let RequestEvent::Head(head) = event else { return };
        self.trace = Some(Trace::begin(head, self.peer.as_deref()));
        if let Some(counted) = &mut self.counted {
            counted.keep();
            self.evictor = None;
        }
    }

    /// One read: to the event of a chunk of the body, or into the exchange.
    fn read_once(&mut self, chunk_limit: Option<usize>) -> Result<Option<RequestEvent>, Error> {
        loop {
            match self.read_at_once(chunk_limit) {
                Poll::Ready(Ok(Some(event))) => {
                    // A body that flows need never be waited for, where this is looked at else.
                    self.check_cancel()?;
                    self.check_deadline()?;
                    return Ok(Some(event));
                }
                Poll::Ready(Ok(None)) => return Ok(None),
                Poll::Pending if chunk_limit.is_some() && self.become_patient() => {}
                Poll::Pending => {
                    if self.exchange.body_remaining().is_some() {
                        // What is left of the buffer of a head may be large, and hold its memory.
                        self.exchange.release_buffer();
                    }
                    self.wait(Interest::Read)?;
                }
                Poll::Ready(Err(error)) => {
                    self.exchange.close();
                    return Err(error.into());
                }
            }
        }
    }

    /// From the first time that a body has to be waited for, or room for a reply, calls wait a
    /// moment themselves: one for each chunk instead of three. What takes longer is waited for as
    /// ever.
    fn become_patient(&mut self) -> bool {
        if self.is_patient.is_some() {
            return false;
        }
        let is_patient = (self.socket)(&self.io).is_some_and(<dyn Socket>::become_patient);
        self.is_patient = Some(is_patient);
        is_patient
    }

    fn read_at_once(
        &mut self,
        chunk_limit: Option<usize>,
    ) -> Poll<io::Result<Option<RequestEvent>>> {
        let Self { io, exchange, socket, is_patient, .. } = self;
        // Patience is for a body that flows; what else is read is waited for as ever.
        let is_patient = *is_patient == Some(true) && chunk_limit.is_some();
        read_once(exchange, chunk_limit, |buf| match socket(io) {
            Some(socket) if is_patient => socket.read_patiently(buf),
            _ => read_at_once(io, *socket, buf),
        })
    }

    /// Sends a piece of the response. The head is held back until the first chunk, the end, or
    /// [`flush`](Self::flush), so that they leave together.
    ///
    /// # Errors
    /// [`Error::Encode`] if the piece cannot be sent, or not now; nothing of it is.
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take it.
    pub fn send(&mut self, event: ResponseEvent) -> Result<(), Error> {
        self.exchange.send(event)?;
        self.write_pending()
    }

    /// Writes everything that was sent.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take it.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.exchange.flush();
        self.write_pending()
    }

    /// Writes what is to be written now.
    pub(crate) fn write_pending(&mut self) -> Result<(), Error> {
        if !self.exchange.wants_write() {
            return Ok(());
        }
        self.write_some()?;
        while self.exchange.wants_write() {
            // Where writes wait by themselves, this is all that can be done about time.
            self.check_deadline()?;
            self.write_some()?;
        }
        if let Err(error) = flush(&mut self.io, self.socket) {
            self.exchange.close();
            return Err(error.into());
        }
        Ok(())
    }

    /// One write, or a wait until there is room.
    fn write_some(&mut self) -> Result<(), Error> {
        self.check_cancel()?;
        let Self { io, exchange, socket, is_patient, .. } = self;
        if exchange.wants_no_delay() {
            if let Some(socket) = socket(io) {
                socket.send_at_once();
            }
        }
        let is_patient = *is_patient == Some(true);
        match write_some(io, *socket, is_patient, exchange.pending()) {
            Ok(Some(count)) => exchange.handle_written(count),
            Ok(None) if self.become_patient() => {}
            Ok(None) => self.wait(Interest::Write)?,
            Err(error) => {
                self.exchange.close();
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Ends the reply because the program failed: with `status` if nothing was written yet, else
    /// by breaking the connection. [`finish`](Self::finish) then sends it.
    pub fn fail(&mut self, status: Status) {
        self.exchange.fail(status);
    }

    pub(crate) fn program_failed(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.in_scope(|| Trace::program_failed(&self.exchange, error));
        self.fail(Status::INTERNAL_SERVER_ERROR);
    }

    pub(crate) fn program_panicked(&mut self, panic: &(dyn Any + Send)) {
        self.in_scope(|| Trace::panicked(panic));
        self.fail(Status::INTERNAL_SERVER_ERROR);
    }

    fn in_scope(&self, run: impl FnOnce()) {
        match &self.trace {
            Some(trace) => trace.in_scope(run),
            None => run(),
        }
    }

    /// Sends what is left of the reply and closes: at once after a wholly read request, else by
    /// shutting down the write side and reading the rest away, within bounds, as the reply is
    /// lost to a reset otherwise.
    ///
    /// A reply that was not ended is broken off.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take the reply.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.write_pending()?;
        loop {
            if self.exchange.is_closed() {
                return Ok(());
            }
            if self.exchange.wants_shutdown() {
                match (self.socket)(&self.io).map(<dyn Socket>::shutdown_write) {
                    Some(Ok(())) => {
                        let now = self.now();
                        self.exchange.handle_shutdown(now);
                    }
                    // The peer is gone already, or the stream has no side to shut down.
                    Some(Err(_)) | None => self.exchange.close(),
                }
            } else if self.exchange.is_reply_written() {
                // While draining, nobody is left to be told of a failure, and its deadline is
                // none: the reply was sent. Either closes the exchange.
                if self.check_deadline().and_then(|()| self.read_once(None)).is_err() {
                    self.exchange.close();
                }
            } else {
                self.exchange.abort();
            }
        }
    }
}

impl<IO> Drop for Connection<IO> {
    fn drop(&mut self) {
        if let Some(trace) = &self.trace {
            trace.finish(&self.exchange);
        }
        if let Some(counted) = &self.counted {
            counted.finish(&self.exchange);
            // Fails where the thread itself is ending.
            let _ = MEMORY.try_with(|memory| memory.set(self.exchange.take_memory()));
        }
        if self.exchange.wants_reset() {
            if let Some(socket) = (self.socket)(&self.io) {
                socket.reset_on_close();
            }
        }
    }
}

impl<IO: fmt::Debug> fmt::Debug for Connection<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("io", &self.io)
            .field("exchange", &self.exchange)
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// What a server's connection leaves to the next one of its thread.
    static MEMORY: Cell<Buffers> = Cell::default();
}

/// A read that does not wait on a socket; pending if it would have to.
pub(crate) fn read_at_once<IO: Read>(
    io: &mut IO,
    socket: AsSocket<IO>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    if let Some(socket) = socket(io) {
        return socket.read_at_once(buf);
    }
    poll(at_once(|| io.read(buf)))
}

/// One write of two slices, which on a socket does not wait, or a moment if it is patient; `None` if
/// it would have to.
#[inline]
pub(crate) fn write_some<IO: Write>(
    io: &mut IO,
    socket: AsSocket<IO>,
    is_patient: bool,
    (first, second): (&[u8], &[u8]),
) -> io::Result<Option<usize>> {
    let (first, second) = if first.is_empty() { (second, first) } else { (first, second) };
    let written = match socket(io) {
        Some(socket) if is_patient => socket.write_patiently((first, second)),
        Some(socket) => socket.write_at_once((first, second)),
        None if second.is_empty() => at_once(|| io.write(first)),
        None => at_once(|| io.write_vectored(&[IoSlice::new(first), IoSlice::new(second)])),
    };
    match written {
        Ok(Some(0)) => Err(ErrorKind::WriteZero.into()),
        written => written,
    }
}

/// Lets a stream that is no socket pass on what it may hold back.
pub(crate) fn flush<IO: Write>(io: &mut IO, socket: AsSocket<IO>) -> io::Result<()> {
    if socket(io).is_some() {
        return Ok(());
    }
    loop {
        match io.flush() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_wait(&error) => pause(None),
            flushed => return flushed,
        }
    }
}

/// Repeats a call that was interrupted, and tells one that would wait.
fn at_once(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_wait(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Waits a moment for a stream that cannot be waited for, so that one in non-blocking mode does
/// not keep a processor busy.
pub(crate) fn pause(left: Option<Duration>) {
    let moment = Duration::from_millis(1);
    thread::sleep(left.map_or(moment, |left| left.min(moment)));
}

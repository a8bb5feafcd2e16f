//! The server side of one connection, piece by piece.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures_io::{AsyncRead, AsyncWrite};
use scgi_proto::trace::Trace;
use scgi_proto::{
    Config, Counted, Error, Exchange, Peer, RequestEvent, ResponseEvent, Status, Timeout,
};

/// The server side of one connection: request events come out, response events go in.
///
/// The deadlines of [`Config`] hold if there is a timer ([`with_timer`](Self::with_timer));
/// without one, nothing ends a wait. [`serve_connection`](crate::serve_connection) is built on
/// this.
///
/// # Examples
/// ```
/// use scgi_async_std::{Config, Connection, RequestEvent, ResponseEvent, ResponseHead, Status};
///
/// async fn answer<S>(stream: S) -> Result<(), scgi_async_std::Error>
/// where
///     S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin,
/// {
///     let mut connection = Connection::new(stream, &Config::default());
///     while let Some(event) = connection.next_event().await? {
///         if event == RequestEvent::End {
///             break;
///         }
///     }
///     connection.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).await?;
///     connection.send(ResponseEvent::Body("hello".into())).await?;
///     connection.send(ResponseEvent::End).await?;
///     connection.finish().await
/// }
/// ```
pub struct Connection<IO> {
    io: IO,
    exchange: Exchange,
    /// The zero of the exchange's time.
    start: Instant,
    timer: Option<Timer>,
    /// Made when something first has to wait, and when a deadline comes closer.
    sleep: Option<(Instant, Sleep)>,
    counted: Option<Counted>,
    /// Boxed, as few servers ask.
    peer: Option<Box<Peer>>,
    trace: Option<Trace>,
}

/// Makes a future that is ready at a given time: what a runtime has for waiting.
///
/// `async_io::Timer::at`, boxed, is one; `serve` on smol and async-std uses it.
pub type Timer = fn(Instant) -> Sleep;

/// A wait that a [`Timer`] made.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<IO> Connection<IO> {
    /// The server side of a connection that was just accepted, without a timer.
    pub fn new(io: IO, config: &Config) -> Self {
        let exchange = Exchange::new(config, Duration::ZERO);
        let start = Instant::now();
        Self {
            io,
            exchange,
            start,
            timer: None,
            sleep: None,
            counted: None,
            peer: None,
            trace: None,
        }
    }

    /// Enforces the deadlines with the runtime's timer.
    #[must_use]
    pub fn with_timer(mut self, timer: Timer) -> Self {
        self.timer = Some(timer);
        self
    }

    /// One that was accepted a while ago and of which some bytes have come.
    #[cfg(feature = "net")]
    pub(crate) fn received(
        io: IO,
        config: &Config,
        accepted: Instant,
        bytes: BytesMut,
        counted: Counted,
        peer: Option<Box<Peer>>,
    ) -> Self {
        let mut exchange = Exchange::new(config, Duration::ZERO);
        exchange.receive(bytes);
        let counted = Some(counted);
        Self { io, exchange, start: accepted, timer: None, sleep: None, counted, peer, trace: None }
    }

    pub(crate) fn exchange(&mut self) -> &mut Exchange {
        &mut self.exchange
    }

    pub(crate) fn peer(&self) -> Option<Peer> {
        self.peer.as_deref().copied()
    }

    /// Runs a part of the handler, within the span of its request.
    pub(crate) fn in_scope<T>(&self, run: impl FnOnce() -> T) -> T {
        match &self.trace {
            Some(trace) => trace.in_scope(run),
            None => run(),
        }
    }

    /// Ready if the server needs the place of a connection whose head has not come.
    fn poll_evicted(&mut self, cx: &Context<'_>) -> Poll<()> {
        match &mut self.counted {
            Some(counted) if self.exchange.body_remaining().is_none() => counted.poll_evicted(cx),
            _ => Poll::Pending,
        }
    }

    pub(crate) fn io(&self) -> &IO {
        &self.io
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Ready when a deadline has passed, after the exchange has acted on it.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Timeout> {
        loop {
            let (Some(timer), Some(deadline)) = (self.timer, self.exchange.poll_timeout()) else {
                return Poll::Pending;
            };
            let Some(at) = self.start.checked_add(deadline) else { return Poll::Pending };
            // A deadline that moved later is looked at when the old one comes: bytes do not
            // move the timer.
            let (_, sleep) = match &mut self.sleep {
                Some(sleep) if sleep.0 <= at => sleep,
                sleep => sleep.insert((at, timer(at))),
            };
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
            if let Some(timeout) = self.exchange.handle_timeout(self.start.elapsed()) {
                return Poll::Ready(timeout);
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

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Waits for the next piece of the request.
    ///
    /// Yields the head once, then body chunks as they arrive, then [`RequestEvent::End`], then
    /// `None`. `None` at once means that the front server closed without sending anything, as
    /// Apache does on some errors of its client.
    ///
    /// # Errors
    /// [`Error::Decode`] or [`Error::Timeout`]: the reply to that is ready, and
    /// [`finish`](Self::finish) sends it. [`Error::Io`]: the stream failed.
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the connection.
    pub async fn next_event(&mut self) -> Result<Option<RequestEvent>, Error> {
        poll_fn(|cx| self.poll_next_event(cx)).await
    }

    /// As [`next_event`](Self::next_event), to be polled.
    pub fn poll_next_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<RequestEvent>, Error>> {
        let event = self.poll_event(cx);
        if let Poll::Ready(Err(error)) = &event {
            self.in_scope(|| Trace::failed(error, self.peer.as_deref()));
        }
        event
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RequestEvent>, Error>> {
        loop {
            if let Some(event) = self.exchange.next_event()? {
                if let RequestEvent::Head(head) = &event {
                    self.trace = Some(Trace::begin(head, self.peer.as_deref()));
                    if let Some(counted) = &mut self.counted {
                        counted.keep();
                    }
                }
                return Poll::Ready(Ok(Some(event)));
            }
            if self.exchange.is_request_over() {
                return Poll::Ready(Ok(None));
            }
            if self.poll_fill(cx)?.is_pending() {
                if self.poll_evicted(cx).is_ready() {
                    self.exchange.close();
                    return Poll::Ready(Err(Error::Closed));
                }
                let now = self.now();
                self.exchange.wait_for_read(now);
                let timeout = ready!(self.poll_deadline(cx));
                return Poll::Ready(Err(timeout.into()));
            }
        }
    }

    /// One read into the exchange, which holds no spare room while it waits.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let read = if self.exchange.body_remaining().is_none() {
            let read = poll_read_shared(&mut self.io, cx);
            read.map_ok(|bytes| {
                let eof = bytes.is_empty();
                self.exchange.receive(bytes);
                if eof {
                    self.exchange.handle_read(0);
                }
            })
        } else {
            // Chunks of a body are read to where they stay.
            let read = Pin::new(&mut self.io).poll_read(cx, self.exchange.unfilled());
            read.map_ok(|count| self.exchange.handle_read(count))
        };
        match &read {
            Poll::Pending => self.exchange.release_buffer(),
            // A signal came: nothing was read, and the caller reads again.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                self.exchange.release_buffer();
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Err(_)) => self.exchange.close(),
            Poll::Ready(Ok(())) => {}
        }
        read
    }

    /// Sends a piece of the response. The head is held back until the first chunk, the end, or
    /// [`flush`](Self::flush), so that they leave together.
    ///
    /// # Errors
    /// [`Error::Encode`] if the piece cannot be sent, or not now; nothing of it is.
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take it.
    ///
    /// # Cancel safety
    /// The piece is taken at the first poll and stays in the connection: a later
    /// [`flush`](Self::flush) or [`finish`](Self::finish) goes on with it. Do not send it again.
    pub async fn send(&mut self, event: ResponseEvent) -> Result<(), Error> {
        self.exchange.send(event)?;
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Writes everything that was sent.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take it.
    ///
    /// # Cancel safety
    /// Safe: what is not written stays in the connection.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.exchange.flush();
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Writes what is to be written now.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.exchange.wants_write() {
            match poll_write(&mut self.io, cx, self.exchange.pending()) {
                Poll::Ready(Ok(count)) => self.exchange.handle_written(count),
                Poll::Ready(Err(error)) => {
                    self.exchange.close();
                    return Poll::Ready(Err(error.into()));
                }
                Poll::Pending => {
                    let now = self.now();
                    self.exchange.wait_for_write(now);
                    let timeout = ready!(self.poll_deadline(cx));
                    return Poll::Ready(Err(timeout.into()));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the reply because the program failed: with `status` if nothing was written yet, else
    /// by breaking the connection. [`finish`](Self::finish) then sends it.
    pub fn fail(&mut self, status: Status) {
        self.exchange.fail(status);
    }

    /// Sends what is left of the reply and closes: at once after a wholly read request, else by
    /// shutting down the write side and reading the rest away, within bounds, as the reply is
    /// lost to a reset otherwise.
    ///
    /// A reply that was not ended is broken off.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take the reply.
    ///
    /// # Cancel safety
    /// Safe: a later call goes on.
    pub async fn finish(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    /// As [`finish`](Self::finish), to be polled.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_flush(cx))?;
        loop {
            if self.exchange.is_closed() {
                return Pin::new(&mut self.io).poll_flush(cx).map_err(Error::Io);
            }
            if self.exchange.wants_shutdown() {
                match ready!(Pin::new(&mut self.io).poll_close(cx)) {
                    Ok(()) => {
                        let now = self.now();
                        self.exchange.handle_shutdown(now);
                    }
                    // The peer is gone already, with or without the reply.
                    Err(_) => self.exchange.close(),
                }
            } else if self.exchange.is_reply_written() {
                match self.poll_fill(cx) {
                    // While draining, nobody is left to be told of a failure.
                    Poll::Ready(_) => {}
                    Poll::Pending if self.poll_evicted(cx).is_ready() => self.exchange.close(),
                    Poll::Pending => {
                        // The drain's deadline is no error: the reply was sent.
                        ready!(self.poll_deadline(cx));
                    }
                }
            } else {
                self.exchange.abort();
            }
        }
    }

    /// While the program works: whether the peer has closed or broken the connection.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        while self.exchange.may_watch() {
            match ready!(self.poll_fill(cx)) {
                Ok(()) => {}
                Err(error) => return Poll::Ready(error.into()),
            }
        }
        if self.exchange.is_peer_gone() {
            self.exchange.abort();
            return Poll::Ready(Error::Closed);
        }
        Poll::Pending
    }

    /// While the program works: the deadline of the whole request.
    pub(crate) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Timeout> {
        self.poll_deadline(cx)
    }
}

impl<IO> Drop for Connection<IO> {
    fn drop(&mut self) {
        if let Some(trace) = &self.trace {
            trace.finish(&self.exchange);
        }
        if let Some(counted) = &self.counted {
            counted.finish(&self.exchange);
        }
    }
}

/// Heads are read into memory that all connections of a thread share, and only what came is
/// kept: one that waits holds no more than it got.
const SHARED_READ: usize = 16 * 1024;

thread_local! {
    static SHARED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Gives `read` the shared memory and returns what it read: empty at the end of input.
pub(crate) fn with_shared<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    // Taken out, so that a stream may itself be built on a connection.
    let mut buf = SHARED.take();
    buf.resize(SHARED_READ, 0);
    let result = read(&mut buf);
    SHARED.set(buf);
    result
}

fn poll_read_shared<IO: AsyncRead + Unpin>(
    io: &mut IO,
    cx: &mut Context<'_>,
) -> Poll<io::Result<BytesMut>> {
    with_shared(|buf| {
        let count = ready!(Pin::new(io).poll_read(cx, buf))?;
        Poll::Ready(Ok(BytesMut::from(&buf[..count])))
    })
}

/// One write of two slices.
pub(crate) fn poll_write<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    cx: &mut Context<'_>,
    (first, second): (&[u8], &[u8]),
) -> Poll<io::Result<usize>> {
    loop {
        let io = Pin::new(&mut *io);
        let written = if second.is_empty() {
            io.poll_write(cx, first)
        } else if first.is_empty() {
            io.poll_write(cx, second)
        } else {
            io.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(second)])
        };
        match ready!(written) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return Poll::Ready(written),
        }
    }
}

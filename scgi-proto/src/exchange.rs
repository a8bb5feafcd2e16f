//! The life of a connection on the server side, without I/O and without a clock.

use core::time::Duration;

use alloc::format;
use alloc::string::ToString;

use bytes::{Bytes, BytesMut};

use crate::config::Config;
use crate::decode::RequestDecoder;
use crate::encode::ResponseEncoder;
use crate::error::{DecodeError, EncodeError, Timeout};
use crate::event::{RequestEvent, ResponseEvent};
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::receiver::Receiver;
use crate::response::{ResponseHead, Status};

/// One request and its reply on one connection, as a machine: bytes, events and the time go in;
/// events, bytes to write, and what to do with the stream come out.
///
/// Every rule of a connection's life is here: the reply to a malformed or late request, whether
/// a reply may still start, each deadline, and how to close so that the reply is not lost. An
/// adapter moves bytes and sleeps:
///
/// - [`wants_read`](Self::wants_read): read into [`buffer_mut`](Self::buffer_mut) or
///   [`unfilled`](Self::unfilled), then [`handle_read`](Self::handle_read);
/// - [`wants_write`](Self::wants_write): write [`pending`](Self::pending), after a look at
///   [`wants_no_delay`](Self::wants_no_delay), then [`handle_written`](Self::handle_written);
/// - [`wants_shutdown`](Self::wants_shutdown): shut down the write side, then
///   [`handle_shutdown`](Self::handle_shutdown);
/// - [`is_closed`](Self::is_closed): drop the stream;
/// - [`poll_timeout`](Self::poll_timeout): when that time has come,
///   [`handle_timeout`](Self::handle_timeout).
///
/// Time is a [`Duration`] since any moment the adapter likes, the same for all calls.
///
/// # Examples
/// ```
/// use core::time::Duration;
/// use scgi_proto::{Config, Exchange, RequestEvent, ResponseEvent, ResponseHead, Status};
///
/// let now = Duration::ZERO;
/// let mut exchange = Exchange::new(&Config::default(), now);
/// exchange.buffer_mut().extend_from_slice(b"0:,");
/// exchange.handle_read(3);
/// assert!(matches!(exchange.next_event()?, Some(RequestEvent::Head(_))));
///
/// exchange.send(ResponseEvent::Head(ResponseHead::new(Status::NO_CONTENT)))?;
/// exchange.send(ResponseEvent::End)?;
/// assert!(exchange.wants_write());
/// let written = exchange.pending().0.len();
/// exchange.handle_written(written);
/// assert!(exchange.is_closed()); // the request was wholly read: close at once
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Exchange {
    receiver: Receiver<RequestDecoder>,
    encoder: ResponseEncoder,
    /// Bytes of the reply that are not written yet.
    outbox: Outbox,
    timeouts: Timeouts,
    deadlines: Deadlines,
    phase: Phase,
    reply: Reply,
    head_seen: bool,
    /// The request ended with an error, which was answered.
    refused: bool,
    /// The status of a reply that took the place of the program's.
    refusal: Option<Status>,
    /// The status of the reply that was sent last.
    status: Option<Status>,
    is_head_request: bool,
    /// More bytes than the body are on their way (nginx without request buffering).
    expects_surplus: bool,
    /// The program goes on although the peer is gone.
    run_on: bool,
    flush: bool,
    received: u64,
    sent: u64,
}

#[derive(Debug, Clone, Copy)]
struct Timeouts {
    body: Nanos,
    write: Nanos,
    drain: Nanos,
    /// Bytes that may still be read away.
    drain_limit: u64,
}

/// When each wait ends; never, while nothing is waited for.
#[derive(Debug, Clone, Copy)]
struct Deadlines {
    /// Of the head, then of what is waited for of the body, then of draining.
    input: Nanos,
    write: Nanos,
    request: Nanos,
}

/// A time in half the room of a `Duration`, as each connection that waits keeps several of them:
/// the largest, half a thousand years, is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Nanos(u64);

impl Nanos {
    const NEVER: Self = Self(u64::MAX);

    fn new(time: Duration) -> Self {
        Self(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    fn after(self, now: Duration) -> Self {
        Self(self.0.saturating_add(Self::new(now).0))
    }

    fn is_set(self) -> bool {
        self != Self::NEVER
    }

    fn has_passed(self, now: Duration) -> bool {
        self.is_set() && self <= Self::new(now)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The reply is written; the write side has to be shut down, then input read away.
    Shutdown,
    Drain,
    Closed {
        reset: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    None,
    Open,
    /// Still open, and the stream was told to send each piece at once.
    Piecewise,
    Ended,
}

impl Exchange {
    /// A connection that was accepted at `now`.
    #[must_use]
    pub fn new(config: &Config, now: Duration) -> Self {
        Self {
            receiver: Receiver::new(RequestDecoder::new(config.limits, config.policy)),
            encoder: ResponseEncoder::default(),
            outbox: Outbox::default(),
            timeouts: Timeouts {
                body: Nanos::new(config.body_timeout),
                write: Nanos::new(config.write_timeout),
                drain: Nanos::new(config.drain_timeout),
                drain_limit: config.drain_limit,
            },
            deadlines: Deadlines {
                input: Nanos::new(config.head_timeout).after(now),
                write: Nanos::NEVER,
                request: Nanos::new(config.request_timeout).after(now),
            },
            phase: Phase::Open,
            reply: Reply::None,
            head_seen: false,
            refused: false,
            refusal: None,
            status: None,
            is_head_request: false,
            expects_surplus: false,
            run_on: config.run_on,
            flush: false,
            received: 0,
            sent: 0,
        }
    }

    /// The next piece of the request from what has arrived. `None`: read more, unless
    /// [`is_request_over`](Self::is_request_over).
    ///
    /// # Errors
    /// If the request is malformed or cut. Unless the reply has begun, the answer to it (400,
    /// 413 or 431) is now pending and ends the reply.
    pub fn next_event(&mut self) -> Result<Option<RequestEvent>, DecodeError> {
        let event = self.receiver.next_event().inspect_err(|error| {
            if !self.refused {
                self.refused = true;
                self.deadlines.input = Nanos::NEVER;
                self.refuse(error.status_hint(), error);
            }
        })?;
        if let Some(RequestEvent::Head(head)) = &event {
            self.head_seen = true;
            self.deadlines.input = Nanos::NEVER;
            self.is_head_request = head.method() == Some(b"HEAD");
            self.expects_surplus = head.lengths_disagree();
        }
        Ok(event)
    }

    /// Whether no event will follow: the request ended, or its input did.
    #[must_use]
    pub fn is_request_over(&self) -> bool {
        self.refused || self.receiver.is_finished() || self.phase != Phase::Open
    }

    /// Whether a read should be tried: the request is not over, or its rest has to be read away.
    /// While the handler works, read only as it asks for the body.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match self.phase {
            Phase::Open => !self.is_request_over(),
            Phase::Drain => true,
            Phase::Shutdown | Phase::Closed { .. } => false,
        }
    }

    /// Whether the peer closed while the handler still works, which then works for nobody; see
    /// [`Config::with_run_on`].
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.phase == Phase::Open
            && !self.run_on
            && !self.refused
            && self.receiver.is_eof()
            && self.body_remaining() == Some(0)
    }

    /// Whether, while the handler works, a read may be tried only to learn that the peer is gone:
    /// the request was read, and its input has not ended.
    #[must_use]
    pub fn may_watch(&self) -> bool {
        self.phase == Phase::Open
            && !self.run_on
            && !self.receiver.is_eof()
            && !self.refused
            && self.body_remaining() == Some(0)
    }

    /// The read buffer, to append to; see [`Receiver::buffer_mut`].
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        self.receiver.buffer_mut()
    }

    /// Room for a read; see [`Receiver::unfilled`].
    pub fn unfilled(&mut self) -> &mut [u8] {
        self.receiver.unfilled()
    }

    /// Reports a read of `count` bytes; 0 is the end of input.
    ///
    /// # Panics
    /// If `count` is more than the room that was lent.
    pub fn handle_read(&mut self, count: usize) {
        self.receiver.advance(count);
        self.input_came(count);
    }

    /// Takes note of bytes that have come; none are the end of input.
    fn input_came(&mut self, count: usize) {
        self.received += count as u64;
        if self.phase == Phase::Open && self.head_seen {
            self.deadlines.input = Nanos::NEVER;
        }
        self.drain(count);
    }

    /// Throws away what was read, if nothing else is read for.
    fn drain(&mut self, count: usize) {
        if self.phase != Phase::Drain {
            return;
        }
        self.receiver.discard();
        match self.timeouts.drain_limit.checked_sub(count as u64) {
            Some(left) if count > 0 => self.timeouts.drain_limit = left,
            _ => self.close(),
        }
    }

    /// Frees what a connection that waits for its peer or its program need not hold: the room
    /// lent for a read, if nothing has been read into it, and that of a reply that is written.
    pub fn release_buffer(&mut self) {
        self.receiver.release();
        if self.sent > 0 {
            self.outbox.release();
        }
    }

    /// Takes bytes that were read elsewhere, as by a first read before the connection was given
    /// any memory; they are not copied if they are the first.
    pub fn receive(&mut self, bytes: BytesMut) {
        let count = bytes.len();
        self.receiver.receive(bytes);
        if count > 0 {
            self.input_came(count);
        }
    }

    /// Takes a copy of bytes that were read elsewhere; none are the end of input.
    pub fn receive_slice(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.handle_read(0);
            return;
        }
        self.receiver.receive_slice(bytes);
        self.input_came(bytes.len());
    }

    /// At most how many bytes of body the next read may take past the buffer; see
    /// [`Receiver::chunk_limit`]. `None` too if nobody waits for them.
    #[must_use]
    pub fn chunk_limit(&self) -> Option<usize> {
        if self.is_request_over() { None } else { self.receiver.chunk_limit() }
    }

    /// Takes what was read past the buffer, and gives its event; see
    /// [`Receiver::receive_chunk`]. If nobody waits for it any more, it is taken as by
    /// [`receive_slice`](Self::receive_slice).
    pub fn receive_chunk(&mut self, read: Bytes) -> Option<RequestEvent> {
        if self.is_request_over() {
            self.receive_slice(&read);
            return None;
        }
        self.input_came(read.len());
        self.receiver.receive_chunk(read)
    }

    /// Gives this exchange the memory of one that has ended, before anything is read.
    pub fn give_memory(&mut self, mut memory: Memory) {
        self.receiver.give_buffer(memory.input());
        self.outbox.out = memory.output;
    }

    /// Takes the memory back when the exchange has ended; it must not be used any more.
    pub fn take_memory(&mut self) -> Memory {
        Memory::new(self.receiver.take_buffer(), core::mem::take(&mut self.outbox.out))
    }

    /// Takes body bytes that have arrived straight to `dst`; see [`Receiver::read_body`].
    pub fn read_body(&mut self, dst: &mut [u8]) -> usize {
        self.receiver.read_body(dst)
    }

    /// Bytes of body still to come; `None` before the head.
    #[must_use]
    pub fn body_remaining(&self) -> Option<u64> {
        self.receiver.decoder().body_remaining()
    }

    /// Says that a read has to wait, which starts the deadline of the body if it is one.
    pub fn wait_for_read(&mut self, now: Duration) {
        if self.head_seen && !self.deadlines.input.is_set() && self.phase == Phase::Open {
            self.deadlines.input = self.timeouts.body.after(now);
        }
    }

    /// Whether a read of the body has to wait, under its deadline.
    #[cfg(feature = "std")]
    pub(crate) fn waits_for_body(&self) -> bool {
        self.head_seen && self.phase == Phase::Open && self.deadlines.input.is_set()
    }

    /// Says that the program wants no more of the body, which ends the deadline of a read that had
    /// to wait for it.
    pub fn wait_for_no_body(&mut self) {
        if self.phase == Phase::Open && self.head_seen {
            self.deadlines.input = Nanos::NEVER;
        }
    }

    /// Queues a piece of the reply. The head waits for the first chunk, so that both leave
    /// together, or for [`flush`](Self::flush).
    ///
    /// # Errors
    /// If the piece cannot be sent, or not now. Nothing of it is queued; answer with
    /// [`fail`](Self::fail).
    // Inlined, a chunk is not put into an event and taken out again.
    #[inline]
    pub fn send(&mut self, event: ResponseEvent) -> Result<(), EncodeError> {
        match event {
            ResponseEvent::Head(head) => self.send_head(&head),
            ResponseEvent::Body(chunk) => self.send_body(chunk),
            ResponseEvent::End => self.send_end(),
        }
    }

    fn send_head(&mut self, head: &ResponseHead) -> Result<(), EncodeError> {
        if !self.head_seen {
            return Err(EncodeError::HeadMissing);
        }
        if self.reply != Reply::None || self.phase != Phase::Open {
            return Err(EncodeError::AlreadySent);
        }
        if self.is_head_request {
            self.encoder = ResponseEncoder::default().for_head_request();
        }
        self.outbox.out.reserve(512);
        self.encoder.head(head, &mut self.outbox.out)?;
        self.status = Some(head.status());
        self.reply = Reply::Open;
        Ok(())
    }

    #[inline]
    fn send_body(&mut self, chunk: Bytes) -> Result<(), EncodeError> {
        self.check_open()?;
        self.encoder.body(chunk.len())?;
        if self.is_head_request || chunk.is_empty() {
            return Ok(());
        }
        self.flush = true;
        self.outbox.push(chunk);
        Ok(())
    }

    /// Nothing comes behind the end, nor behind a reply that took the place of the program's.
    fn check_open(&self) -> Result<(), EncodeError> {
        if self.reply == Reply::Ended { Err(EncodeError::AlreadySent) } else { Ok(()) }
    }

    fn send_end(&mut self) -> Result<(), EncodeError> {
        self.check_open()?;
        self.encoder.finish()?;
        self.reply = Reply::Ended;
        self.flush = true;
        self.settle();
        Ok(())
    }

    /// Lets the queued head leave although no chunk has come.
    pub fn flush(&mut self) {
        self.flush = true;
    }

    /// Whether nothing of the reply has been written yet, so that another can take its place.
    #[must_use]
    pub fn can_replace_reply(&self) -> bool {
        self.sent == 0 && self.phase == Phase::Open
    }

    /// Ends the reply because the program failed: with `status` if nothing was written yet, else
    /// by breaking the connection, so that no front server takes what it got for complete.
    ///
    /// A request that was refused already keeps its reply: that the program fails on one whose
    /// body was cut or late is the peer's fault.
    pub fn fail(&mut self, status: Status) {
        if self.refusal.is_none() {
            self.refuse(status, &"the request could not be answered");
        }
    }

    fn refuse(&mut self, status: Status, reason: &dyn core::fmt::Display) {
        if self.phase != Phase::Open || (self.reply == Reply::Ended && self.sent > 0) {
            return;
        }
        if !self.can_replace_reply() {
            self.abort();
            return;
        }
        self.refusal = Some(status);
        self.status = Some(status);
        self.outbox.clear();
        self.encoder = ResponseEncoder::default();
        let text = format!("{status}\n{reason}\n");
        let head = ResponseHead::new(status)
            .with_field("Content-Type", "text/plain; charset=utf-8")
            .with_field("Content-Length", text.len().to_string());
        // Both are made of what is legal; an error here would be a bug of this function.
        let sent = self.encoder.head(&head, &mut self.outbox.out).is_ok();
        debug_assert!(sent, "the reply to a bad request is legal");
        if !self.is_head_request {
            self.outbox.out.extend_from_slice(text.as_bytes());
        }
        self.reply = Reply::Ended;
        self.flush = true;
    }

    /// Whether there are bytes to write now.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.flush && !matches!(self.phase, Phase::Closed { .. }) && !self.outbox.is_empty()
    }

    /// Whether the stream has to be told, before the next write, to send each piece at once
    /// (TCP_NODELAY): a part of the reply has left, and more follows. True once.
    ///
    /// Without that, the end of each piece waits until the peer has acknowledged the one before.
    pub fn wants_no_delay(&mut self) -> bool {
        let wants = self.reply == Reply::Open && self.sent > 0;
        if wants {
            self.reply = Reply::Piecewise;
        }
        wants
    }

    /// Whether what is pending should be written before the next chunk, even if that is there
    /// already. Small chunks are gathered up to 16 KiB, as each write costs more than their bytes.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outbox.is_full()
    }

    /// The bytes to write, in two slices, for one vectored write.
    #[must_use]
    pub fn pending(&self) -> (&[u8], &[u8]) {
        self.outbox.pending()
    }

    /// Reports that the first `count` of the pending bytes were written.
    ///
    /// # Panics
    /// If `count` is more than is pending.
    #[inline]
    pub fn handle_written(&mut self, count: usize) {
        self.deadlines.write = Nanos::NEVER;
        if count > 0 {
            self.written(count);
        }
    }

    fn written(&mut self, count: usize) {
        self.sent += count as u64;
        self.outbox.advance(count);
        if self.outbox.is_empty() {
            self.flush = false;
            self.settle();
        }
    }

    /// Says that a write has to wait, which starts its deadline.
    pub fn wait_for_write(&mut self, now: Duration) {
        if !self.deadlines.write.is_set() {
            self.deadlines.write = self.timeouts.write.after(now);
        }
    }

    /// Chooses how to close, once the reply is written.
    fn settle(&mut self) {
        if self.reply != Reply::Ended || self.phase != Phase::Open || !self.outbox.is_empty() {
            return;
        }
        if self.is_wholly_read() { self.close() } else { self.phase = Phase::Shutdown }
    }

    /// Whether no byte of the request can be unread: then closing cannot reset the connection.
    fn is_wholly_read(&self) -> bool {
        let decoder = self.receiver.decoder();
        if self.receiver.is_eof() {
            return true;
        }
        // Bytes after the body were seen, so more may follow.
        let surplus = decoder.surplus() > 0 || self.expects_surplus;
        !surplus && decoder.body_remaining() == Some(self.receiver.buffered() as u64)
    }

    /// Whether the write side has to be shut down now.
    #[must_use]
    pub fn wants_shutdown(&self) -> bool {
        self.phase == Phase::Shutdown
    }

    /// Reports that the write side was shut down at `now`; input is read away from here on.
    pub fn handle_shutdown(&mut self, now: Duration) {
        if self.phase == Phase::Shutdown {
            self.receiver.discard();
            self.phase = Phase::Drain;
            let input = self.timeouts.drain.after(now);
            self.deadlines = Deadlines { input, write: Nanos::NEVER, request: Nanos::NEVER };
        }
    }

    /// Gives up the connection: it is closed from here on, without a reply.
    pub fn close(&mut self) {
        self.end(false);
    }

    /// Breaks the connection, so that the peer sees the reply as cut.
    pub fn abort(&mut self) {
        self.end(true);
    }

    fn end(&mut self, reset: bool) {
        if !self.is_closed() {
            self.phase = Phase::Closed { reset };
            self.deadlines.write = Nanos::NEVER;
        }
    }

    /// Whether the stream has to be dropped now.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    /// Whether the stream has to be reset when it is dropped now (SO_LINGER 0 on TCP), so that the
    /// peer sees the reply as cut.
    #[must_use]
    pub fn wants_reset(&self) -> bool {
        match self.phase {
            Phase::Closed { reset } => reset,
            Phase::Open => self.sent > 0,
            Phase::Shutdown | Phase::Drain => false,
        }
    }

    /// Whether the whole reply has been written.
    #[must_use]
    pub fn is_reply_written(&self) -> bool {
        self.reply == Reply::Ended && self.outbox.is_empty()
    }

    /// The status of the reply that this machine gave by itself, if it did.
    #[must_use]
    pub fn refusal(&self) -> Option<Status> {
        self.refusal
    }

    /// The status of the reply, once it has a head.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// Bytes received and sent so far.
    #[must_use]
    pub fn traffic(&self) -> (u64, u64) {
        (self.received, self.sent)
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let next = self.next_deadline();
        next.is_set().then(|| Duration::from_nanos(next.0))
    }

    #[inline]
    fn next_deadline(&self) -> Nanos {
        let Deadlines { input, write, request } = self.deadlines;
        match self.phase {
            Phase::Open => input.min(write).min(request),
            Phase::Drain => input,
            // A stream may still hold back the end of the reply.
            Phase::Shutdown | Phase::Closed { .. } => write,
        }
    }

    /// As [`handle_timeout`](Self::handle_timeout), for where nothing has to wait and no timer
    /// tells. The time is asked only if there is a deadline, as it is not for free.
    #[inline]
    pub fn check_timeout(&mut self, now: impl FnOnce() -> Duration) -> Option<Timeout> {
        if self.next_deadline().is_set() { self.handle_timeout(now()) } else { None }
    }

    /// Acts on deadlines that have passed at `now`, and says which.
    ///
    /// A late head or body is answered with 408 while a reply can still start, and with silence
    /// if the peer never sent a byte; a request that takes too long with 503. Otherwise the
    /// connection breaks.
    pub fn handle_timeout(&mut self, now: Duration) -> Option<Timeout> {
        let passed = |deadline: Nanos| deadline.has_passed(now);
        let Deadlines { input, write, request } = self.deadlines;
        if self.phase == Phase::Drain {
            return passed(input).then(|| {
                self.close();
                Timeout::Drain
            });
        }
        if passed(write) {
            self.phase = Phase::Closed { reset: true };
            self.deadlines.write = Nanos::NEVER;
            return Some(Timeout::Write);
        }
        if self.phase != Phase::Open {
            return None;
        }
        let timeout = match (passed(input), passed(request)) {
            (true, _) if self.head_seen => Timeout::Body,
            (true, _) => Timeout::Head,
            (_, true) => Timeout::Request,
            _ => return None,
        };
        self.deadlines = Deadlines { input: Nanos::NEVER, write, request: Nanos::NEVER };
        self.refused |= timeout != Timeout::Request;
        if self.received == 0 {
            self.close();
        } else if !self.can_replace_reply() {
            self.abort();
        } else if timeout == Timeout::Request {
            self.refuse(Status::SERVICE_UNAVAILABLE, &timeout);
        } else {
            self.refuse(Status::REQUEST_TIMEOUT, &timeout);
        }
        Some(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_freed_unless_something_is_in_it() {
        let new = || Exchange::new(&Config::default(), Duration::ZERO);
        let mut waiting = new();
        waiting.unfilled();
        waiting.release_buffer();
        assert_eq!(waiting.take_memory().input.capacity(), 0);
        let mut reading = new();
        reading.unfilled()[..2].copy_from_slice(b"24");
        reading.handle_read(2);
        reading.release_buffer();
        assert_ne!(reading.take_memory().input.capacity(), 0);

        let mut replying = new();
        replying.receive_slice(b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,");
        assert!(matches!(replying.next_event(), Ok(Some(RequestEvent::Head(_)))));
        let head = ResponseEvent::Head(ResponseHead::new(Status::OK));
        for event in [head, ResponseEvent::Body("an event".into())] {
            replying.send(event).expect("legal");
            replying.release_buffer();
        }
        assert!(replying.pending().0.ends_with(b"an event"));
        replying.handle_written(replying.pending().0.len());
        replying.release_buffer();
        assert_eq!(replying.take_memory().output.capacity(), 0);
    }
}

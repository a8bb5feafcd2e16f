//! The server's side of a connection as a state machine, without I/O and without a clock.

pub(crate) mod config;
pub(crate) mod deadlines;
pub(crate) mod flow;
mod pace;
mod response;
mod state;
mod timers;
mod upgrade;

use core::time::Duration;

use bytes::{Bytes, BytesMut};

use self::config::ConnectionConfig;
use self::pace::Pace;
use self::state::{BodyUse, Phase, ResponseState, Upgrade};
use self::timers::{Deadlines, Timeouts};
use crate::exchange::buffers::Buffers;
use crate::exchange::decode_buffer::DecodeBuffer;
use crate::exchange::nanos::Nanos;
use crate::exchange::write_buffer::WriteBuffer;
use crate::wire::decode::RequestDecoder;
use crate::wire::encode::ResponseEncoder;
use crate::wire::error::DecodeError;
use crate::wire::event::RequestEvent;
use crate::wire::response::Status;

/// One request and its response on one connection, as a machine: bytes, events and the time go in;
/// events, bytes to write, and what to do with the stream come out.
///
/// Every rule of a connection's life is here: the response to a malformed or late request, whether
/// a response may still start, each deadline, and how to close so that the response is not lost. An
/// adapter moves bytes and sleeps:
///
/// - [`wants_read`](Self::wants_read): read into [`buffer_mut`](Self::buffer_mut) or
///   [`unfilled`](Self::unfilled), then [`handle_read`](Self::handle_read);
///   [`read_plan`](Self::read_plan) says more;
/// - [`wants_write`](Self::wants_write): write [`pending`](Self::pending), after a look at
///   [`wants_no_delay`](Self::wants_no_delay), then [`handle_written`](Self::handle_written);
/// - [`wants_shutdown`](Self::wants_shutdown): shut down the write side, then
///   [`handle_shutdown`](Self::handle_shutdown);
/// - [`is_closed`](Self::is_closed): drop the stream;
/// - [`poll_timeout`](Self::poll_timeout): when that time has come, what
///   [`last_tries`](Self::last_tries) asks for, then [`handle_timeout`](Self::handle_timeout).
///
/// Time is a [`Duration`] since any moment the adapter likes, the same for all calls.
///
/// # Examples
/// ```
/// use core::time::Duration;
/// use scgi_proto::{ConnectionConfig, ServerExchange, RequestEvent, ResponseEvent, ResponseHead, Status};
///
/// let now = Duration::ZERO;
/// let mut exchange = ServerExchange::new(&ConnectionConfig::default(), now);
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
pub struct ServerExchange {
    receiver: DecodeBuffer<RequestDecoder>,
    encoder: ResponseEncoder,
    /// Bytes of the response that are not written yet.
    write_buffer: WriteBuffer,
    timeouts: Timeouts,
    deadlines: Deadlines,
    body_pace: Pace,
    write_pace: Pace,
    /// Bytes that may still be read and thrown away while the program works. They are not taken
    /// from those that protect a complete response.
    max_discard_len: u64,
    phase: Phase,
    response: ResponseState,
    body: BodyUse,
    head_seen: bool,
    /// The request ended with an error, which was answered.
    request_failed: bool,
    /// The status of a response that took the place of the program's.
    replacement: Option<Status>,
    /// The status of the response that was sent last.
    status: Option<Status>,
    is_head_request: bool,
    /// More bytes than the body are on their way (nginx without request buffering).
    expects_surplus: bool,
    /// The program continues although the peer is gone.
    ignore_client_abort: bool,
    flush: bool,
    upgrade: Upgrade,
    /// Whether the write timeout ends with an upgrade.
    upgraded_writes_may_wait: bool,
    /// Bytes of the head and the body, once the head is there.
    request_len: u64,
    received: u64,
    sent: u64,
}

impl ServerExchange {
    /// A connection that was accepted at `now`.
    #[must_use]
    pub fn new(config: &ConnectionConfig, now: Duration) -> Self {
        Self {
            receiver: DecodeBuffer::new(RequestDecoder::new(config.limits, config.policy)),
            encoder: ResponseEncoder::default(),
            write_buffer: WriteBuffer::default(),
            timeouts: config.timeouts,
            deadlines: Deadlines::of_head(config.head, config.request, now),
            body_pace: Pace::new(config.timeouts.body_per_byte, config.rate_grace),
            write_pace: Pace::new(config.timeouts.write_per_byte, config.rate_grace),
            max_discard_len: config.timeouts.max_drain_len,
            phase: Phase::Open,
            response: ResponseState::None,
            body: BodyUse::Wanted,
            head_seen: false,
            request_failed: false,
            replacement: None,
            status: None,
            is_head_request: false,
            expects_surplus: false,
            ignore_client_abort: config.ignore_client_abort,
            flush: false,
            upgrade: Upgrade::None,
            upgraded_writes_may_wait: config.upgraded_writes_may_wait,
            request_len: u64::MAX,
            received: 0,
            sent: 0,
        }
    }

    /// The next event of the request from what has arrived. `None`: read more, unless
    /// [`is_request_over`](Self::is_request_over).
    ///
    /// # Errors
    /// If the request is malformed or cut. Unless the response has begun, the answer to it (400,
    /// 413 or 431) is now pending and ends the response.
    pub fn next_event(&mut self) -> Result<Option<RequestEvent>, DecodeError> {
        let buffered = self.receiver.buffered();
        let event = self.receiver.next_event().inspect_err(|error| {
            if !self.request_failed {
                self.request_failed = true;
                self.deadlines.input = Nanos::NEVER;
                self.deadlines.request = Nanos::NEVER;
                self.answer_bad_input(error);
            }
        })?;
        if let Some(RequestEvent::Head(head)) = &event {
            self.head_seen = true;
            let head_len = buffered - self.receiver.buffered();
            self.request_len = head.body_length().saturating_add(head_len as u64);
            self.deadlines.input = Nanos::NEVER;
            // Noted while the head was decoded: no search for what few requests have.
            let notes = self.receiver.decoder().notes();
            self.is_head_request = notes.is_head_request;
            self.expects_surplus = notes.has_http_content_length && head.lengths_disagree();
            if notes.has_upgrade {
                self.note_offer(head);
            }
        }
        Ok(event)
    }

    /// Whether no event will follow: the request ended, or its input did.
    #[must_use]
    pub fn is_request_over(&self) -> bool {
        self.request_failed || self.receiver.is_finished() || self.phase != Phase::Open
    }

    /// The read buffer, to append to; see [`DecodeBuffer::buffer_mut`].
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        self.receiver.buffer_mut()
    }

    /// Room for a read; see [`DecodeBuffer::unfilled`].
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
        match self.phase {
            Phase::Open if self.head_seen => self.body_came(count),
            Phase::Drain if count == 0 => self.close(),
            Phase::Drain => self.discard(count),
            _ => {}
        }
    }

    /// Frees what a connection that waits for its peer or its program need not hold: the room
    /// lent for a read, if nothing has been read into it, and that of a response that is written.
    pub fn release_buffer(&mut self) {
        self.receiver.release();
        if self.sent > 0 {
            self.write_buffer.release();
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
    /// [`DecodeBuffer::max_chunk_len`]. `None` too if no one waits for them.
    #[must_use]
    pub fn max_chunk_len(&self) -> Option<usize> {
        if self.is_request_over() { None } else { self.receiver.max_chunk_len() }
    }

    /// Takes what was read past the buffer, and gives its event; see
    /// [`DecodeBuffer::receive_chunk`]. If no one waits for it any more, it is taken as by
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
    pub fn give_memory(&mut self, mut memory: Buffers) {
        self.receiver.give_buffer(memory.input());
        self.write_buffer.out = memory.output;
    }

    /// Takes the memory back when the exchange has ended; it must not be used any more.
    pub fn take_memory(&mut self) -> Buffers {
        Buffers::new(self.receiver.take_buffer(), core::mem::take(&mut self.write_buffer.out))
    }

    /// Takes body bytes that have arrived straight to `dst`; see [`DecodeBuffer::read_body`].
    pub fn read_body(&mut self, dst: &mut [u8]) -> usize {
        self.receiver.read_body(dst)
    }

    /// Bytes of body still to come; `None` before the head.
    #[must_use]
    pub fn body_remaining(&self) -> Option<u64> {
        self.receiver.decoder().body_remaining()
    }

    /// Chooses how to close, once the response is written.
    fn settle(&mut self) {
        if self.response != ResponseState::Ended
            || self.phase != Phase::Open
            || !self.write_buffer.is_empty()
        {
            return;
        }
        if self.upgrade == Upgrade::Granted {
            self.begin_tunnel();
        } else if self.is_wholly_read() {
            self.close();
        } else {
            self.phase = Phase::Shutdown;
        }
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

    /// Whether the write side must be shut down now.
    #[must_use]
    pub fn wants_shutdown(&self) -> bool {
        self.phase == Phase::Shutdown
    }

    /// Reports that the write side was shut down at `now`; input is drained from here on.
    pub fn handle_shutdown(&mut self, now: Duration) {
        if self.phase == Phase::Shutdown {
            self.receiver.discard();
            self.phase = Phase::Drain;
            self.deadlines = Deadlines::NEVER;
            self.deadlines.input = self.timeouts.drain.after(now);
            self.body_pace.end();
            self.write_pace.end();
        }
    }

    /// Gives up the connection: it is closed from here on, without a response.
    pub fn close(&mut self) {
        self.end(false);
    }

    /// Breaks the connection, so that the peer sees the response as cut.
    pub fn abort(&mut self) {
        self.end(true);
    }

    fn end(&mut self, reset: bool) {
        if !self.is_closed() {
            self.phase = Phase::Closed { reset };
            self.deadlines.write = Nanos::NEVER;
            self.write_pace.end();
        }
    }

    /// Whether the stream has to be dropped now.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    /// Whether the stream has to be reset when it is dropped now (SO_LINGER 0 on TCP), so that the
    /// peer sees the response as cut.
    #[must_use]
    pub fn wants_reset(&self) -> bool {
        match self.phase {
            Phase::Closed { reset } => reset,
            Phase::Open => self.sent > 0,
            Phase::Shutdown | Phase::Drain | Phase::Upgraded => false,
        }
    }

    /// Bytes that came after the request: a front server that states another length than it sends.
    /// Only those are counted that were read, which is not waited for.
    #[must_use]
    pub fn surplus(&self) -> u64 {
        if self.is_upgrade_granted() {
            return 0;
        }
        self.received.saturating_sub(self.request_len)
    }

    /// Whether the peer left before it had the whole response of the program: it closed its side
    /// although it should wait, or the stream failed.
    #[must_use]
    pub fn has_peer_left(&self) -> bool {
        let has_closed = self.receiver.is_eof() && !self.ignore_client_abort;
        let has_failed = self.phase == Phase::Closed { reset: false };
        self.replacement.is_none() && !self.is_response_written() && (has_closed || has_failed)
    }

    /// Bytes received and sent so far.
    #[must_use]
    pub fn byte_counts(&self) -> (u64, u64) {
        (self.received, self.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::event::ResponseEvent;
    use crate::wire::response::ResponseHead;

    #[test]
    fn room_is_freed_unless_something_is_in_it() {
        let new = || ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
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

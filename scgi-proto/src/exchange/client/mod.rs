//! One call of a backend: the client side of a connection, without I/O.

pub(crate) mod config;
mod deadlines;
mod timers;

use core::time::Duration;

use bytes::{Bytes, BytesMut};

use self::config::ClientConfig;
use self::timers::{ClientDeadlines, ClientTimeouts};
use crate::exchange::decode_buffer::DecodeBuffer;
use crate::exchange::write_buffer::WriteBuffer;
use crate::wire::decode::{HEAD_READ, ResponseDecoder};
use crate::wire::encode::RequestEncoder;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::event::{RequestEvent, ResponseEvent};
use crate::wire::limits::Limits;

/// One request to a backend and its response, as a machine: events go in and bytes come out,
/// and the other way round. The client's counterpart of [`ServerExchange`](crate::ServerExchange).
///
/// A server may answer before it has read the whole request, and close: then writing fails, and
/// the response is there to be read all the same. [`handle_write_failed`](Self::handle_write_failed)
/// makes the rest of the request vanish.
///
/// # What happens when
/// The rows say how far the request is, the columns how far the response is. The machine reads in
/// every cell: a server may answer at any time. It writes in the rows where bytes wait.
///
/// | request | no complete head has come | the body comes |
/// |---|---|---|
/// | not connected | connect: until there is a connection | |
/// | bytes wait for the server | write: each byte that the server takes renews it | body |
/// | the program's source has no chunk | none: the server is not late | body |
/// | handed over whole | head: nothing renews it | body |
/// | writing failed, the rest is dropped | head: nothing renews it | body |
/// | the source failed | the call is over | the call is over |
///
/// "Body" is the deadline of the idle body: each byte in either direction renews it. The deadline of
/// the whole call runs in every cell. A deadline that passes ends the call
/// ([`handle_timeout`](Self::handle_timeout)).
///
/// The response is complete by its Content-Length, by a status or method that allows no body, or by
/// a clean end of input. If the connection was reset instead
/// ([`handle_reset`](Self::handle_reset)), all bytes that came are still handed out, and
/// [`DecodeError::ResponseCut`] follows instead of the end.
///
/// # Examples
/// ```
/// use core::time::Duration;
/// use scgi_proto::{ClientConfig, ClientExchange, RequestEvent, RequestHead, ResponseEvent};
///
/// let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
/// call.send(RequestEvent::Head(RequestHead::builder("GET", "/").build()))?;
/// call.send(RequestEvent::End)?;
/// assert!(call.pending().0.ends_with(b"SERVER_PROTOCOL\0HTTP/1.1\0,"));
///
/// call.buffer_mut().extend_from_slice(b"Status: 204 No Content\r\n\r\n");
/// call.handle_read(26);
/// let Some(ResponseEvent::Head(head)) = call.next_event()? else { panic!() };
/// assert_eq!(head.status().code(), 204);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ClientExchange {
    encoder: RequestEncoder,
    /// Bytes of the request that are not written yet.
    write_buffer: WriteBuffer,
    flush: bool,
    /// Whether the stream holds back bytes that it took.
    unflushed: bool,
    write_failed: bool,
    limits: Limits,
    receiver: DecodeBuffer<ResponseDecoder>,
    head_seen: bool,
    /// Whether the end of input does not say that the response is complete.
    reset: bool,
    closed: bool,
    timeouts: ClientTimeouts,
    deadlines: ClientDeadlines,
}

impl ClientExchange {
    /// A call on a connection that is fresh at `now`, which is also when the deadline of the whole
    /// call begins.
    #[must_use]
    pub fn new(config: &ClientConfig, now: Duration) -> Self {
        Self {
            encoder: RequestEncoder::default(),
            write_buffer: WriteBuffer::default(),
            flush: false,
            unflushed: false,
            write_failed: false,
            limits: config.limits,
            receiver: DecodeBuffer::new(ResponseDecoder::new(config.limits)),
            head_seen: false,
            reset: false,
            closed: false,
            timeouts: ClientTimeouts::new(config),
            deadlines: ClientDeadlines::new(config, now),
        }
    }

    /// Queues an event of the request. The head waits for the first chunk or the end, so that
    /// they leave together, or for [`flush`](Self::flush).
    ///
    /// # Errors
    /// If the event cannot be sent, or not now. Nothing of it is queued.
    pub fn send(&mut self, event: RequestEvent) -> Result<(), EncodeError> {
        match event {
            RequestEvent::Head(head) => {
                // Room for the response too; see `reuse_buffer`.
                self.encoder.head_with_room(&head, &mut self.write_buffer.out, HEAD_READ)?;
                if head.method() == Some(b"HEAD") {
                    let decoder = ResponseDecoder::new(self.limits).without_body();
                    self.receiver = DecodeBuffer::new(decoder);
                } else if self.encoder.has_upgrade() && head.upgrade().is_some() {
                    let decoder = ResponseDecoder::new(self.limits).with_upgrade();
                    self.receiver = DecodeBuffer::new(decoder);
                }
            }
            RequestEvent::Body(chunk) => {
                self.encoder.body(chunk.len())?;
                self.flush = true;
                self.write_buffer.push(chunk);
            }
            RequestEvent::End => {
                self.encoder.finish()?;
                self.flush = true;
            }
        }
        if self.write_failed || self.closed {
            self.drop_pending();
        }
        Ok(())
    }

    /// Lets the queued head leave although no chunk has come.
    pub fn flush(&mut self) {
        self.flush = true;
    }

    /// Whether there are bytes to write now.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.flush && !self.write_buffer.is_empty()
    }

    /// Whether what is pending should be written before the next chunk; see
    /// [`ServerExchange::should_write_first`](crate::ServerExchange::should_write_first).
    #[must_use]
    pub fn should_write_first(&self) -> bool {
        self.write_buffer.is_full()
    }

    /// The bytes to write, in two slices, for one vectored write.
    #[must_use]
    pub fn pending(&self) -> (&[u8], &[u8]) {
        self.write_buffer.pending()
    }

    /// Reports that the first `count` of the pending bytes were written.
    ///
    /// # Panics
    /// If `count` is more than is pending.
    pub fn handle_written(&mut self, count: usize) {
        self.write_buffer.advance(count);
        if count > 0 {
            self.deadlines.handle_taken();
        }
    }

    /// Reports whether the stream itself holds back bytes that it took, because the server does not
    /// take them.
    pub fn set_unflushed(&mut self, unflushed: bool) {
        self.unflushed = unflushed;
    }

    /// Whether bytes wait for the server.
    fn has_waiting_bytes(&self) -> bool {
        self.wants_write() || self.unflushed
    }

    /// Reports that writing failed: the rest of the request vanishes, the response may still be
    /// there. If the failure may mean that the response is cut, [`handle_reset`](Self::handle_reset)
    /// is to be called as well.
    pub fn handle_write_failed(&mut self) {
        self.write_failed = true;
        self.drop_pending();
    }

    fn drop_pending(&mut self) {
        self.write_buffer.clear();
        self.flush = false;
        self.unflushed = false;
    }

    /// Reports that the connection was reset, or may have been: the end of input no longer says that
    /// the response is complete. What can still be read is to be read.
    ///
    /// On Linux the first failed write of a TCP socket shows it: ECONNRESET means that the server
    /// reset the connection before it ended its response, EPIPE that the end came first. On a Unix
    /// socket a reset says only that the server closed with bytes of the request unread.
    pub fn handle_reset(&mut self) {
        self.reset = true;
    }

    /// Ends the call: what is pending vanishes, and nothing more comes of the response.
    pub fn close(&mut self) {
        self.closed = true;
        self.drop_pending();
        self.deadlines.clear();
    }

    /// The next event of the response from what has arrived. `None`: read more, unless
    /// [`is_response_over`](Self::is_response_over).
    ///
    /// # Errors
    /// If the response is malformed, cut, or absent. The call is over then.
    pub fn next_event(&mut self) -> Result<Option<ResponseEvent>, DecodeError> {
        if self.closed {
            return Ok(None);
        }
        let needs_end = self.receiver.decoder().needs_end_of_input();
        match self.receiver.next_event() {
            Ok(Some(ResponseEvent::End)) if needs_end && self.reset => {
                self.close();
                Err(DecodeError::ResponseCut)
            }
            Ok(event) => {
                if self.is_upgraded() {
                    self.begin_tunnel()?;
                    return Ok(event);
                }
                match &event {
                    Some(ResponseEvent::End) => self.deadlines.clear(),
                    Some(event) => {
                        self.head_seen |= matches!(event, ResponseEvent::Head(_));
                        self.deadlines.handle_event();
                    }
                    None => {}
                }
                Ok(event)
            }
            Err(error) => {
                self.close();
                Err(error)
            }
        }
    }

    /// Whether the response is a 101, which the request asked for: nothing follows its head. The
    /// connection belongs to the program, raw and in both directions, beginning with what
    /// [`read_kept`](Self::read_kept) returns. Only the write timeout still holds.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        !self.closed && self.receiver.decoder().is_upgraded()
    }

    /// The deadlines end. The buffers are freed, because such a connection may last.
    #[cold]
    fn begin_tunnel(&mut self) -> Result<(), DecodeError> {
        if !self.is_request_written() {
            // The server answers what it has not read.
            self.close();
            return Err(DecodeError::InvalidStatus { offset: 0 });
        }
        self.head_seen = true;
        self.deadlines.clear();
        self.receiver.shrink();
        self.write_buffer.release();
        Ok(())
    }

    /// Moves bytes that came behind the head of a 101 to `dst` and returns how many; 0 if none is
    /// left, and then the stream itself is to be read.
    pub fn read_kept(&mut self, dst: &mut [u8]) -> usize {
        if self.is_upgraded() { self.receiver.take(dst) } else { 0 }
    }

    /// Whether no event will follow: the response ended, or the input did, or the call.
    #[must_use]
    pub fn is_response_over(&self) -> bool {
        self.closed || self.receiver.is_finished()
    }

    /// Whether the head of the response was handed out.
    fn is_head_seen(&self) -> bool {
        self.head_seen
    }

    /// What is left of the response's body, if all of it has arrived, and the whole request is
    /// written: nothing more has to be read, and the connection can be closed at once. Else
    /// `None`, and nothing has happened.
    ///
    /// # Examples
    /// ```
    /// use core::time::Duration;
    /// use scgi_proto::{ClientConfig, ClientExchange, RequestEvent, RequestHead, ResponseEvent};
    ///
    /// let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
    /// call.send(RequestEvent::Head(RequestHead::builder("GET", "/").build()))?;
    /// call.send(RequestEvent::End)?;
    /// call.handle_written(call.pending().0.len());
    ///
    /// call.buffer_mut().extend_from_slice(b"Content-Length: 5\r\n\r\nhello");
    /// call.handle_read(26);
    /// assert!(matches!(call.next_event()?, Some(ResponseEvent::Head(_))));
    /// assert_eq!(call.take_whole_body().as_deref(), Some(&b"hello"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_whole_body(&mut self) -> Option<Bytes> {
        let missing = self.body_remaining()?;
        if !self.is_request_written() || missing > self.receiver.buffered() as u64 {
            return None;
        }
        match self.next_event() {
            Ok(Some(ResponseEvent::Body(chunk))) => Some(chunk),
            _ => Some(Bytes::new()),
        }
    }

    /// Bytes of the response's body still to come; `None` before the head, after the end, and if
    /// only the end of input will tell.
    #[must_use]
    pub fn body_remaining(&self) -> Option<u64> {
        self.receiver.decoder().body_remaining()
    }

    /// Whether nothing of the request is left to write, or the server takes no more.
    #[must_use]
    pub fn is_request_written(&self) -> bool {
        self.write_failed || (self.encoder.is_finished() && self.write_buffer.is_empty())
    }

    /// The read buffer, to append to; see [`DecodeBuffer::buffer_mut`].
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        self.reuse_buffer();
        self.receiver.buffer_mut()
    }

    /// Room for a read; see [`DecodeBuffer::unfilled`].
    pub fn unfilled(&mut self) -> &mut [u8] {
        self.reuse_buffer();
        self.receiver.unfilled()
    }

    /// Takes a copy of bytes that were read elsewhere; none are the end of input.
    pub fn receive_slice(&mut self, bytes: &[u8]) {
        self.reuse_buffer();
        self.deadlines.handle_received();
        if bytes.is_empty() {
            self.receiver.advance(0);
        }
        self.receiver.receive_slice(bytes);
    }

    /// Bytes of the response that were read and not yet handed out.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.receiver.buffered()
    }

    /// Whether the end of input was reported.
    #[must_use]
    pub fn is_input_over(&self) -> bool {
        self.receiver.is_eof()
    }

    /// At most how many bytes of body the next read may take past the buffer; see
    /// [`DecodeBuffer::max_chunk_len`].
    #[must_use]
    pub fn max_chunk_len(&self) -> Option<usize> {
        self.receiver.max_chunk_len()
    }

    /// Takes what was read past the buffer, and gives its event; see
    /// [`DecodeBuffer::receive_chunk`].
    pub fn receive_chunk(&mut self, read: Bytes) -> Option<ResponseEvent> {
        self.deadlines.handle_received();
        self.receiver.receive_chunk(read)
    }

    /// Reads into the memory of the request once that is written: a small call then takes one
    /// buffer.
    fn reuse_buffer(&mut self) {
        if self.is_request_written() && self.receiver.is_unused() {
            let mut buf = core::mem::take(&mut self.write_buffer.out);
            buf.clear();
            self.receiver.give_buffer(buf);
        }
    }

    /// Reports a read of `count` bytes; 0 is the end of input.
    ///
    /// # Panics
    /// If `count` is more than the room that was lent.
    pub fn handle_read(&mut self, count: usize) {
        self.deadlines.handle_received();
        self.receiver.advance(count);
    }
}

//! One call of a backend: the client side of a connection, without I/O.

use bytes::{Bytes, BytesMut};

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
/// # Examples
/// ```
/// use scgi_proto::{ClientExchange, Limits, RequestEvent, RequestHead, ResponseEvent};
///
/// let mut call = ClientExchange::new(Limits::default());
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
    write_failed: bool,
    limits: Limits,
    receiver: DecodeBuffer<ResponseDecoder>,
}

impl ClientExchange {
    /// A call on a fresh connection; `limits` bound the response's head.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            encoder: RequestEncoder::default(),
            write_buffer: WriteBuffer::default(),
            flush: false,
            write_failed: false,
            limits,
            receiver: DecodeBuffer::new(ResponseDecoder::new(limits)),
        }
    }

    /// Queues a piece of the request. The head waits for the first chunk or the end, so that
    /// they leave together, or for [`flush`](Self::flush).
    ///
    /// # Errors
    /// If the piece cannot be sent, or not now. Nothing of it is queued.
    pub fn send(&mut self, event: RequestEvent) -> Result<(), EncodeError> {
        match event {
            RequestEvent::Head(head) => {
                // Room for the response too; see `reuse_buffer`.
                self.encoder.head_with_room(&head, &mut self.write_buffer.out, HEAD_READ)?;
                if head.method() == Some(b"HEAD") {
                    let decoder = ResponseDecoder::new(self.limits).without_body();
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
        if self.write_failed {
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
    /// [`ServerExchange::is_full`](crate::ServerExchange::is_full).
    #[must_use]
    pub fn is_full(&self) -> bool {
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
    }

    /// Reports that writing failed: the rest of the request vanishes, the response may still be
    /// there.
    pub fn handle_write_failed(&mut self) {
        self.write_failed = true;
        self.drop_pending();
    }

    fn drop_pending(&mut self) {
        self.write_buffer.clear();
        self.flush = false;
    }

    /// The next piece of the response from what has arrived. `None`: read more, unless
    /// [`is_response_over`](Self::is_response_over).
    ///
    /// # Errors
    /// If the response is malformed, cut, or absent.
    pub fn next_event(&mut self) -> Result<Option<ResponseEvent>, DecodeError> {
        self.receiver.next_event()
    }

    /// Whether no event will follow: the response ended, or the input did.
    #[must_use]
    pub fn is_response_over(&self) -> bool {
        self.receiver.is_finished()
    }

    /// What is left of the response's body, if all of it has arrived, and the whole request is
    /// written: nothing more has to be read, and the connection can be closed at once. Else
    /// `None`, and nothing has happened.
    ///
    /// # Examples
    /// ```
    /// use scgi_proto::{ClientExchange, Limits, RequestEvent, RequestHead, ResponseEvent};
    ///
    /// let mut call = ClientExchange::new(Limits::default());
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

    /// Whether nothing of the request is left to write, or nobody takes it.
    fn is_request_written(&self) -> bool {
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
        if bytes.is_empty() {
            self.receiver.advance(0);
        }
        self.receiver.receive_slice(bytes);
    }

    /// At most how many bytes of body the next read may take past the buffer; see
    /// [`DecodeBuffer::chunk_limit`].
    #[must_use]
    pub fn chunk_limit(&self) -> Option<usize> {
        self.receiver.chunk_limit()
    }

    /// Takes what was read past the buffer, and gives its event; see
    /// [`DecodeBuffer::receive_chunk`].
    pub fn receive_chunk(&mut self, read: Bytes) -> Option<ResponseEvent> {
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
        self.receiver.advance(count);
    }
}

//! A decoder and its buffer, for the read loops of adapters.

use core::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::wire::decode::{Decode, RequestDecoder};
use crate::wire::error::DecodeError;

/// A decoder, its read buffer, and whether the input is over.
///
/// # Examples
/// The whole read loop of an adapter:
/// ```
/// use std::io::Read;
/// use scgi_proto::{DecodeBuffer, RequestDecoder, RequestEvent};
///
/// fn next_event(
///     stream: &mut impl Read,
///     receiver: &mut DecodeBuffer<RequestDecoder>,
/// ) -> Result<Option<RequestEvent>, Box<dyn std::error::Error>> {
///     loop {
///         if let Some(event) = receiver.next_event()? {
///             return Ok(Some(event));
///         }
///         if receiver.is_finished() {
///             return Ok(None);
///         }
///         let n = stream.read(receiver.unfilled())?;
///         receiver.advance(n);
///     }
/// }
///
/// let mut receiver = DecodeBuffer::new(RequestDecoder::default());
/// let event = next_event(&mut &b"0:,"[..], &mut receiver)?;
/// assert!(matches!(event, Some(RequestEvent::Head(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DecodeBuffer<D> {
    decoder: D,
    buf: BytesMut,
    /// Bytes of `buf` that have been read; the rest is room lent out by `unfilled`.
    filled: usize,
    eof: bool,
}

/// Without the bytes that were read, which may hold secrets.
impl<D: fmt::Debug> fmt::Debug for DecodeBuffer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeBuffer")
            .field("decoder", &self.decoder)
            .field("filled", &self.filled)
            .field("eof", &self.eof)
            .finish_non_exhaustive()
    }
}

impl<D: Decode> DecodeBuffer<D> {
    /// A receiver with an empty buffer, which grows with what arrives.
    #[must_use]
    pub fn new(decoder: D) -> Self {
        Self { decoder, buf: BytesMut::new(), filled: 0, eof: false }
    }

    /// The next event from what has arrived; `None` asks for a read, unless
    /// [`is_finished`](Self::is_finished).
    ///
    /// # Errors
    /// If the peer broke the protocol or a limit.
    pub fn next_event(&mut self) -> Result<Option<D::Event>, DecodeError> {
        if self.max_chunk_len().is_some() {
            return Ok(None);
        }
        self.buf.truncate(self.filled);
        let event = if self.eof {
            self.decoder.decode_eof(&mut self.buf)
        } else {
            self.decoder.decode(&mut self.buf)
        };
        self.filled = self.buf.len();
        event
    }

    /// Room for the next read, never empty. For streams that write to `&mut [u8]`; the room is
    /// zeroed first.
    pub fn unfilled(&mut self) -> &mut [u8] {
        let len = self.filled + self.decoder.read_hint();
        self.buf.truncate(self.filled);
        self.buf.resize(len, 0);
        &mut self.buf[self.filled..]
    }

    /// The buffer, with room for the next read, for streams that append to it. Only append;
    /// [`advance`](Self::advance) with the number of bytes.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        self.buf.truncate(self.filled);
        self.buf.reserve(self.decoder.read_hint());
        &mut self.buf
    }

    /// Reports a read of `count` bytes into the room; 0 records the end of input.
    ///
    /// # Panics
    /// If `count` is more than the room that was lent.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.buf.len() - self.filled, "more bytes read than there was room");
        self.filled += count;
        self.buf.truncate(self.filled);
        self.eof |= count == 0;
    }

    /// Whether no further read makes sense: the message or the input is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.decoder.is_done() || self.eof
    }

    /// At most how many bytes of body the next read may take past the buffer, straight to where
    /// they stay, for [`receive_chunk`](Self::receive_chunk). `None` if it is not body that comes
    /// next, or some of it is in the buffer.
    #[must_use]
    pub fn max_chunk_len(&self) -> Option<usize> {
        if self.filled > 0 || self.eof {
            return None;
        }
        self.decoder.max_chunk_len()
    }

    /// Takes what was read past the buffer, and gives its event; nothing is the end of input. What
    /// is beyond the limit, as all of it is if there is none, is copied to the buffer.
    pub fn receive_chunk(&mut self, mut read: Bytes) -> Option<D::Event> {
        if read.is_empty() {
            self.eof = true;
            return None;
        }
        let Some(limit) = self.max_chunk_len() else {
            self.receive_slice(&read);
            return None;
        };
        if read.len() > limit {
            self.receive_slice(&read[limit..]);
            read.truncate(limit);
        }
        Some(self.decoder.chunk(read))
    }

    /// Takes bytes that were read elsewhere; the first ones are not copied.
    pub(crate) fn receive(&mut self, bytes: BytesMut) {
        self.buf.truncate(self.filled);
        if self.buf.is_empty() {
            self.buf = bytes;
        } else {
            self.buf.extend_from_slice(&bytes);
        }
        self.filled = self.buf.len();
    }

    /// Takes a copy of bytes that were read elsewhere.
    pub(crate) fn receive_slice(&mut self, bytes: &[u8]) {
        self.buf.truncate(self.filled);
        if self.buf.capacity() == 0 {
            self.buf = bytes.into();
        } else {
            self.buf.extend_from_slice(bytes);
        }
        self.filled = self.buf.len();
    }

    /// Makes `buf`, which is empty, the buffer of this receiver that has not read anything.
    pub(crate) fn give_buffer(&mut self, buf: BytesMut) {
        debug_assert!(buf.is_empty() && self.filled == 0, "nothing is lost or added");
        self.buf = buf;
    }

    pub(crate) fn take_buffer(&mut self) -> BytesMut {
        self.filled = 0;
        core::mem::take(&mut self.buf)
    }

    /// Moves bytes that were read and not decoded to `dst`, and returns how many. The memory is freed
    /// with the last of them.
    pub(crate) fn take(&mut self, dst: &mut [u8]) -> usize {
        self.buf.truncate(self.filled);
        let count = self.filled.min(dst.len());
        self.buf.copy_to_slice(&mut dst[..count]);
        self.filled = self.buf.len();
        self.release();
        count
    }

    /// Whether nothing was read yet, and there is no buffer.
    pub(crate) fn is_unused(&self) -> bool {
        self.buf.capacity() == 0 && !self.eof
    }

    /// Frees the room behind what is in the buffer, for one that stays as it is for long.
    pub(crate) fn shrink(&mut self) {
        self.buf.truncate(self.filled);
        self.buf = self.buf[..].into();
    }

    /// Frees the buffer if nothing is in it.
    pub(crate) fn release(&mut self) {
        if self.filled == 0 {
            self.buf = BytesMut::new();
        }
    }

    /// Bytes that were read and not yet decoded.
    pub(crate) fn buffered(&self) -> usize {
        self.filled
    }

    /// Whether the input is over.
    pub(crate) fn is_eof(&self) -> bool {
        self.eof
    }

    /// Throws away what was read and not yet decoded.
    pub(crate) fn discard(&mut self) {
        self.filled = 0;
    }

    /// The decoder.
    #[must_use]
    pub fn decoder(&self) -> &D {
        &self.decoder
    }
}

impl DecodeBuffer<RequestDecoder> {
    /// Whether what follows the request stays in the buffer.
    pub(crate) fn set_keeps_rest(&mut self, keeps_rest: bool) {
        self.decoder.set_keeps_rest(keeps_rest);
    }

    /// Takes note of bytes of the request that were read past this receiver and thrown away.
    pub(crate) fn skip(&mut self, count: u64) {
        self.decoder.skip(count);
    }

    /// Throws away what was read and not yet decoded, as part of the request.
    pub(crate) fn skip_buffered(&mut self) {
        self.skip(self.filled as u64);
        self.discard();
    }

    /// Moves body bytes that have arrived to `dst` and returns how many; 0 means: read from the
    /// stream straight into `dst`, at most
    /// [`body_remaining`](RequestDecoder::body_remaining) bytes, and report with
    /// [`body_received`](Self::body_received). For big uploads: no chunk is allocated.
    pub fn read_body(&mut self, dst: &mut [u8]) -> usize {
        self.buf.truncate(self.filled);
        let remaining = self.decoder.body_remaining().unwrap_or(0);
        let max = usize::try_from(remaining).unwrap_or(usize::MAX);
        let count = self.filled.min(dst.len()).min(max);
        if count > 0 {
            self.buf.copy_to_slice(&mut dst[..count]);
            self.filled = self.buf.len();
            self.decoder.body_received(count);
        }
        count
    }

    /// Reports body bytes that were read from the stream past this receiver; 0 records the end
    /// of input.
    ///
    /// # Panics
    /// If `count` is more than the body has left.
    pub fn body_received(&mut self, count: usize) {
        if count == 0 {
            self.eof = true;
        } else {
            self.decoder.body_received(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decode::{RequestDecoder, ResponseDecoder};
    use crate::wire::event::{RequestEvent, ResponseEvent};

    #[test]
    fn a_buffer_is_given_lent_released_and_taken() {
        let mut receiver = DecodeBuffer::new(RequestDecoder::default());
        assert_eq!(receiver.unfilled().len(), 4096, "a usual head takes one read");
        receiver.give_buffer(BytesMut::with_capacity(9000));
        assert!(receiver.buf.capacity() >= 9000);
        receiver.unfilled()[..3].copy_from_slice(b"24:");
        receiver.advance(3);
        receiver.release();
        assert!(receiver.buf.capacity() >= 9000, "what is in it stays");
        assert!(receiver.take_buffer().capacity() >= 9000);
        assert_eq!(receiver.buf.capacity(), 0);
        assert!(!receiver.unfilled().is_empty());
        receiver.release();
        assert_eq!(receiver.buf.capacity(), 0, "nothing was in it");
    }

    #[test]
    fn a_read_is_as_long_as_what_is_missing() {
        let mut receiver = DecodeBuffer::new(RequestDecoder::default());
        for (input, hint) in [(&b"10000:"[..], 10_001), (b"A\0", 9999), (&[b'b'; 6000], 4096)] {
            receiver.buffer_mut().extend_from_slice(input);
            receiver.advance(input.len());
            assert_eq!(receiver.next_event(), Ok(None));
            assert_eq!(receiver.unfilled().len(), hint);
        }
    }

    #[test]
    fn a_read_of_a_response_is_as_long_as_its_body_may_be() {
        for (head, hint) in [
            ("Content-Length: 10000\n\n", 10_000),
            ("Content-Length: 100000\n\n", 64 * 1024),
            ("Status: 200 OK\n\n", 16 * 1024),
        ] {
            let mut receiver = DecodeBuffer::new(ResponseDecoder::default());
            assert_eq!(receiver.unfilled().len(), 4096);
            receiver.buffer_mut().extend_from_slice(head.as_bytes());
            receiver.advance(head.len());
            assert!(matches!(receiver.next_event(), Ok(Some(_))));
            assert_eq!(receiver.unfilled().len(), hint, "{head:?}");
        }
    }

    #[test]
    fn a_body_that_is_read_past_the_receiver() {
        let head = b"17:CONTENT_LENGTH\x005\0,";
        let mut receiver = DecodeBuffer::new(RequestDecoder::default());
        receiver.buffer_mut().extend_from_slice(head);
        receiver.advance(head.len());
        assert!(matches!(receiver.next_event(), Ok(Some(_))));
        receiver.body_received(3);
        assert!(!receiver.is_eof());
        assert_eq!(receiver.decoder().body_remaining(), Some(2));
        receiver.body_received(0);
        assert!(receiver.is_eof() && receiver.next_event().is_err());
    }

    /// A receiver that has got the head of a request with a body of so many bytes.
    fn before_body(len: usize) -> DecodeBuffer<RequestDecoder> {
        let block = alloc::format!("CONTENT_LENGTH\0{len}\0");
        let head = alloc::format!("{}:{block},", block.len());
        let mut receiver = DecodeBuffer::new(RequestDecoder::default());
        assert_eq!(receiver.max_chunk_len(), None, "the head comes first");
        receiver.receive_slice(head.as_bytes());
        assert!(matches!(receiver.next_event(), Ok(Some(RequestEvent::Head(_)))));
        receiver
    }

    #[test]
    fn a_chunk_is_read_past_the_buffer() {
        let mut receiver = before_body(70_000);
        assert_eq!(receiver.max_chunk_len(), Some(64 * 1024));
        let chunk = Bytes::from(alloc::vec![b'x'; 10_000]);
        let event = receiver.receive_chunk(chunk.clone());
        assert_eq!(event, Some(RequestEvent::Body(chunk)));
        assert_eq!(receiver.decoder().body_remaining(), Some(60_000));
        assert_eq!(receiver.next_event(), Ok(None));
        assert_eq!(receiver.receive_chunk(Bytes::new()), None);
        assert_eq!(receiver.max_chunk_len(), None);
        assert!(receiver.next_event().is_err(), "its input has ended");
    }

    #[test]
    fn what_is_in_the_buffer_comes_before_a_chunk() {
        let mut receiver = before_body(5);
        receiver.receive_slice(b"he");
        assert_eq!(receiver.max_chunk_len(), None);
        assert_eq!(receiver.next_event(), Ok(Some(RequestEvent::Body("he".into()))));
        assert_eq!(receiver.max_chunk_len(), Some(3));
        let event = receiver.receive_chunk("llo, and more".into());
        assert_eq!(event, Some(RequestEvent::Body("llo".into())));
        assert_eq!(receiver.max_chunk_len(), None);
        assert_eq!(receiver.next_event(), Ok(Some(RequestEvent::End)));
        assert_eq!(receiver.decoder().surplus(), 10);
    }

    #[test]
    fn a_chunk_of_a_response_goes_to_its_length_or_to_the_end() {
        for (head, limit) in [
            ("Content-Length: 4\n\n", Some(4)),
            ("Status: 200 OK\n\n", Some(16 * 1024)),
            ("Content-Length: 0\n\n", None),
        ] {
            let mut receiver = DecodeBuffer::new(ResponseDecoder::default());
            assert_eq!(receiver.max_chunk_len(), None);
            receiver.receive_slice(head.as_bytes());
            assert!(matches!(receiver.next_event(), Ok(Some(ResponseEvent::Head(_)))));
            assert_eq!(receiver.max_chunk_len(), limit, "{head:?}");
            if limit.is_some() {
                let event = receiver.receive_chunk("body".into());
                assert_eq!(event, Some(ResponseEvent::Body("body".into())));
                receiver.advance(0);
            }
            assert_eq!(receiver.next_event(), Ok(Some(ResponseEvent::End)), "{head:?}");
        }
    }
}

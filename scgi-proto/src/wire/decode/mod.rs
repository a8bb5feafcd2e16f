//! The two decoders: bytes in, events out.

mod block;
mod mask;
mod request;
mod response;
mod scan;

use bytes::{Bytes, BytesMut};

use crate::wire::error::DecodeError;

pub use request::RequestDecoder;
pub use response::ResponseDecoder;

/// What both decoders have in common.
///
/// The caller owns the buffer, appends to it what arrives, and asks for events until there is
/// none. A decoder takes from the front of the buffer what it has understood. Any split of the
/// same bytes produces the same events (body chunks apart, which come as the bytes come).
///
/// After an error the decoder gives that error again: the connection is then useless.
///
/// # Examples
/// ```
/// use bytes::BytesMut;
/// use scgi_proto::{Decode, RequestDecoder, RequestEvent};
///
/// let mut decoder = RequestDecoder::default();
/// let mut buf = BytesMut::from("24:CONTENT_LENGTH\x002\x00SCGI\x001\x00,hi");
/// let Some(RequestEvent::Head(head)) = decoder.decode(&mut buf)? else { panic!() };
/// assert_eq!(head.content_length(), 2);
/// assert_eq!(decoder.decode(&mut buf)?, Some(RequestEvent::Body("hi".into())));
/// assert_eq!(decoder.decode(&mut buf)?, Some(RequestEvent::End));
/// # Ok::<(), scgi_proto::DecodeError>(())
/// ```
pub trait Decode {
    /// What the decoder yields.
    type Event;

    /// Takes the next event from the front of `src`, or `None` if more bytes are needed or the
    /// message is over.
    ///
    /// # Errors
    /// If the peer broke the protocol or a limit.
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Self::Event>, DecodeError>;

    /// As [`decode`](Self::decode), after the end of input: `None` means that the message is
    /// over, or that none had begun.
    ///
    /// # Errors
    /// As above, and [`DecodeError::UnexpectedEnd`] or [`DecodeError::NoResponse`] if the input
    /// ended too early.
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Self::Event>, DecodeError>;

    /// How many bytes a next read could use; never 0.
    fn read_hint(&self) -> usize;

    /// At most how many bytes of body a read may take past the buffer, if it is empty, straight to
    /// where they stay: for big bodies. `None` if it is not body that comes next.
    fn max_chunk_len(&self) -> Option<usize>;

    /// The event of a chunk of the body that was read past the buffer, and is not empty.
    ///
    /// # Panics
    /// If it is longer than [`max_chunk_len`](Self::max_chunk_len) said.
    fn chunk(&mut self, chunk: Bytes) -> Self::Event;

    /// Whether the last event was yielded; then a read would wait for a peer that waits for us.
    fn is_done(&self) -> bool;
}

/// Reads of a body are at most this long: what front servers write at once.
pub(crate) const BODY_READ: usize = 64 * 1024;

/// The length of a read that is worth it while so many bytes of body are missing.
fn body_read(remaining: u64) -> usize {
    usize::try_from(remaining).unwrap_or(BODY_READ).clamp(1, BODY_READ)
}

/// Reads of a head are this long, so that a usual one takes one read and the buffer stays small.
pub(crate) const HEAD_READ: usize = 4 * 1024;

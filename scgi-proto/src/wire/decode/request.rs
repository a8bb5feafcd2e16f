//! The request decoder: turns bytes into the events of a request.

use bytes::{Buf, Bytes, BytesMut};

use super::block::{Notes, parse_block};
use super::{BODY_READ, Decode, HEAD_READ, body_read};
use crate::wire::error::{DecodeError, Part};
use crate::wire::event::RequestEvent;
use crate::wire::limits::Limits;
use crate::wire::netstring::{Prefix, parse_prefix};
use crate::wire::request::RequestHead;
use crate::wire::request::params::Params;
use crate::wire::request::policy::Policy;

/// Decodes one request: [`RequestEvent::Head`], its body in chunks, [`RequestEvent::End`].
///
/// Bytes after the body are never taken as another request: SCGI has one request on a
/// connection. They are discarded and counted ([`surplus`](Self::surplus)).
///
/// # Examples
/// ```
/// use bytes::BytesMut;
/// use scgi_proto::{Decode, RequestDecoder, RequestEvent};
///
/// let mut decoder = RequestDecoder::default();
/// let mut buf = BytesMut::from(&b"24:CONTENT_LENGTH\x005\0SCGI\x001\0,hel"[..]);
/// let Some(RequestEvent::Head(head)) = decoder.decode(&mut buf)? else { panic!() };
/// assert_eq!(head.content_length(), 5);
/// assert_eq!(decoder.decode(&mut buf)?, Some(RequestEvent::Body("hel".into())));
/// assert_eq!(decoder.decode(&mut buf)?, None); // feed it
///
/// buf.extend_from_slice(b"lo");
/// assert_eq!(decoder.decode(&mut buf)?, Some(RequestEvent::Body("lo".into())));
/// assert_eq!(decoder.decode(&mut buf)?, Some(RequestEvent::End));
/// # Ok::<(), scgi_proto::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct RequestDecoder {
    limits: Limits,
    policy: Policy,
    state: State,
    surplus: u64,
    notes: Notes,
    /// Whether what follows the request stays in the buffer.
    keeps_rest: bool,
}

#[derive(Debug)]
enum State {
    Length,
    /// The prefix is known, the block and its comma are arriving.
    Block {
        prefix: Prefix,
        buffered: usize,
    },
    Body {
        remaining: u64,
    },
    Done,
    Failed(DecodeError),
}

impl RequestDecoder {
    /// A decoder with these bounds and rules.
    #[must_use]
    pub fn new(limits: Limits, policy: Policy) -> Self {
        let notes = Notes::default();
        Self { limits, policy, state: State::Length, surplus: 0, notes, keeps_rest: false }
    }

    /// Bytes of body still to come; `None` before the head.
    #[must_use]
    pub fn body_remaining(&self) -> Option<u64> {
        match self.state {
            State::Body { remaining } => Some(remaining),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Bytes that came after the request and were discarded.
    #[must_use]
    pub fn surplus(&self) -> u64 {
        self.surplus
    }

    /// What was noted of the head, once that is decoded.
    pub(crate) fn notes(&self) -> Notes {
        self.notes
    }

    /// Whether what follows the request stays in the buffer: it belongs to the protocol that the
    /// connection may change to.
    pub(crate) fn set_keeps_rest(&mut self, keeps_rest: bool) {
        self.keeps_rest = keeps_rest;
    }

    /// Takes note of body bytes that the caller moved past the decoder, straight from the
    /// stream to where they belong.
    ///
    /// # Panics
    /// If more bytes are reported than the body has left.
    pub(crate) fn body_received(&mut self, count: usize) {
        let State::Body { remaining } = &mut self.state else {
            panic!("no body is expected");
        };
        *remaining = remaining.checked_sub(count as u64).expect("more bytes than the body has");
    }

    /// Takes note of bytes behind the head that were discarded.
    pub(crate) fn skip(&mut self, count: u64) {
        let of_body = match &mut self.state {
            State::Body { remaining } => {
                let of_body = count.min(*remaining);
                *remaining -= of_body;
                of_body
            }
            State::Done => 0,
            State::Length | State::Block { .. } | State::Failed(_) => return,
        };
        self.surplus = self.surplus.saturating_add(count - of_body);
    }

    /// Kept apart from what is done once the head is there, which is little and done often.
    #[inline(never)]
    fn head(&mut self, src: &mut BytesMut) -> Result<Option<RequestEvent>, DecodeError> {
        if let State::Length = self.state {
            let Some(prefix) = parse_prefix(src, self.limits.header_block as usize)? else {
                return Ok(None);
            };
            self.state = State::Block { prefix, buffered: 0 };
        }
        let State::Block { prefix, buffered } = &mut self.state else { return Ok(None) };
        let comma = prefix.comma();
        // Nothing is looked at before all of it is there, so nothing is looked at twice.
        *buffered = src.len();
        let Some(&byte) = src.get(comma) else { return Ok(None) };
        if byte != b',' {
            return Err(DecodeError::MissingComma { offset: comma, byte });
        }
        let start = prefix.start;
        let block = parse_block(&src[start..comma], start, &self.limits, &self.policy)?;
        // A buffer that is just the head is taken whole: splitting it would allocate. One with
        // room behind it stays with the caller, who continues to use it.
        let whole = src.capacity() == comma + 1;
        let mut bytes = if whole { core::mem::take(src) } else { src.split_to(comma + 1) };
        // The comma stays: cutting it off could allocate.
        bytes.advance(start);
        self.state = State::Body { remaining: block.body_length };
        self.notes = block.notes;
        let params = Params::new(bytes.freeze(), block.places);
        let (content_length, body_length) = (block.content_length, block.body_length);
        let head = RequestHead::new(params, content_length, body_length, &self.policy);
        Ok(Some(RequestEvent::Head(head)))
    }

    /// The next event, from bytes that must be looked at.
    fn step(&mut self, src: &mut BytesMut) -> Result<Option<RequestEvent>, DecodeError> {
        match &self.state {
            State::Length | State::Block { .. } => {
                let head = self.head(src);
                if let Err(error) = &head {
                    self.state = State::Failed(error.clone());
                }
                head
            }
            State::Body { remaining } => Ok(self.body(src, *remaining)),
            State::Done => {
                self.discard(src);
                Ok(None)
            }
            State::Failed(error) => Err(error.clone()),
        }
    }

    fn body(&mut self, src: &mut BytesMut, remaining: u64) -> Option<RequestEvent> {
        if remaining == 0 {
            self.state = State::Done;
            self.discard(src);
            return Some(RequestEvent::End);
        }
        if src.is_empty() {
            return None;
        }
        let len = usize::try_from(remaining).map_or(src.len(), |max| max.min(src.len()));
        self.state = State::Body { remaining: remaining - len as u64 };
        Some(RequestEvent::Body(src.split_to(len).freeze()))
    }

    fn discard(&mut self, src: &mut BytesMut) {
        if self.keeps_rest {
            return;
        }
        self.surplus = self.surplus.saturating_add(src.len() as u64);
        src.clear();
    }

    /// What is missing when the input ends here.
    fn cut(&self, src: &BytesMut) -> Option<DecodeError> {
        let (part, missing) = match &self.state {
            State::Length if src.is_empty() => return None,
            // At least the colon and the comma.
            State::Length => (Part::Length, 2),
            State::Block { prefix, .. } => {
                (Part::HeaderBlock, (prefix.comma() + 1 - src.len()) as u64)
            }
            State::Body { remaining } => (Part::RequestBody, *remaining),
            State::Done | State::Failed(_) => return None,
        };
        Some(DecodeError::UnexpectedEnd { part, missing })
    }
}

impl Default for RequestDecoder {
    fn default() -> Self {
        Self::new(Limits::default(), Policy::default())
    }
}

impl Decode for RequestDecoder {
    type Event = RequestEvent;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<RequestEvent>, DecodeError> {
        // A head may come in many reads: most of them have nothing to be looked at.
        if let State::Block { prefix, buffered } = &mut self.state {
            if src.len() <= prefix.comma() {
                *buffered = src.len();
                return Ok(None);
            }
        }
        self.step(src)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<RequestEvent>, DecodeError> {
        if let Some(event) = self.decode(src)? {
            return Ok(Some(event));
        }
        match self.cut(src) {
            Some(error) => {
                self.state = State::Failed(error.clone());
                Err(error)
            }
            None => Ok(None),
        }
    }

    fn read_hint(&self) -> usize {
        match &self.state {
            State::Block { prefix, buffered } => {
                let missing = (prefix.comma() + 1).saturating_sub(*buffered);
                // Never by the declared length: a peer pays with bytes for the memory it takes.
                missing.clamp(HEAD_READ, BODY_READ)
            }
            State::Body { remaining } => body_read(*remaining),
            State::Length | State::Done | State::Failed(_) => HEAD_READ,
        }
    }

    fn max_chunk_len(&self) -> Option<usize> {
        match self.state {
            State::Body { remaining: remaining @ 1.. } => Some(body_read(remaining)),
            _ => None,
        }
    }

    fn chunk(&mut self, chunk: Bytes) -> RequestEvent {
        self.body_received(chunk.len());
        RequestEvent::Body(chunk)
    }

    fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

//! A request or a reply as far as it has come; of its body only the length is kept.

use std::mem;
use std::time::Duration;

use bytes::BytesMut;
use scgi_proto::{
    Decode, DecodeBuffer, DecodeError, RequestDecoder, RequestEvent, RequestHead, ResponseDecoder,
    ResponseEvent, ResponseHead,
};

/// What came of a message, and when. Times count from the start of the exchange.
#[derive(Debug)]
pub(crate) struct Message<D: Pieces> {
    receiver: DecodeBuffer<D>,
    pub(crate) head: Option<D::Head>,
    /// Of the head, in bytes; known when the head is.
    pub(crate) head_len: u64,
    /// All that came.
    pub(crate) bytes: u64,
    /// Of the body.
    pub(crate) body: u64,
    /// After the end.
    pub(crate) surplus: u64,
    pub(crate) is_complete: bool,
    /// After a 101: what follows the head is only counted.
    pub(crate) is_tunnel: bool,
    pub(crate) error: Option<DecodeError>,
    pub(crate) head_at: Option<Duration>,
    /// When the last byte came.
    pub(crate) last_at: Option<Duration>,
    /// When the end of input came.
    pub(crate) ended_at: Option<Duration>,
}

/// The pieces that requests and responses have in common.
#[derive(Debug)]
pub(crate) enum Piece<H> {
    Head(H),
    Body(usize),
    End,
}

/// A decoder of such pieces.
pub(crate) trait Pieces: Decode {
    type Head;

    fn piece(event: Self::Event) -> Piece<Self::Head>;

    fn surplus(&self) -> u64;

    /// Whether the bytes behind the head are those of a tunnel.
    fn is_upgraded(&self) -> bool;
}

impl Pieces for RequestDecoder {
    type Head = RequestHead;

    fn piece(event: RequestEvent) -> Piece<RequestHead> {
        match event {
            RequestEvent::Head(head) => Piece::Head(head),
            RequestEvent::Body(chunk) => Piece::Body(chunk.len()),
            RequestEvent::End => Piece::End,
        }
    }

    fn surplus(&self) -> u64 {
        Self::surplus(self)
    }

    fn is_upgraded(&self) -> bool {
        false
    }
}

impl Pieces for ResponseDecoder {
    type Head = ResponseHead;

    fn piece(event: ResponseEvent) -> Piece<ResponseHead> {
        match event {
            ResponseEvent::Head(head) => Piece::Head(head),
            ResponseEvent::Body(chunk) => Piece::Body(chunk.len()),
            ResponseEvent::End => Piece::End,
        }
    }

    fn surplus(&self) -> u64 {
        Self::surplus(self)
    }

    fn is_upgraded(&self) -> bool {
        Self::is_upgraded(self)
    }
}

impl<D: Pieces> Message<D> {
    pub(crate) fn new(decoder: D) -> Self {
        Self {
            receiver: DecodeBuffer::new(decoder),
            head: None,
            head_len: 0,
            bytes: 0,
            body: 0,
            surplus: 0,
            is_complete: false,
            is_tunnel: false,
            error: None,
            head_at: None,
            last_at: None,
            ended_at: None,
        }
    }

    /// Takes bytes as they come, none at the end of input. Whether the head came with them.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Duration) -> bool {
        self.bytes += bytes.len() as u64;
        let time = if bytes.is_empty() { &mut self.ended_at } else { &mut self.last_at };
        *time = Some(now);
        // After an error, bytes are only counted.
        if self.error.is_some() || self.is_tunnel {
            return false;
        }
        let had_head = self.head.is_some();
        self.receiver.buffer_mut().extend_from_slice(bytes);
        self.receiver.advance(bytes.len());
        self.error = self.decode().err();
        self.surplus = self.receiver.decoder().surplus();
        self.is_tunnel = self.receiver.decoder().is_upgraded();
        self.is_complete |= self.is_tunnel;
        let came = self.head.is_some() && !had_head;
        if came {
            self.head_at = Some(now);
            let rest = if self.is_tunnel { self.receiver.buffer_mut().len() as u64 } else { 0 };
            self.head_len = self.bytes - self.body - self.surplus - rest;
        }
        came
    }

    /// The bytes of the tunnel that came with the head; once.
    pub(crate) fn take_first_of_tunnel(&mut self) -> BytesMut {
        if self.is_tunnel { mem::take(self.receiver.buffer_mut()) } else { BytesMut::new() }
    }

    fn decode(&mut self) -> Result<(), DecodeError> {
        while let Some(event) = self.receiver.next_event()? {
            match D::piece(event) {
                Piece::Head(head) => self.head = Some(head),
                Piece::Body(len) => self.body += len as u64,
                Piece::End => self.is_complete = true,
            }
        }
        Ok(())
    }
}

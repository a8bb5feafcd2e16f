//! The codecs for [`tokio_util::codec::Framed`].

use std::mem;

use bytes::{BufMut, BytesMut};
use scgi_proto::{
    Decode, Error, Limits, Policy, RequestDecoder, RequestEncoder, RequestEvent, ResponseDecoder,
    ResponseEncoder, ResponseEvent,
};
use tokio_util::codec::{Decoder, Encoder};

/// The server's side: decodes [`RequestEvent`]s, encodes [`ResponseEvent`]s.
///
/// A codec is for one connection. It knows from the request's head that it was a HEAD request: the
/// response then needs no body, and one is not written. A program that decodes with one codec and
/// encodes with another calls [`for_head_request`](Self::for_head_request) on the second. A
/// malformed request is an error, and nothing is answered: a program that wants the usual reply (400,
/// 413 or 431) uses [`serve`](crate::serve()) or [`Connection`](crate::Connection).
///
/// Stop reading at [`RequestEvent::End`]: the front server then waits for the reply, and a
/// further read would wait for the front server. Close the stream after
/// [`ResponseEvent::End`].
///
/// # Examples
/// Without a runtime, on bytes:
/// ```
/// use bytes::BytesMut;
/// use scgi_tokio::{RequestEvent, ServerCodec};
/// use tokio_util::codec::Decoder;
///
/// let mut buf = BytesMut::from("0:,");
/// let mut codec = ServerCodec::default();
/// assert!(matches!(codec.decode(&mut buf)?, Some(RequestEvent::Head(_))));
/// assert_eq!(codec.decode(&mut buf)?, Some(RequestEvent::End));
/// # Ok::<(), scgi_tokio::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct ServerCodec {
    decoder: RequestDecoder,
    encoder: ResponseEncoder,
    is_head_request: bool,
}

impl ServerCodec {
    /// A codec with these bounds and rules.
    #[must_use]
    pub fn new(limits: Limits, policy: Policy) -> Self {
        let decoder = RequestDecoder::new(limits, policy);
        Self { decoder, ..Self::default() }
    }

    /// A codec for the response to a HEAD request, whose head another codec has decoded.
    #[must_use]
    pub fn for_head_request(mut self) -> Self {
        self.note_head_request();
        self
    }

    fn note_head_request(&mut self) {
        self.is_head_request = true;
        self.encoder = mem::take(&mut self.encoder).for_head_request();
    }

    fn noted(&mut self, event: Option<RequestEvent>) -> Option<RequestEvent> {
        if let Some(RequestEvent::Head(head)) = &event {
            if head.method() == Some(b"HEAD") {
                self.note_head_request();
            }
        }
        event
    }
}

impl Decoder for ServerCodec {
    type Item = RequestEvent;
    type Error = Error;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<RequestEvent>, Error> {
        let event = self.decoder.decode(src)?;
        Ok(self.noted(event))
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<RequestEvent>, Error> {
        let event = self.decoder.decode_eof(src)?;
        Ok(self.noted(event))
    }
}

impl Encoder<ResponseEvent> for ServerCodec {
    type Error = Error;

    fn encode(&mut self, event: ResponseEvent, dst: &mut BytesMut) -> Result<(), Error> {
        match event {
            ResponseEvent::Head(head) => self.encoder.head(&head, dst)?,
            ResponseEvent::Body(chunk) => {
                self.encoder.body(chunk.len())?;
                if !self.is_head_request {
                    dst.put(chunk);
                }
            }
            ResponseEvent::End => self.encoder.finish()?,
        }
        Ok(())
    }
}

/// The client's side: encodes [`RequestEvent`]s, decodes [`ResponseEvent`]s.
///
/// A codec is for one connection. It knows from the request's head that it was a HEAD request: the
/// response has no body then, whatever its Content-Length. A program that encodes with one codec and
/// decodes with another calls [`for_head_request`](Self::for_head_request) on the second.
#[derive(Debug, Default)]
pub struct ClientCodec {
    decoder: ResponseDecoder,
    encoder: RequestEncoder,
}

impl ClientCodec {
    /// A codec with these bounds on the response.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { decoder: ResponseDecoder::new(limits), encoder: RequestEncoder::default() }
    }

    /// A codec for the response to a HEAD request, whose head another codec has encoded.
    #[must_use]
    pub fn for_head_request(mut self) -> Self {
        self.note_head_request();
        self
    }

    fn note_head_request(&mut self) {
        self.decoder = mem::take(&mut self.decoder).without_body();
    }
}

impl Decoder for ClientCodec {
    type Item = ResponseEvent;
    type Error = Error;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<ResponseEvent>, Error> {
        Ok(self.decoder.decode(src)?)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<ResponseEvent>, Error> {
        Ok(self.decoder.decode_eof(src)?)
    }
}

impl Encoder<RequestEvent> for ClientCodec {
    type Error = Error;

    fn encode(&mut self, event: RequestEvent, dst: &mut BytesMut) -> Result<(), Error> {
        match event {
            RequestEvent::Head(head) => {
                self.encoder.head(&head, dst)?;
                if head.method() == Some(b"HEAD") {
                    self.note_head_request();
                }
            }
            RequestEvent::Body(chunk) => {
                self.encoder.body(chunk.len())?;
                dst.put(chunk);
            }
            RequestEvent::End => self.encoder.finish()?,
        }
        Ok(())
    }
}

//! The codecs for [`tokio_util::codec::Framed`].

use bytes::{BufMut, BytesMut};
use scgi_proto::{
    Decode, Error, Limits, Policy, RequestDecoder, RequestEncoder, RequestEvent, ResponseDecoder,
    ResponseEncoder, ResponseEvent,
};
use tokio_util::codec::{Decoder, Encoder};

/// The server's side: decodes [`RequestEvent`]s, encodes [`ResponseEvent`]s.
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
}

impl ServerCodec {
    /// A codec with these bounds and rules.
    #[must_use]
    pub fn new(limits: Limits, policy: Policy) -> Self {
        let decoder = RequestDecoder::new(limits, policy);
        Self { decoder, encoder: ResponseEncoder::default() }
    }
}

impl Decoder for ServerCodec {
    type Item = RequestEvent;
    type Error = Error;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<RequestEvent>, Error> {
        Ok(self.decoder.decode(src)?)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<RequestEvent>, Error> {
        Ok(self.decoder.decode_eof(src)?)
    }
}

impl Encoder<ResponseEvent> for ServerCodec {
    type Error = Error;

    fn encode(&mut self, event: ResponseEvent, dst: &mut BytesMut) -> Result<(), Error> {
        match event {
            ResponseEvent::Head(head) => self.encoder.head(&head, dst)?,
            ResponseEvent::Body(chunk) => {
                self.encoder.body(chunk.len())?;
                dst.put(chunk);
            }
            ResponseEvent::End => self.encoder.finish()?,
        }
        Ok(())
    }
}

/// The client's side: encodes [`RequestEvent`]s, decodes [`ResponseEvent`]s.
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
            RequestEvent::Head(head) => self.encoder.head(&head, dst)?,
            RequestEvent::Body(chunk) => {
                self.encoder.body(chunk.len())?;
                dst.put(chunk);
            }
            RequestEvent::End => self.encoder.finish()?,
        }
        Ok(())
    }
}

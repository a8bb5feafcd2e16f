//! The decoder and the codec without a runtime and without I/O: bytes in, events out.
//!
//! Usage: `sync`

use bytes::BytesMut;
use scgi_proto::{Decode, RequestDecoder, RequestEvent};
use scgi_tests::BoxError;
use scgi_tokio::ServerCodec;
use tokio_util::codec::Decoder;

const REQUEST: &[u8] = b"47:CONTENT_LENGTH\x005\0SCGI\x001\0REQUEST_URI\0/hello?x=1\0,world";

fn main() -> Result<(), BoxError> {
    // As the bytes come, in pieces of any size.
    let mut decoder = RequestDecoder::default();
    let mut buf = BytesMut::new();
    for piece in REQUEST.chunks(7) {
        buf.extend_from_slice(piece);
        while let Some(event) = decoder.decode(&mut buf)? {
            show(&event);
        }
    }
    // The same as a codec of tokio-util, which needs no runtime either.
    let mut codec = ServerCodec::default();
    let mut buf = BytesMut::from(REQUEST);
    while let Some(event) = codec.decode(&mut buf)? {
        show(&event);
    }
    Ok(())
}

fn show(event: &RequestEvent) {
    match event {
        RequestEvent::Head(head) => {
            println!("{} bytes of body for\n{}", head.content_length(), head.params());
        }
        RequestEvent::Body(chunk) => println!("{chunk:?}"),
        RequestEvent::End => println!("end\n"),
    }
}

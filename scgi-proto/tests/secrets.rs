//! `Debug` of whatever holds a request or a response shows no cookie and no credentials.

use std::fmt::Debug;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use scgi_proto::{
    Buffers, ClientConfig, ClientExchange, ConnectionConfig, DecodeBuffer, Request, RequestDecoder,
    RequestEvent, RequestHead, RequestHeadBuilder, Response, ResponseEvent, ResponseHead,
    ServerExchange, Status,
};

const NAMES: [&str; 6] = [
    "HTTP_COOKIE",
    "HTTP_AUTHORIZATION",
    "REDIRECT_HTTP_AUTHORIZATION",
    "HTTP_PROXY_AUTHORIZATION",
    "HTTP_X_API_KEY",
    "HTTP_X_AUTH_TOKEN",
];

fn builder() -> RequestHeadBuilder {
    let builder = RequestHead::builder("GET", "/");
    NAMES.iter().fold(builder, |builder, name| builder.append(name, "s3cret"))
}

fn response() -> ResponseHead {
    ResponseHead::new(Status::OK)
        .with_field("Set-Cookie", "s3cret")
        .with_field("Authorization", "s3cret")
        .with_field("X-Api-Key", "s3cret")
}

fn check(value: &dyn Debug) {
    let shown = format!("{value:?} {value:#?}");
    // As text or as the numbers of its bytes.
    assert!(!shown.contains("s3cret") && !shown.contains("115, 51, 99"), "{shown}");
}

/// A request as bytes.
fn bytes() -> BytesMut {
    let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
    call.send(RequestEvent::Head(builder().build())).expect("legal");
    call.send(RequestEvent::End).expect("legal");
    check(&call);
    call.pending().0.into()
}

#[test]
fn heads_and_messages() {
    check(&builder());
    check(&builder().build());
    check(builder().build().params());
    check(&RequestEvent::Head(builder().build()));
    check(&Request::<Bytes>::new(builder().build(), ""));
    check(&response());
    check(&ResponseEvent::Head(response()));
    check(&Response::<Bytes>::from_parts(response(), ""));
    assert!(format!("{:?}", builder()).contains(r#""HTTP_COOKIE": "[redacted]""#));
}

#[test]
fn machines_and_buffers() {
    let request = bytes();
    for len in 0..=request.len() {
        let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
        exchange.receive_slice(&request[..len]);
        check(&exchange);
        let mut buffer = DecodeBuffer::new(RequestDecoder::default());
        buffer.buffer_mut().extend_from_slice(&request[..len]);
        buffer.advance(len);
        check(&buffer);
        if len == request.len() {
            let event = exchange.next_event();
            check(&event);
            exchange.send(ResponseEvent::Head(response())).expect("legal");
            check(&exchange);
            check(&exchange.take_memory());
        }
    }
    let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
    call.buffer_mut().extend_from_slice(b"Set-Cookie: s3cret\r\n");
    call.handle_read(20);
    check(&call);
    check(&Buffers::default());
}

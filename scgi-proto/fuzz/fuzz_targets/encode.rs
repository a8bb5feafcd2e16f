//! Both encoders, given anything: the first byte chooses the encoder, the second the separator at
//! which the rest falls into names and values. What they refuse leaves no byte behind; what they
//! write decodes to the same, so no value became a param or a field of its own.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use scgi_proto::{
    Decode as _, Limits, Policy, RequestDecoder, RequestEncoder, RequestEvent, RequestHeadBuilder,
    ResponseDecoder, ResponseEncoder, ResponseEvent, ResponseHead, Status,
};

fuzz_target!(|data: &[u8]| {
    let Some((&[choice, separator], rest)) = data.split_first_chunk() else { return };
    let parts: Vec<&[u8]> = rest.split(|byte| *byte == separator).collect();
    let pairs = parts.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    if choice % 2 == 0 {
        request(choice, pairs);
    } else {
        response(choice, pairs);
    }
});

/// More than fit into an input.
fn limits() -> Limits {
    Limits::default().with_max_params(1 << 20).with_max_fields(1 << 20).with_max_response_head_len(1 << 20)
}

fn request<'a>(length: u8, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    let head = pairs
        .fold(RequestHeadBuilder::default(), |head, (name, value)| match value.first() {
            Some(b'r') => head.param(name, value),
            _ => head.append(name, value),
        })
        .content_length(length.into())
        .build();
    let (mut encoder, mut out) = (RequestEncoder::default(), BytesMut::new());
    if encoder.head(&head, &mut out).is_err() {
        assert!(out.is_empty());
        return;
    }
    assert!(encoder.body(usize::from(length) + 1).is_err());
    assert_eq!(encoder.finish().is_ok(), length == 0);
    let mut decoder = RequestDecoder::new(limits(), Policy::default());
    let Ok(Some(RequestEvent::Head(decoded))) = decoder.decode(&mut out) else {
        panic!("what was encoded is legal");
    };
    let others = |(name, _): &(&[u8], &[u8])| !matches!(*name, b"CONTENT_LENGTH" | b"SCGI");
    assert!(decoded.params().iter().filter(others).eq(head.params().iter().filter(others)));
    assert_eq!(decoded.content_length(), u64::from(length));
}

fn response<'a>(code: u8, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    let status = Status::new(100 + u16::from(code) * 3).expect("100 to 999");
    let head = pairs.fold(ResponseHead::new(status), |head, (name, value)| match name {
        b"" => head.with_reason(String::from_utf8_lossy(value)),
        name => head.with_field(name, value),
    });
    let mut out = BytesMut::new();
    if ResponseEncoder::default().head(&head, &mut out).is_err() {
        assert!(out.is_empty());
        return;
    }
    let mut decoder = ResponseDecoder::new(limits());
    let Ok(Some(ResponseEvent::Head(decoded))) = decoder.decode(&mut out) else {
        panic!("what was encoded is legal");
    };
    assert!(out.is_empty(), "the head ends where it was meant to");
    assert_eq!(decoded.status(), status);
    let sent = head.fields().iter().map(|(name, value)| (name, trim(value)));
    assert!(decoded.fields().iter().eq(sent));
}

/// Blanks around a value are not part of it (RFC 9110 section 5.5).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

//! The conversions to and from `http`: whatever was decoded converts or is refused, and what was
//! converted can be encoded and converts back to the same.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use scgi_proto::http::{request_from_http, request_to_http, response_from_http, response_to_http};
use scgi_proto::{
    Decode as _, RequestDecoder, RequestEncoder, RequestEvent, ResponseDecoder, ResponseEncoder,
    ResponseEvent,
};

fuzz_target!(|data: &[u8]| {
    request(data);
    response(data);
    client(data);
});

/// What an HTTP client could be asked to send, as lines: `METHOD URI`, then `name:value`.
fn client(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let (method, uri) = first.split_at(first.iter().position(|b| *b == b' ').unwrap_or(0));
    let mut request = http::Request::builder().method(method).uri(uri.get(1..).unwrap_or(uri));
    for line in lines {
        let (name, value) = line.split_at(line.iter().position(|b| *b == b':').unwrap_or(0));
        request = request.header(name, value.get(1..).unwrap_or(value));
    }
    let Ok(request) = request.body(()) else { return };
    let Ok(head) = request_from_http(&request.into_parts().0) else { return };
    assert!(head.params().iter().all(|(name, _)| !name.eq_ignore_ascii_case(b"HTTP_PROXY")));
    let mut out = BytesMut::new();
    RequestEncoder::default().head(&head, &mut out).expect("what was converted can be sent");
    let Ok(Some(RequestEvent::Head(_))) = RequestDecoder::default().decode(&mut out) else {
        panic!("what was sent is legal");
    };
}

fn request(data: &[u8]) {
    let mut decoder = RequestDecoder::default();
    let Ok(Some(RequestEvent::Head(head))) = decoder.decode(&mut BytesMut::from(data)) else {
        return;
    };
    let Ok(parts) = request_to_http(head) else { return };
    for name in ["proxy", "transfer-encoding", "connection"] {
        assert!(!parts.headers.contains_key(name), "{name} came through");
    }
    let Ok(head) = request_from_http(&parts) else { return };
    let mut out = BytesMut::new();
    if RequestEncoder::default().head(&head, &mut out).is_ok() {
        let again = request_to_http(head).expect("what came from http goes back");
        assert_eq!((again.method, again.uri.path()), (parts.method, parts.uri.path()));
    }
}

fn response(data: &[u8]) {
    let mut decoder = ResponseDecoder::default();
    let Ok(Some(ResponseEvent::Head(head))) = decoder.decode(&mut BytesMut::from(data)) else {
        return;
    };
    let Ok(parts) = response_to_http(&head) else { return };
    let head = response_from_http(&parts);
    assert_eq!(head.status().code(), parts.status.as_u16());
    let mut out = BytesMut::new();
    let _ = ResponseEncoder::default().head(&head, &mut out);
}

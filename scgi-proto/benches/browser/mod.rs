//! The head of a browser's request, as nginx sends it: 25 params, 11 of them headers.

use bytes::BytesMut;
use scgi_proto::{Decode, RequestDecoder, RequestEvent, RequestHead};

const PARAMS: &[(&str, &str)] = &[
    ("CONTENT_LENGTH", "0"),
    ("REQUEST_METHOD", "GET"),
    ("REQUEST_URI", "/app/items/42?sort=price&page=3&lang=en"),
    ("QUERY_STRING", "sort=price&page=3&lang=en"),
    ("CONTENT_TYPE", ""),
    ("DOCUMENT_URI", "/app/items/42"),
    ("DOCUMENT_ROOT", "/usr/share/nginx/html"),
    ("SCGI", "1"),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
    ("REQUEST_SCHEME", "http"),
    ("REMOTE_ADDR", "203.0.113.77"),
    ("REMOTE_PORT", "50134"),
    ("SERVER_PORT", "80"),
    ("SERVER_NAME", "www.example.org"),
    ("HTTP_HOST", "www.example.org"),
    ("HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("HTTP_ACCEPT", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("HTTP_ACCEPT_LANGUAGE", "en-GB,en;q=0.5"),
    ("HTTP_ACCEPT_ENCODING", "gzip, deflate, br, zstd"),
    ("HTTP_CONNECTION", "keep-alive"),
    ("HTTP_COOKIE", "sid=3f9a1c7e5b2d4860"),
    ("HTTP_UPGRADE_INSECURE_REQUESTS", "1"),
    ("HTTP_SEC_FETCH_DEST", "document"),
    ("HTTP_SEC_FETCH_MODE", "navigate"),
    ("HTTP_SEC_FETCH_SITE", "same-origin"),
];

/// The request as it is sent.
pub(crate) fn request() -> String {
    let block: String =
        PARAMS.iter().flat_map(|(name, value)| [*name, "\0", *value, "\0"]).collect();
    format!("{}:{block},", block.len())
}

/// The head, decoded from a buffer with room behind it, as a server does.
#[allow(dead_code, reason = "some programs send the request")]
pub(crate) fn head() -> RequestHead {
    let mut buf = BytesMut::with_capacity(16 * 1024);
    buf.extend_from_slice(request().as_bytes());
    match RequestDecoder::default().decode(&mut buf) {
        Ok(Some(RequestEvent::Head(head))) => head,
        other => panic!("{other:?}"),
    }
}

//! From a received SCGI request to an `http` one.

use alloc::vec::Vec;

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::{ClientAddress, ConvertError, MountPoint, uri};
use crate::wire::params::Params;
use crate::wire::request::RequestHead;

/// Makes an `http` request's head of a received one.
///
/// - Method: REQUEST_METHOD, extension methods too.
/// - URI: REQUEST_URI in origin form, without a fragment; where it is absent, SCRIPT_NAME,
///   PATH_INFO and QUERY_STRING together. Bytes that a URI cannot hold are percent-encoded.
/// - Version: SERVER_PROTOCOL, else HTTP/1.1.
/// - Headers: every `HTTP_*` param, repeated ones in their order. Content-Type and Content-Length
///   come from CONTENT_TYPE and from the length of the body that follows, never from
///   HTTP_CONTENT_TYPE and HTTP_CONTENT_LENGTH, which a client of lighttpd can forge. What
///   concerns only the browser's connection (Connection, Keep-Alive, TE, Trailer,
///   Transfer-Encoding, Upgrade, Expect, Proxy-Connection) and Proxy
///   ([httpoxy](https://httpoxy.org)) is left out. A param whose name makes no header name is
///   left to [`Params`].
/// - Extensions: [`Params`], [`MountPoint`], where they are known [`ClientAddress`] and
///   `http::uri::Scheme` (from HTTPS, else REQUEST_SCHEME).
///
/// # Errors
/// If there is no method or no path, or a header holds a control byte, which hyper refuses too.
///
/// # Examples
/// ```
/// use scgi_proto::RequestHead;
/// use scgi_proto::http::request_to_http;
///
/// let head = RequestHead::builder("GET", "/a?b").param("HTTP_HOST", "example.org").build();
/// let parts = request_to_http(head)?;
/// assert_eq!((parts.method.as_str(), parts.uri.path()), ("GET", "/a"));
/// assert_eq!(parts.headers["host"], "example.org");
/// # Ok::<(), scgi_proto::http::ConvertError>(())
/// ```
pub fn request_to_http(head: RequestHead) -> Result<Parts, ConvertError> {
    let mut parts = ::http::Request::new(()).into_parts().0;
    let method = head.method().filter(|method| !method.is_empty());
    let method = method.ok_or(ConvertError::MissingMethod)?;
    parts.method = Method::from_bytes(method).map_err(|_| ConvertError::InvalidMethod)?;
    parts.uri = uri::uri(head.params())?;
    parts.version = version(head.params());
    parts.headers = headers(head.params())?;
    let len = head.body_length();
    if len > 0 || states_empty_body(&parts.method) {
        parts.headers.insert(CONTENT_LENGTH, len.into());
    }
    if let Some(scheme) = uri::scheme(head.params()) {
        parts.extensions.insert(scheme);
    }
    if let Some(client) = ClientAddress::of(head.params()) {
        parts.extensions.insert(client);
    }
    parts.extensions.insert(MountPoint::new(head.script_name().unwrap_or_default()));
    parts.extensions.insert(head.into_params());
    Ok(parts)
}

/// Whether an empty body is worth a `Content-Length: 0` (RFC 9110 section 8.6): SCGI always
/// states a length, HTTP only where a body is expected.
fn states_empty_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn version(params: &Params) -> Version {
    match params.get("SERVER_PROTOCOL") {
        Some(b"HTTP/0.9") => Version::HTTP_09,
        Some(b"HTTP/1.0") => Version::HTTP_10,
        Some(b"HTTP/2.0" | b"HTTP/2") => Version::HTTP_2,
        Some(b"HTTP/3.0" | b"HTTP/3") => Version::HTTP_3,
        _ => Version::HTTP_11,
    }
}

fn headers(params: &Params) -> Result<HeaderMap, ConvertError> {
    let mut headers = HeaderMap::with_capacity(params.len());
    let mut text = Vec::with_capacity(32);
    for (index, (name, value)) in params.iter().enumerate() {
        let to_value = || {
            HeaderValue::from_bytes(value).map_err(|_| ConvertError::InvalidHeaderValue { index })
        };
        if name == b"CONTENT_TYPE" && !value.is_empty() {
            headers.insert(CONTENT_TYPE, to_value()?);
        }
        let Some(name) = name.strip_prefix(b"HTTP_").filter(|name| !is_left_out(name)) else {
            continue;
        };
        text.clear();
        text.extend(name.iter().map(|b| if *b == b'_' { b'-' } else { *b }));
        if let Ok(name) = HeaderName::from_bytes(&text) {
            headers.append(name, to_value()?);
        }
    }
    Ok(headers)
}

/// Whether a variable, without its `HTTP_`, makes no header.
pub(super) fn is_left_out(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 12] = [
        b"CONTENT_TYPE",
        b"CONTENT_LENGTH",
        b"PROXY",
        b"TRANSFER_ENCODING",
        b"CONNECTION",
        b"TE",
        b"KEEP_ALIVE",
        b"UPGRADE",
        b"EXPECT",
        // Not used by browsers, and of the same kind.
        b"TRAILER",
        b"PROXY_CONNECTION",
        b"PROXY_AUTHENTICATE",
    ];
    // Without regard to case and to `-`: header names have no case, and both are one header.
    let is = |left: &[u8]| {
        left.len() == name.len()
            && left.iter().zip(name).all(|(left, byte)| {
                *left == byte.to_ascii_uppercase() || (*left == b'_' && *byte == b'-')
            })
    };
    NAMES.into_iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request::RequestHeadBuilder;
    use alloc::format;
    use alloc::string::String;

    #[test]
    fn what_is_left_out_is_a_whole_name() {
        for name in [&b"KEEP_ALIVE"[..], b"keep-alive", b"Keep_Alive", b"TE", b"te"] {
            assert!(is_left_out(name), "{name:?}");
        }
        for name in [&b"KEEPXALIVE"[..], b"KEEP_ALIV", b"KEEP_ALIVES", b"T-", b"", b"_E"] {
            assert!(!is_left_out(name), "{name:?}");
        }
    }

    fn head(pairs: &[(&str, &[u8])]) -> RequestHeadBuilder {
        let builder = RequestHead::builder("GET", "/");
        pairs.iter().fold(builder, |b, (n, v)| b.append(n, v))
    }

    fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
        headers.iter().map(|(n, v)| (format!("{n}"), v.as_bytes().to_vec())).collect()
    }

    #[test]
    fn methods() {
        for (method, expected) in [
            ("GET", Ok(Method::GET)),
            ("PROPFIND", Ok(Method::from_bytes(b"PROPFIND").expect("a method"))),
            ("get", Ok(Method::from_bytes(b"get").expect("a method"))),
            ("", Err(ConvertError::MissingMethod)),
            ("G T", Err(ConvertError::InvalidMethod)),
            ("GET\r\n", Err(ConvertError::InvalidMethod)),
        ] {
            let parts = request_to_http(RequestHead::builder(method, "/").build());
            assert_eq!(parts.map(|parts| parts.method), expected, "{method}");
        }
        let empty = RequestHeadBuilder::default().build();
        assert_eq!(request_to_http(empty).err(), Some(ConvertError::MissingMethod));
    }

    #[test]
    fn versions() {
        for (protocol, expected) in [
            ("HTTP/1.1", Version::HTTP_11),
            ("HTTP/1.0", Version::HTTP_10),
            ("HTTP/0.9", Version::HTTP_09),
            ("HTTP/2.0", Version::HTTP_2),
            ("HTTP/2", Version::HTTP_2),
            ("HTTP/3.0", Version::HTTP_3),
            ("INCLUDED", Version::HTTP_11),
            ("", Version::HTTP_11),
        ] {
            let head = RequestHead::builder("GET", "/").param("SERVER_PROTOCOL", protocol).build();
            let version = request_to_http(head).map(|parts| parts.version);
            assert_eq!(version, Ok(expected), "{protocol}");
        }
    }

    #[test]
    fn header_names_and_values() {
        type Row<'a> = (&'a [(&'a str, &'a [u8])], &'a [(&'a str, &'a [u8])]);
        let rows: &[Row<'_>] = &[
            (&[("HTTP_HOST", b"a:80")], &[("host", b"a:80")]),
            (&[("HTTP_X_A_B", b"1")], &[("x-a-b", b"1")]),
            (&[("HTTP_9DIGIT", b"1")], &[("9digit", b"1")]),
            (&[("HTTP_X_EMPTY", b"")], &[("x-empty", b"")]),
            (&[("HTTP_X", b"caf\xe9\tx")], &[("x", b"caf\xe9\tx")]),
            (&[("HTTP_X", "é".as_bytes())], &[("x", "é".as_bytes())]),
            // Repeated: in order.
            (
                &[("HTTP_COOKIE", b"a=1"), ("HTTP_X", b"1"), ("HTTP_COOKIE", b"b=2")],
                &[("cookie", b"a=1"), ("cookie", b"b=2"), ("x", b"1")],
            ),
            // From their own variables only.
            (&[("CONTENT_TYPE", b"a/b")], &[("content-type", b"a/b")]),
            (&[("CONTENT_TYPE", b"")], &[]),
            (&[("HTTP_CONTENT_TYPE", b"a/b")], &[]),
            (
                &[("CONTENT_TYPE", b"a/b"), ("HTTP_CONTENT_TYPE", b"c/d")],
                &[("content-type", b"a/b")],
            ),
            // No headers.
            (&[("AUTH_TYPE", b"Basic"), ("http_x", b"1"), ("proxy-scgi-pathinfo", b"1")], &[]),
            (&[("HTTP_", b"1"), ("HTTP_A B", b"\x01")], &[]),
            // Of the browser's connection.
            (&[("HTTP_PROXY", b"1"), ("HTTP_TRANSFER_ENCODING", b"chunked")], &[]),
            (&[("HTTP_CONNECTION", b"close"), ("HTTP_TE", b"trailers")], &[]),
            (&[("HTTP_KEEP_ALIVE", b"1"), ("HTTP_UPGRADE", b"h2c")], &[]),
            (&[("HTTP_EXPECT", b"100-continue"), ("HTTP_TRAILER", b"x")], &[]),
            (&[("HTTP_PROXY_CONNECTION", b"close")], &[]),
            (&[("HTTP_Transfer-Encoding", b"chunked"), ("HTTP_Proxy", b"x")], &[]),
            (&[("HTTP_PROXY_AUTHORIZATION", b"x")], &[("proxy-authorization", b"x")]),
        ];
        for (params, expected) in rows {
            let parts = request_to_http(head(params).build()).expect("a request");
            let expected: Vec<_> =
                expected.iter().map(|(n, v)| (String::from(*n), v.to_vec())).collect();
            assert_eq!(listed(&parts.headers), expected, "{params:?}");
        }
    }

    #[test]
    fn control_bytes_in_headers_are_refused() {
        for value in [&b"a\x01"[..], b"a\nb", b"a\rb", b"\x7f"] {
            let parts = request_to_http(head(&[("HTTP_X", value)]).build());
            assert_eq!(parts.err(), Some(ConvertError::InvalidHeaderValue { index: 8 }));
            assert!(request_to_http(head(&[("CONTENT_TYPE", value)]).build()).is_err());
        }
    }

    #[test]
    fn content_length_is_the_body_that_follows() {
        for (method, len, expected) in [
            ("GET", 0, None),
            ("DELETE", 0, None),
            ("POST", 0, Some("0")),
            ("PUT", 0, Some("0")),
            ("PATCH", 0, Some("0")),
            ("GET", 5, Some("5")),
            ("POST", u64::MAX, Some("18446744073709551615")),
        ] {
            let head = RequestHead::builder(method, "/").content_length(len).build();
            let parts = request_to_http(head).expect("a request");
            let stated = parts.headers.get(CONTENT_LENGTH).map(|v| v.to_str().expect("digits"));
            assert_eq!(stated, expected, "{method} {len}");
        }
    }

    #[test]
    fn extensions() {
        let head =
            head(&[("HTTPS", b"on"), ("REMOTE_ADDR", b"::1"), ("REMOTE_PORT", b"5"), ("X", b"y")]);
        let parts = request_to_http(head.param("SCRIPT_NAME", "/app/").build()).expect("a request");
        let extensions = &parts.extensions;
        assert_eq!(extensions.get::<Params>().and_then(|p| p.get("X")), Some(&b"y"[..]));
        assert_eq!(extensions.get(), Some(&MountPoint::new("/app")));
        let client = ClientAddress::new(core::net::Ipv6Addr::LOCALHOST.into(), Some(5));
        assert_eq!(extensions.get(), Some(&client));
        assert_eq!(extensions.get(), Some(&::http::uri::Scheme::HTTPS));
    }
}

//! Converts a received SCGI request to an `http` request.

use ::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderValue, Method, Uri, Version};

use bytes::Bytes;

use super::headers::{HTTP, add, add_unusual, insert, new_headers, shared, too_many};
use super::names::{Known, known};
use super::{ClientAddress, ConvertError, RequestContext, uri};
use crate::wire::request::RequestHead;
use crate::wire::request::path::PathParams;

/// Makes an `http` request's head of a received one.
///
/// - Method: REQUEST_METHOD, extension methods too.
/// - URI: REQUEST_URI in origin form, without a fragment; where it is absent, or where the head has
///   [`PathSource::Mapped`](crate::PathSource::Mapped), the path that the front server mapped.
///   Bytes that a URI cannot hold are percent-encoded. An empty path is `/`.
/// - A request that has neither a method nor a path, as RPC clients send it, is GET of `/`, or POST
///   of `/` if it has a body.
/// - Version: SERVER_PROTOCOL, else HTTP/1.1.
/// - Headers: every `HTTP_*` param, repeated ones in their order. Of a header that may appear only
///   once, such as Host, the last one counts, as with [`Params::get`](crate::Params::get). Content-Type and
///   Content-Length come from CONTENT_TYPE and from the length of the body that follows, never from
///   HTTP_CONTENT_TYPE and HTTP_CONTENT_LENGTH, which a client of lighttpd can forge. What
///   concerns only the browser's connection (Connection, Keep-Alive, TE, Trailer,
///   Transfer-Encoding, Upgrade, Expect, Proxy-Connection) and Proxy
///   ([httpoxy](https://httpoxy.org)) is left out. Connection and Upgrade of a valid
///   [upgrade](RequestHead::upgrade) stay. A param whose name makes no header name is
///   left to [`Params`](crate::Params). Values that [`is_secret`](crate::is_secret) names are marked as sensitive. A value shares the
///   memory of the head: one that is kept beyond its request keeps all of it, a usual head of up to
///   4 KiB with the rest of the buffer it was read into. Values of larger heads are copies.
/// - Extensions: one value, a [`RequestContext`] with the params, the client's address, the scheme
///   and the mount point.
///
/// # Errors
/// If there is a path and no method, or a method and no path; if the path has dot segments (unless
/// [`Policy::with_dot_segments`](crate::Policy::with_dot_segments) allows them); if a header holds a
/// control byte, which hyper refuses too; and if there are more than 24,576 different headers.
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
    let mut found = Found::scan(&head);
    if found.has_upgrade {
        found.add_upgrade(&head);
    }
    let mut parts = ::http::Request::new(()).into_parts().0;
    (parts.method, parts.uri) = found.method_and_uri(&head)?;
    parts.version = found.version();
    parts.headers = found.headers?;
    let len = head.body_length();
    if len > 0 || states_empty_body(&parts.method) {
        insert(&mut parts.headers, &CONTENT_LENGTH, len.into())?;
    }
    let client = ClientAddress::parse(found.remote_addr, found.remote_port);
    let is_https = uri::is_https(found.https, found.request_scheme);
    parts.extensions.insert(RequestContext::new(head.into_params(), client, is_https));
    Ok(parts)
}

/// The variables that make a request, of each the last one, and its headers.
struct Found<'a> {
    method: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
    path: PathParams<'a>,
    https: Option<&'a [u8]>,
    request_scheme: Option<&'a [u8]>,
    remote_addr: Option<&'a [u8]>,
    remote_port: Option<&'a [u8]>,
    headers: Result<HeaderMap, ConvertError>,
    /// Whether HTTP_UPGRADE is there, which is left out at first.
    has_upgrade: bool,
}

impl<'a> Found<'a> {
    /// Goes once through the params.
    fn scan(head: &'a RequestHead) -> Self {
        let mut found = Self {
            method: None,
            protocol: None,
            path: PathParams::default(),
            https: None,
            request_scheme: None,
            remote_addr: None,
            remote_port: None,
            headers: new_headers(head.params()),
            has_upgrade: false,
        };
        let block = head.params().block();
        for (index, (name, value)) in head.params().forward().enumerate() {
            if name.starts_with(HTTP) {
                found.header(index, block, name, value);
            } else if let Some(place) = found.place(name) {
                *place = Some(value);
            } else if name == b"CONTENT_TYPE" && !value.is_empty() {
                found.content_type(index, block, value);
            }
        }
        found
    }

    /// Where the value of a variable is noted.
    fn place(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        // By length first, so that few names are compared.
        Some(match name.len() {
            5 if name == b"HTTPS" => &mut self.https,
            9 if name == b"PATH_INFO" => &mut self.path.path_info,
            11 => match name {
                b"REQUEST_URI" => &mut self.path.request_uri,
                b"REMOTE_ADDR" => &mut self.remote_addr,
                b"REMOTE_PORT" => &mut self.remote_port,
                b"SCRIPT_NAME" => &mut self.path.script_name,
                _ => return None,
            },
            12 => match name {
                b"QUERY_STRING" => &mut self.path.query_string,
                b"DOCUMENT_URI" => &mut self.path.document_uri,
                _ => return None,
            },
            14 => match name {
                b"REQUEST_METHOD" => &mut self.method,
                b"REQUEST_SCHEME" => &mut self.request_scheme,
                _ => return None,
            },
            15 if name == b"SERVER_PROTOCOL" => &mut self.protocol,
            _ => return None,
        })
    }

    /// Adds a header, unless one before it was refused.
    fn header(&mut self, index: usize, block: &Bytes, name: &[u8], value: &[u8]) {
        let Ok(headers) = &mut self.headers else { return };
        let (name, is_single, is_secret) = match known(&name[HTTP.len()..]) {
            Some(Known::LeftOut) => {
                self.has_upgrade |= name == b"HTTP_UPGRADE";
                return;
            }
            Some(Known::List(name)) => (name, false, false),
            Some(Known::ListSecret(name)) => (name, false, true),
            Some(Known::Single(name)) => (name, true, false),
            Some(Known::SingleSecret(name)) => (name, true, true),
            None => {
                if let Err(error) = add_unusual(headers, index, block, name, value) {
                    self.headers = Err(error);
                }
                return;
            }
        };
        let Some(mut value) = shared(block, value) else {
            self.headers = Err(ConvertError::InvalidHeaderValue { index });
            return;
        };
        value.set_sensitive(is_secret);
        if let Err(error) = add(headers, name, value, is_single) {
            self.headers = Err(error);
        }
    }

    fn content_type(&mut self, index: usize, block: &Bytes, value: &[u8]) {
        let Ok(headers) = &mut self.headers else { return };
        let value = shared(block, value).ok_or(ConvertError::InvalidHeaderValue { index });
        if let Err(error) = value.and_then(|value| insert(headers, &CONTENT_TYPE, value)) {
            self.headers = Err(error);
        }
    }

    /// Adds Connection and Upgrade, if the upgrade is valid.
    #[cold]
    fn add_upgrade(&mut self, head: &RequestHead) {
        let Ok(headers) = &mut self.headers else { return };
        if head.upgrade().is_none() {
            return;
        }
        for (param, header) in [("HTTP_CONNECTION", CONNECTION), ("HTTP_UPGRADE", UPGRADE)] {
            for value in head.params().get_all(param) {
                // A value with a control byte offers nothing that a program could take.
                let Ok(value) = HeaderValue::from_bytes(value) else { continue };
                if headers.try_append(header.clone(), value).is_err() {
                    self.headers = Err(too_many());
                    return;
                }
            }
        }
    }

    fn version(&self) -> Version {
        match self.protocol {
            Some(b"HTTP/0.9") => Version::HTTP_09,
            Some(b"HTTP/1.0") => Version::HTTP_10,
            Some(b"HTTP/2.0" | b"HTTP/2") => Version::HTTP_2,
            Some(b"HTTP/3.0" | b"HTTP/3") => Version::HTTP_3,
            _ => Version::HTTP_11,
        }
    }

    fn method_and_uri(&self, head: &RequestHead) -> Result<(Method, Uri), ConvertError> {
        match self.method {
            // Bare SCGI clients, such as those of rTorrent, send CONTENT_LENGTH and SCGI only.
            None if self.path.is_empty() => {
                let method = if head.body_length() > 0 { Method::POST } else { Method::GET };
                Ok((method, Uri::from_static("/")))
            }
            None | Some(b"") => Err(ConvertError::MissingMethod),
            Some(method) => {
                let method = Method::from_bytes(method).map_err(|_| ConvertError::InvalidMethod)?;
                Ok((method, uri::uri(head, &self.path)?))
            }
        }
    }
}

/// Whether an empty body is worth a `Content-Length: 0` (RFC 9110 section 8.6): SCGI always
/// states a length, HTTP only where a body is expected.
fn states_empty_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::MAX_NAMES;
    use crate::wire::request::RequestHeadBuilder;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

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
    }

    #[test]
    fn a_bare_request_is_a_call_of_the_root_and_half_a_request_is_refused() {
        type Row<'a> = (&'a [(&'a str, &'a str)], u64, Result<(Method, &'a str), ConvertError>);
        let missing = Err(ConvertError::MissingMethod);
        let rows: &[Row<'_>] = &[
            (&[], 0, Ok((Method::GET, "/"))),
            (&[], 97, Ok((Method::POST, "/"))),
            (&[("HTTP_X", "1"), ("QUERY_STRING", "a")], 0, Ok((Method::GET, "/"))),
            (&[("REQUEST_URI", "/a")], 0, missing.clone()),
            (&[("SCRIPT_NAME", ""), ("PATH_INFO", "")], 5, missing.clone()),
            (&[("DOCUMENT_URI", "/a")], 0, missing.clone()),
            (&[("REQUEST_METHOD", "")], 0, missing.clone()),
            (&[("REQUEST_METHOD", "GET")], 0, Err(ConvertError::InvalidUri)),
            (&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "")], 0, Err(ConvertError::InvalidUri)),
            (&[("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", "")], 0, Ok((Method::GET, "/"))),
        ];
        for (pairs, len, expected) in rows {
            let builder = RequestHeadBuilder::default().content_length(*len);
            let head = pairs.iter().fold(builder, |b, (n, v)| b.append(n, v)).build();
            let parts = request_to_http(head).map(|parts| (parts.method, parts.uri));
            let expected = expected.clone().map(|(method, uri)| (method, Uri::from_static(uri)));
            assert_eq!(parts, expected, "{pairs:?}");
        }
    }

    #[test]
    fn of_a_header_that_can_be_there_once_the_last_one_counts() {
        for (variable, name) in [
            ("HTTP_HOST", "host"),
            ("HTTP_AUTHORIZATION", "authorization"),
            ("HTTP_USER_AGENT", "user-agent"),
            ("HTTP_ORIGIN", "origin"),
            ("HTTP_REFERER", "referer"),
            ("CONTENT_TYPE", "content-type"),
        ] {
            let head = head(&[(variable, b"first"), ("HTTP_X", b"1"), (variable, b"last")]).build();
            assert_eq!(head.params().get(variable), Some(&b"last"[..]));
            let parts = request_to_http(head).expect("a request");
            let values: Vec<_> = parts.headers.get_all(name).iter().collect();
            assert_eq!(values, ["last"], "{name}");
        }
        let head = head(&[("HTTP_X_FORWARDED_FOR", b"a"), ("HTTP_X_FORWARDED_FOR", b"b")]).build();
        let parts = request_to_http(head).expect("a request");
        assert!(parts.headers.get_all("x-forwarded-for").iter().eq(["a", "b"]));
    }

    #[test]
    fn values_that_are_secret_are_marked() {
        let secrets = ["HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_X_AUTH_TOKEN"];
        let builder = head(&[("HTTP_HOST", b"h"), ("HTTP_ACCEPT", b"a")]);
        let head = secrets.iter().fold(builder, |b, name| b.append(name, "s3cret")).build();
        let parts = request_to_http(head).expect("a request");
        let shown = format!("{:?}", parts.headers);
        assert!(!shown.contains("s3cret"), "{shown}");
        for (name, value) in &parts.headers {
            assert_eq!(value.is_sensitive(), value == "s3cret", "{name}");
        }
    }

    #[test]
    fn more_headers_than_a_map_holds_are_refused() {
        let with = |count: usize| {
            let builder = RequestHead::builder("POST", "/").content_length(1);
            (0..count).fold(builder, |b, i| b.append(format!("HTTP_X{i}"), "")).build()
        };
        // Content-Length is one more.
        let parts = request_to_http(with(MAX_NAMES - 1)).expect("a request");
        assert_eq!(parts.headers.keys_len(), MAX_NAMES);
        let error = request_to_http(with(MAX_NAMES)).err();
        assert_eq!(error, Some(ConvertError::TooManyHeaders { max: MAX_NAMES }));
        assert!(request_to_http(with(MAX_NAMES + 1)).is_err());
        // The same name, or params that are not headers, do not count.
        let builder = RequestHead::builder("GET", "/");
        let same = (0..30_000).fold(builder, |b, _| b.append("HTTP_X", ""));
        let head = (0..30_000).fold(same, |b, i| b.append(format!("X{i}"), "")).build();
        let parts = request_to_http(head).expect("a request");
        assert_eq!(parts.headers.get_all("x").iter().count(), 30_000);
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
        assert_eq!(parts.extensions.len(), 1);
        let context = parts.extensions.get::<RequestContext>().expect("the one value");
        assert_eq!(context.params().get("X"), Some(&b"y"[..]));
        assert_eq!(context.mount_point().as_bytes(), b"/app");
        let client = ClientAddress::new(core::net::Ipv6Addr::LOCALHOST.into(), Some(5));
        assert_eq!(context.client(), Some(client));
        assert_eq!(context.scheme(), Some(::http::uri::Scheme::HTTPS));
    }
}

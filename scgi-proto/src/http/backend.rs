//! Converts an `http` request to a request for an SCGI server.

use alloc::string::ToString;
use alloc::vec::Vec;

use ::http::header::{
    CONNECTION, CONTENT_TYPE, COOKIE, EXPECT, HOST, PROXY_AUTHORIZATION, TRANSFER_ENCODING, UPGRADE,
};
use ::http::request::Parts;
use ::http::uri::{Authority, Scheme};
use ::http::{HeaderName, HeaderValue, Version};

use super::context::client_of;
use super::rules::{body_length, check_request, single};
use super::{ConvertError, RequestRules};
use crate::wire::request::{RequestHead, RequestHeadBuilder};

/// Makes a request to a backend of an `http` request's head, with the variables of RFC 3875.
///
/// - REQUEST_URI is path and query, PATH_INFO the decoded path, SCRIPT_NAME empty.
/// - SERVER_NAME and SERVER_PORT come from the URI's authority, else from Host, else they are
///   `localhost` and 80 or 443.
/// - The extensions [`ClientAddress`](super::ClientAddress) and `http::uri::Scheme`, where they are
///   set, else those of the [`RequestContext`](super::RequestContext), become REMOTE_ADDR,
///   REMOTE_PORT, REQUEST_SCHEME and HTTPS.
/// - Content-Type and Content-Length become CONTENT_TYPE and CONTENT_LENGTH (0 if absent), every
///   other header an `HTTP_*` param. Repeated ones are joined with `, ` and cookies with `; `
///   (RFC 3875 section 4.1.18, RFC 9113 section 8.2.3).
/// - Left out: hop-by-hop headers and those that Connection names, Expect, Proxy-Authorization,
///   and Proxy ([httpoxy](https://httpoxy.org)).
/// - Connection and Upgrade of a valid [upgrade](RequestHead::upgrade), which HTTP/1.1 alone has, become
///   HTTP_CONNECTION and HTTP_UPGRADE.
/// - Left out unless [`RequestRules`] say otherwise: Forwarded, X-Forwarded-* and X-Real-IP, which
///   any client can send, and names with `_`, which pass for names with `-`.
///
/// # Errors
/// If Host, Content-Type or Content-Length is repeated, Content-Length is not a number,
/// Transfer-Encoding is not `chunked`, the method is CONNECT, the URI has no path, or the path
/// holds `%00` or a `%` without two hexadecimal digits.
///
/// # Examples
/// ```
/// use scgi_proto::http::request_from_http;
/// let (parts, ()) = http::Request::get("http://example.org/a%20b?c")
///     .header("cookie", "a=1")
///     .header("cookie", "b=2")
///     .body(())?
///     .into_parts();
/// let head = request_from_http(&parts)?;
/// assert_eq!(head.params().get_str("PATH_INFO"), Some("/a b"));
/// assert_eq!(head.params().get_str("HTTP_HOST"), Some("example.org"));
/// assert_eq!(head.params().get_str("HTTP_COOKIE"), Some("a=1; b=2"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn request_from_http(parts: &Parts) -> Result<RequestHead, ConvertError> {
    RequestRules::default().convert(parts)
}

impl RequestRules {
    /// Makes a request to a backend by these rules; [`request_from_http`] lists what it does.
    ///
    /// # Errors
    /// As `request_from_http`, and [`ConvertError::OutsideMount`] for a path outside the param
    /// SCRIPT_NAME.
    pub fn convert(&self, parts: &Parts) -> Result<RequestHead, ConvertError> {
        check_request(parts)?;
        let path = parts.uri.path_and_query().ok_or(ConvertError::InvalidUri)?;
        let mut builder = RequestHead::builder(parts.method.as_str(), path.as_str())
            .param("PATH_INFO", self.path_info(parts)?)
            .param("SERVER_PROTOCOL", protocol(parts.version))
            .append("GATEWAY_INTERFACE", "CGI/1.1")
            .append("SERVER_SOFTWARE", concat!("scgi-proto/", env!("CARGO_PKG_VERSION")));
        builder = self.server(parts, builder)?;
        if let Some(client) = client_of(&parts.extensions) {
            builder = builder.append("REMOTE_ADDR", client.ip().to_string());
            if let Some(port) = client.port() {
                builder = builder.append("REMOTE_PORT", port.to_string());
            }
        }
        builder = self.headers(parts, builder)?;
        let builder = self.params().fold(builder, |builder, (n, v)| builder.param(n, v));
        if parts.headers.contains_key(UPGRADE) {
            return Ok(with_upgrade(builder, parts));
        }
        Ok(builder.build())
    }

    /// The params that the scheme and Host decide about.
    fn server(
        &self,
        parts: &Parts,
        mut builder: RequestHeadBuilder,
    ) -> Result<RequestHeadBuilder, ConvertError> {
        let host = host(parts)?;
        let (name, port) = split_host(host.unwrap_or_default());
        if !name.is_empty() {
            builder = builder.param("SERVER_NAME", name);
        }
        let scheme = self.scheme(parts);
        let is_https = scheme == Some(Scheme::HTTPS);
        if let Some(port) = port {
            builder = builder.param("SERVER_PORT", port);
        } else if is_https {
            builder = builder.param("SERVER_PORT", "443");
        }
        if let Some(scheme) = scheme {
            builder = builder.append("REQUEST_SCHEME", scheme.as_str());
        }
        if is_https {
            builder = builder.append("HTTPS", "on");
        }
        Ok(host.into_iter().fold(builder, |builder, host| builder.append("HTTP_HOST", host)))
    }

    fn headers(
        &self,
        parts: &Parts,
        mut builder: RequestHeadBuilder,
    ) -> Result<RequestHeadBuilder, ConvertError> {
        let headers = &parts.headers;
        if let Some(value) = single(headers, &CONTENT_TYPE)? {
            builder = builder.append("CONTENT_TYPE", value);
        }
        if let Some(len) = body_length(headers)? {
            builder = builder.content_length(len);
        }
        let mut variable = Vec::with_capacity(32);
        let mut joined = Vec::new();
        for name in headers.keys() {
            let elsewhere = [HOST, EXPECT, PROXY_AUTHORIZATION].contains(name);
            if elsewhere || !self.passes(name, headers) {
                continue;
            }
            variable.clear();
            variable.extend_from_slice(b"HTTP_");
            variable.extend(name.as_str().bytes().map(to_variable));
            let separator: &[u8] = if name == COOKIE { b"; " } else { b", " };
            joined.clear();
            for (index, value) in headers.get_all(name).iter().enumerate() {
                if index > 0 {
                    joined.extend_from_slice(separator);
                }
                joined.extend_from_slice(value.as_bytes());
            }
            builder = builder.append(&variable, &joined);
        }
        Ok(builder)
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// The authority of the URI, which counts before Host (RFC 9112 section 3.2.2).
fn host(parts: &Parts) -> Result<Option<&[u8]>, ConvertError> {
    let header = single(&parts.headers, &HOST)?;
    let authority = parts.uri.authority().map(Authority::as_str);
    // Without a user's name and password, which Host cannot hold.
    let authority = authority.map(|text| text.rsplit_once('@').map_or(text, |(_, host)| host));
    Ok(authority.map(str::as_bytes).or_else(|| header.map(HeaderValue::as_bytes)))
}

/// `name:port`; an IPv6 address is in brackets.
fn split_host(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match host.split_at(host.len() - digits) {
        ([name @ .., b':'], port) => (name, Some(port).filter(|port| !port.is_empty())),
        _ => (host, None),
    }
}

fn to_variable(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }
}

/// The head with what asks for an upgrade, if that is valid.
#[cold]
fn with_upgrade(builder: RequestHeadBuilder, parts: &Parts) -> RequestHead {
    let joined = |name: &HeaderName| {
        let values: Vec<_> =
            parts.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        values.join(&b", "[..])
    };
    let upgraded = builder
        .clone()
        .append("HTTP_CONNECTION", joined(&CONNECTION))
        .append("HTTP_UPGRADE", joined(&UPGRADE))
        .build();
    // This header becomes no param.
    let has_body = parts.headers.contains_key(TRANSFER_ENCODING);
    if upgraded.upgrade().is_some() && !has_body { upgraded } else { builder.build() }
}

#[cfg(test)]
mod tests {
    use super::super::ClientAddress;
    use super::*;
    use ::http::header::CONTENT_LENGTH;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn parts(uri: &str, pairs: Pairs<'_>) -> Parts {
        let builder = pairs.iter().fold(::http::Request::get(uri), |b, (n, v)| b.header(*n, *v));
        builder.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn variables() {
        let rows: &[(&str, Pairs<'_>, Pairs<'_>)] = &[
            (
                "/a%20b?c=%20",
                &[],
                &[
                    ("REQUEST_METHOD", "GET"),
                    ("REQUEST_URI", "/a%20b?c=%20"),
                    ("SCRIPT_NAME", ""),
                    ("PATH_INFO", "/a b"),
                    ("QUERY_STRING", "c=%20"),
                    ("SERVER_NAME", "localhost"),
                    ("SERVER_PORT", "80"),
                    ("SERVER_PROTOCOL", "HTTP/1.1"),
                    ("GATEWAY_INTERFACE", "CGI/1.1"),
                    ("HTTP_HOST", "-"),
                    ("REMOTE_ADDR", "-"),
                    ("HTTPS", "-"),
                ],
            ),
            (
                "http://u:p@example.org:8080/x",
                &[("host", "other")],
                &[
                    ("HTTP_HOST", "example.org:8080"),
                    ("SERVER_NAME", "example.org"),
                    ("SERVER_PORT", "8080"),
                    ("REQUEST_URI", "/x"),
                    ("REQUEST_SCHEME", "http"),
                    ("HTTPS", "-"),
                ],
            ),
            (
                "https://example.org",
                &[],
                &[
                    ("SERVER_PORT", "443"),
                    ("HTTPS", "on"),
                    ("REQUEST_URI", "/"),
                    ("PATH_INFO", "/"),
                ],
            ),
            (
                "/",
                &[("host", "[::1]:81")],
                &[("HTTP_HOST", "[::1]:81"), ("SERVER_NAME", "[::1]"), ("SERVER_PORT", "81")],
            ),
            ("/", &[("host", "[::1]")], &[("SERVER_NAME", "[::1]"), ("SERVER_PORT", "80")]),
            ("/", &[("host", "")], &[("SERVER_NAME", "localhost"), ("HTTP_HOST", "")]),
            (
                "/",
                &[("content-type", "a/b"), ("content-length", "0")],
                &[
                    ("CONTENT_TYPE", "a/b"),
                    ("HTTP_CONTENT_TYPE", "-"),
                    ("HTTP_CONTENT_LENGTH", "-"),
                ],
            ),
            (
                "/",
                &[("x-a", "1"), ("x-a", "2"), ("cookie", "a=1"), ("cookie", "b=2")],
                &[("HTTP_X_A", "1, 2"), ("HTTP_COOKIE", "a=1; b=2")],
            ),
            (
                "/",
                &[("x_b", "1"), ("x.dot", "2"), ("x-empty", "")],
                &[("HTTP_X_B", "-"), ("HTTP_X.DOT", "2"), ("HTTP_X_EMPTY", "")],
            ),
            (
                "/",
                &[("connection", "close, X-Mine"), ("x-mine", "1"), ("authorization", "x")],
                &[("HTTP_CONNECTION", "-"), ("HTTP_X_MINE", "-"), ("HTTP_AUTHORIZATION", "x")],
            ),
            (
                "/",
                &[("transfer-encoding", "chunked"), ("te", "x"), ("expect", "100-continue")],
                &[("HTTP_TRANSFER_ENCODING", "-"), ("HTTP_TE", "-"), ("HTTP_EXPECT", "-")],
            ),
            (
                "/",
                &[("upgrade", "h2c"), ("keep-alive", "1"), ("proxy-authorization", "x")],
                &[
                    ("HTTP_UPGRADE", "-"),
                    ("HTTP_KEEP_ALIVE", "-"),
                    ("HTTP_PROXY_AUTHORIZATION", "-"),
                ],
            ),
        ];
        for (uri, given, expected) in rows {
            let head = request_from_http(&parts(uri, given)).expect("a head");
            for (name, value) in *expected {
                let sent = head.params().get_str(name).unwrap_or("-");
                assert_eq!(sent, *value, "{name} of {uri} with {given:?}");
                assert!(head.params().get_all(name).count() < 2, "{name} of {uri}");
            }
        }
    }

    #[test]
    fn extensions_become_variables() {
        let mut parts = parts("/", &[]);
        parts.extensions.insert(Scheme::HTTPS);
        parts.extensions.insert(ClientAddress::new([192, 0, 2, 1].into(), Some(5)));
        parts.version = Version::HTTP_2;
        let head = request_from_http(&parts).expect("a head");
        for (name, value) in [
            ("HTTPS", "on"),
            ("REQUEST_SCHEME", "https"),
            ("SERVER_PORT", "443"),
            ("REMOTE_ADDR", "192.0.2.1"),
            ("REMOTE_PORT", "5"),
            ("SERVER_PROTOCOL", "HTTP/2.0"),
        ] {
            assert_eq!(head.params().get_str(name), Some(value), "{name}");
        }
    }

    #[test]
    fn lengths() {
        let length = |value: &str| {
            request_from_http(&parts("/", &[("content-length", value)]))
                .map(|head| head.content_length())
        };
        assert_eq!(length("7"), Ok(7));
        assert_eq!(length("18446744073709551615"), Ok(u64::MAX));
        for bad in ["", "-1", "+1", "0x1", "1, 1", "18446744073709551616"] {
            assert_eq!(length(bad), Err(ConvertError::InvalidContentLength), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let repeated = |name| ConvertError::RepeatedHeader { name };
        let rows: &[(&str, Pairs<'_>, ConvertError)] = &[
            ("/", &[("host", "a"), ("host", "a")], repeated(HOST)),
            ("/", &[("content-type", "a"), ("content-type", "b")], repeated(CONTENT_TYPE)),
            ("/", &[("content-length", "1"), ("content-length", "1")], repeated(CONTENT_LENGTH)),
            ("/a%00b", &[], ConvertError::NulInPath),
            ("example.org:443", &[], ConvertError::InvalidUri),
        ];
        for (uri, given, expected) in rows {
            let error = request_from_http(&parts(uri, given)).err();
            assert_eq!(error.as_ref(), Some(expected), "{uri} {given:?}");
        }
    }

    #[test]
    fn a_request_survives_both_ways() {
        let given = parts("/a%20b?c", &[("x-a", "1"), ("cookie", "a"), ("content-length", "3")]);
        let head = request_from_http(&given).expect("a head");
        let back = super::super::request_to_http(head).expect("a request");
        assert_eq!((&back.uri, &back.method), (&given.uri, &given.method));
        assert_eq!(back.headers, given.headers);
    }
}

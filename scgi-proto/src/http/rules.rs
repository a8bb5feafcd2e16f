//! Which parts of an `http` request reach an SCGI server, and under which names.

use alloc::vec::Vec;

use ::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use ::http::request::Parts;
use ::http::uri::Scheme;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::ConvertError;
use super::context::scheme_of;
use super::headers::is_left_out;
use super::response::is_of_connection;
use crate::wire::field::trim;
use crate::wire::number::parse_length;
use crate::wire::request::percent_decode;

/// How [`request_from_http`](super::request_from_http) treats what only a trusted client may say,
/// and the params that the program adds. The default trusts no client.
///
/// # Examples
/// ```
/// use scgi_proto::http::RequestRules;
///
/// let (parts, ()) = http::Request::get("/app/cart")
///     .header("x-forwarded-for", "192.0.2.1")
///     .header("x_user", "admin")
///     .body(())?
///     .into_parts();
/// let rules = RequestRules::default().with_param("SCRIPT_NAME", "/app");
/// let head = rules.convert(&parts)?;
/// assert_eq!(head.params().get("HTTP_X_FORWARDED_FOR"), None);
/// assert_eq!(head.params().get("HTTP_X_USER"), None);
/// assert_eq!(head.params().get_str("PATH_INFO"), Some("/cart"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestRules {
    forwarded_headers: bool,
    underscores: bool,
    params: Vec<(Vec<u8>, Vec<u8>)>,
}

impl RequestRules {
    /// Whether Forwarded, X-Forwarded-* and X-Real-IP reach the server. Off by default: any client
    /// can send them. Switch it on where the program has checked or replaced them; call
    /// [`remove_hop_by_hop`] before it sets its own.
    #[must_use]
    pub const fn with_forwarded_headers(mut self, pass: bool) -> Self {
        self.forwarded_headers = pass;
        self
    }

    /// Whether headers with `_` in their name reach the server. Off by default: `X_User` and
    /// `X-User` become the same param, and a front server may have checked only one of them. If
    /// they are passed and two headers become one param, the name without `_` wins.
    #[must_use]
    pub const fn with_underscores(mut self, pass: bool) -> Self {
        self.underscores = pass;
        self
    }

    /// Sets a param of every request; it replaces what the request says.
    ///
    /// Others follow two of them. SCRIPT_NAME, a decoded path such as `/app`, is taken off
    /// PATH_INFO, and a path outside it is [`ConvertError::OutsideMount`]. HTTPS decides about
    /// REQUEST_SCHEME and the SERVER_PORT of a Host without a port.
    #[must_use]
    pub fn with_param(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let (name, mut value) = (name.as_ref(), value.as_ref());
        if name == b"SCRIPT_NAME" {
            // The slash belongs to PATH_INFO.
            value = value.strip_suffix(b"/").unwrap_or(value);
        }
        self.params.push((name.to_vec(), value.to_vec()));
        self
    }

    /// The params that were set, in their order.
    pub(super) fn params(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.params.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    fn param(&self, name: &str) -> Option<&[u8]> {
        let last = self.params().filter(|(given, _)| *given == name.as_bytes()).last();
        last.map(|(_, value)| value)
    }

    /// The scheme: what the param HTTPS says, else what the request says.
    pub(super) fn scheme(&self, parts: &Parts) -> Option<Scheme> {
        match self.param("HTTPS") {
            Some(value) if is_on(value) => Some(Scheme::HTTPS),
            Some(_) => Some(Scheme::HTTP),
            None => parts.uri.scheme().cloned().or_else(|| scheme_of(&parts.extensions)),
        }
    }

    /// PATH_INFO: the decoded path without SCRIPT_NAME, empty for `OPTIONS *`.
    pub(super) fn path_info(&self, parts: &Parts) -> Result<Vec<u8>, ConvertError> {
        if parts.uri.path() == "*" {
            return Ok(Vec::new());
        }
        let mut path = percent_decode(parts.uri.path());
        let mount = self.param("SCRIPT_NAME").unwrap_or_default();
        match path.strip_prefix(mount) {
            Some([] | [b'/', ..]) => {
                path.drain(..mount.len());
                Ok(path)
            }
            _ => Err(ConvertError::OutsideMount),
        }
    }

    /// Whether the header, which is not one of those that become a param of their own, reaches the
    /// server.
    pub(super) fn passes(&self, name: &HeaderName, headers: &HeaderMap) -> bool {
        let bytes = name.as_str().as_bytes();
        let passes = !is_of_connection(bytes, &headers.get_all(CONNECTION))
            && !is_left_out(bytes)
            && (self.forwarded_headers || !is_forwarded(bytes));
        if !passes || !bytes.contains(&b'_') {
            return passes;
        }
        // Header names are in lower case, so only a `_` can make two of them one param.
        let is_rival = |other: &HeaderName| {
            let other_bytes = other.as_str().as_bytes();
            let wins = !other_bytes.contains(&b'_') || other_bytes < bytes;
            wins && other != name && same_param(other_bytes, bytes)
        };
        let is_elsewhere = ["host", "expect", "proxy-authorization"];
        self.underscores
            && !is_elsewhere.iter().any(|reserved| same_param(reserved.as_bytes(), bytes))
            && !headers.keys().any(is_rival)
    }
}

/// Whether both names become the same param.
fn same_param(a: &[u8], b: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    a.len() == b.len() && a.iter().map(fold).eq(b.iter().map(fold))
}

/// Whether the header speaks for an earlier hop. `_` counts as `-`, as in the names of params.
fn is_forwarded(name: &[u8]) -> bool {
    let begins = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| same_param(start, prefix.as_bytes()))
    };
    same_param(name, b"forwarded")
        || same_param(name, b"x-forwarded")
        || same_param(name, b"x-real-ip")
        || begins("x-forwarded-")
}

/// Whether the value of HTTPS means that the connection is encrypted.
fn is_on(value: &[u8]) -> bool {
    !value.is_empty() && !value.eq_ignore_ascii_case(b"off")
}

/// Removes the headers that concern only the connection they came on (RFC 9110 section 7.6.1):
/// Connection, what it names, and those that are hop-by-hop by themselves.
///
/// Call it before adding headers of your own: a client that sends `Connection: X-Forwarded-For`
/// would have that one removed as well. Host, Content-Type and Content-Length always stay.
///
/// # Examples
/// ```
/// use http::{HeaderMap, HeaderValue};
/// let mut headers = HeaderMap::new();
/// headers.insert("connection", HeaderValue::from_static("close, x-mine, host"));
/// headers.insert("x-mine", HeaderValue::from_static("1"));
/// headers.insert("host", HeaderValue::from_static("example.org"));
/// scgi_proto::http::remove_hop_by_hop(&mut headers);
/// assert_eq!(headers.len(), 1);
/// assert_eq!(headers["host"], "example.org");
/// ```
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let connection = headers.get_all(CONNECTION);
    let is = |name: &&HeaderName| {
        is_of_connection(name.as_str().as_bytes(), &connection)
            && ![HOST, CONTENT_TYPE, CONTENT_LENGTH].contains(name)
    };
    let names: Vec<_> = headers.keys().filter(is).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
}

/// Removes Forwarded, X-Forwarded-* and X-Real-IP, also where they are spelled with `_`: what a
/// client that is not trusted says about earlier hops.
pub fn remove_forwarded(headers: &mut HeaderMap) {
    let is = |name: &&HeaderName| is_forwarded(name.as_str().as_bytes());
    let names: Vec<_> = headers.keys().filter(is).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Checks what [`request_from_http`](super::request_from_http) refuses whatever the rules are, so
/// that a gateway can do it before anything else.
///
/// # Errors
/// As `request_from_http`, without [`ConvertError::OutsideMount`].
pub fn check_request(parts: &Parts) -> Result<(), ConvertError> {
    if parts.method == Method::CONNECT {
        return Err(ConvertError::UnsupportedMethod);
    }
    let path = parts.uri.path_and_query().ok_or(ConvertError::InvalidUri)?.path();
    if path == "*" && parts.method != Method::OPTIONS {
        return Err(ConvertError::InvalidUri);
    }
    check_percent(path)?;
    for name in [&HOST, &CONTENT_TYPE] {
        single(&parts.headers, name)?;
    }
    body_length(&parts.headers)?;
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| trim(value.as_bytes()).eq_ignore_ascii_case(b"chunked");
    // The HTTP server decodes chunks; what else was done to the body, it passes on.
    if codings.next().is_some_and(|value| !is_chunked(value)) || codings.next().is_some() {
        return Err(ConvertError::UnsupportedTransferEncoding);
    }
    Ok(())
}

/// What Content-Length says, if it is there.
pub(super) fn body_length(headers: &HeaderMap) -> Result<Option<u64>, ConvertError> {
    let value = single(headers, &CONTENT_LENGTH)?;
    let length = |value: &HeaderValue| {
        parse_length(value.as_bytes()).map_err(|_| ConvertError::InvalidContentLength)
    };
    value.map(length).transpose()
}

/// Servers differ in what they make of a `%` without two hex digits, and a NUL ends a param.
fn check_percent(path: &str) -> Result<(), ConvertError> {
    for triplet in path.split('%').skip(1) {
        match triplet.as_bytes() {
            [b'0', b'0', ..] => return Err(ConvertError::NulInPath),
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {}
            _ => return Err(ConvertError::InvalidPercentEncoding),
        }
    }
    Ok(())
}

/// The value of a header that may appear only once: two would mean different things to different
/// servers.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, ConvertError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(ConvertError::RepeatedHeader { name: name.clone() }),
        None => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn parts(method: &str, uri: &str, pairs: Pairs<'_>) -> Parts {
        let builder = ::http::Request::builder().method(method).uri(uri);
        let builder = pairs.iter().fold(builder, |b, (n, v)| b.header(*n, *v));
        builder.body(()).expect("a request").into_parts().0
    }

    /// What reaches the server under `HTTP_*` names, other than Host.
    fn passed(rules: &RequestRules, pairs: Pairs<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let head = rules.convert(&parts("GET", "/", pairs)).expect("a head");
        let passed = head.params().iter().filter(|(name, _)| name.starts_with(b"HTTP_"));
        passed.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    }

    #[test]
    fn headers_that_only_a_trusted_client_may_send() {
        let (safe, forwarded) =
            (RequestRules::default(), RequestRules::default().with_forwarded_headers(true));
        let underscores = RequestRules::default().with_underscores(true);
        let rows: &[(&RequestRules, Pairs<'_>, Pairs<'_>)] = &[
            (&safe, &[("x-forwarded-for", "1"), ("forwarded", "for=1")], &[]),
            (&safe, &[("x-forwarded-host", "a"), ("x-real-ip", "1"), ("x-forwarded", "1")], &[]),
            (&safe, &[("x-forwardedness", "1")], &[("HTTP_X_FORWARDEDNESS", "1")]),
            (&safe, &[("x_remote_user", "admin"), ("x-a", "1")], &[("HTTP_X_A", "1")]),
            (&forwarded, &[("x-forwarded-for", "1")], &[("HTTP_X_FORWARDED_FOR", "1")]),
            (&forwarded, &[("x_forwarded_for", "1")], &[]),
            (&underscores, &[("x_a", "1"), ("x.b", "2")], &[("HTTP_X_A", "1"), ("HTTP_X.B", "2")]),
            // The name without `_` wins, in whichever order they come.
            (&underscores, &[("x_a", "1"), ("x-a", "2")], &[("HTTP_X_A", "2")]),
            (&underscores, &[("x-a", "2"), ("x_a", "1")], &[("HTTP_X_A", "2")]),
            (&underscores, &[("x-a_b", "1"), ("x_a-b", "2")], &[("HTTP_X_A_B", "1")]),
            // No other spelling passes for a header that is refused or is a param of its own.
            (&underscores, &[("x_forwarded_for", "1"), ("x_real_ip", "1")], &[]),
            (&underscores, &[("content_length", "77"), ("transfer_encoding", "chunked")], &[]),
            (&underscores, &[("proxy_authorization", "x"), ("content_type", "a/b")], &[]),
            // What Connection names is removed, but not Host.
            (
                &safe,
                &[("connection", "x-a, host"), ("x-a", "1"), ("host", "b")],
                &[("HTTP_HOST", "b")],
            ),
        ];
        for (rules, given, expected) in rows {
            let expected =
                expected.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()));
            assert_eq!(passed(rules, given), expected.collect::<Vec<_>>(), "{given:?}");
        }
    }

    #[test]
    fn connection_never_changes_the_length_of_the_body() {
        let pairs: Pairs<'_> =
            &[("connection", "content-length, content-type"), ("content-length", "5")];
        let mut parts = parts("POST", "/", pairs);
        assert_eq!(RequestRules::default().convert(&parts).expect("a head").content_length(), 5);
        remove_hop_by_hop(&mut parts.headers);
        assert_eq!(parts.headers.len(), 1);
        assert_eq!(parts.headers[CONTENT_LENGTH], "5");
    }

    #[test]
    fn params_of_the_program_and_what_follows_them() {
        let rows: &[(Pairs<'_>, &str, Pairs<'_>)] = &[
            (&[("A", "1"), ("A", "2")], "/", &[("A", "2")]),
            (&[("REMOTE_USER", "")], "/", &[("REMOTE_USER", "")]),
            (
                &[("SCRIPT_NAME", "/my app")],
                "/my%20app/x?q",
                &[
                    ("SCRIPT_NAME", "/my app"),
                    ("PATH_INFO", "/x"),
                    ("REQUEST_URI", "/my%20app/x?q"),
                ],
            ),
            (&[("SCRIPT_NAME", "/app/")], "/app", &[("SCRIPT_NAME", "/app"), ("PATH_INFO", "")]),
            (&[("SCRIPT_NAME", "/")], "/app", &[("PATH_INFO", "/app")]),
            (
                &[("HTTPS", "on")],
                "http://a/",
                &[("HTTPS", "on"), ("REQUEST_SCHEME", "https"), ("SERVER_PORT", "443")],
            ),
            (&[("HTTPS", "on"), ("SERVER_PORT", "8443")], "/", &[("SERVER_PORT", "8443")]),
            (
                &[("HTTPS", "off")],
                "https://a/",
                &[("HTTPS", "off"), ("REQUEST_SCHEME", "http"), ("SERVER_PORT", "80")],
            ),
            (&[("HTTP_HOST", "b")], "http://a/", &[("HTTP_HOST", "b")]),
        ];
        for (set, uri, expected) in rows {
            let rules =
                set.iter().fold(RequestRules::default(), |rules, (n, v)| rules.with_param(n, v));
            let head = rules.convert(&parts("GET", uri, &[])).expect("a head");
            for (name, value) in *expected {
                let sent: Vec<_> = head.params().get_all(name).collect();
                assert_eq!(sent, [value.as_bytes()], "{name} of {uri} with {set:?}");
            }
        }
        let rules = RequestRules::default().with_param("SCRIPT_NAME", "/app");
        for uri in ["/", "/apple", "/x/app"] {
            let error = rules.convert(&parts("GET", uri, &[])).err();
            assert_eq!(error, Some(ConvertError::OutsideMount), "{uri}");
        }
    }

    #[test]
    fn options_of_the_whole_server_have_no_path() {
        let head = RequestRules::default().convert(&parts("OPTIONS", "*", &[])).expect("a head");
        assert_eq!((head.path_info(), head.request_uri()), (Some(&b""[..]), Some(&b"*"[..])));
    }

    #[test]
    fn requests_that_are_refused() {
        use ConvertError as E;
        let repeated = |name| E::RepeatedHeader { name };
        let rows: &[(&str, &str, Pairs<'_>, ConvertError, u16)] = &[
            ("CONNECT", "a:443", &[], E::UnsupportedMethod, 501),
            ("GET", "*", &[], E::InvalidUri, 400),
            ("GET", "/a%00", &[], E::NulInPath, 400),
            ("GET", "/a%zz", &[], E::InvalidPercentEncoding, 400),
            ("GET", "/a%4", &[], E::InvalidPercentEncoding, 400),
            ("GET", "/%", &[], E::InvalidPercentEncoding, 400),
            ("GET", "/", &[("host", "a"), ("host", "a")], repeated(HOST), 400),
            (
                "GET",
                "/",
                &[("content-type", "a"), ("content-type", "b")],
                repeated(CONTENT_TYPE),
                400,
            ),
            ("GET", "/", &[("content-length", "x")], E::InvalidContentLength, 400),
            (
                "POST",
                "/",
                &[("transfer-encoding", "gzip, chunked")],
                E::UnsupportedTransferEncoding,
                501,
            ),
            ("POST", "/", &[("transfer-encoding", "gzip")], E::UnsupportedTransferEncoding, 501),
            (
                "POST",
                "/",
                &[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")],
                E::UnsupportedTransferEncoding,
                501,
            ),
        ];
        for (method, uri, given, expected, status) in rows {
            let parts = parts(method, uri, given);
            let error = check_request(&parts).expect_err("an error");
            assert_eq!(
                (&error, error.status_hint().code()),
                (expected, *status),
                "{uri} {given:?}"
            );
            assert_eq!(RequestRules::default().convert(&parts).err().as_ref(), Some(expected));
        }
        // `%zz` in a query means nothing to SCGI.
        let fine = parts("POST", "/%41?%zz%00", &[("transfer-encoding", "Chunked")]);
        assert_eq!(check_request(&fine), Ok(()));
    }
}

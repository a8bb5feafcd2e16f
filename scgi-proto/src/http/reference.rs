//! The conversion of requests as it was before it shared bytes: what the one in use is compared with.

use alloc::string::String;
use alloc::vec::Vec;

use ::http::header::{self, CONTENT_LENGTH, CONTENT_TYPE};
use ::http::request::Parts;
use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

#[cfg(test)]
use super::RequestContext;
use super::headers::is_left_out;
use super::uri::{MAX_LEN, scheme};
use super::{ClientAddress, ConvertError, MAX_NAMES, MountPoint};
use crate::wire::escape::is_secret;
use crate::wire::request::RequestHead;
use crate::wire::request::params::Params;
use crate::wire::request::path::{Target, encode, has_dot_segments, is_raw_path, is_raw_query};

pub(super) fn request_to_http(head: RequestHead) -> Result<Parts, ConvertError> {
    let mut parts = ::http::Request::new(()).into_parts().0;
    (parts.method, parts.uri) = method_and_uri(&head)?;
    parts.version = version(head.params());
    parts.headers = headers(head.params())?;
    let len = head.body_length();
    if len > 0 || states_empty_body(&parts.method) {
        insert(&mut parts.headers, CONTENT_LENGTH, len.into())?;
    }
    if let Some(scheme) = scheme(head.params()) {
        parts.extensions.insert(scheme);
    }
    if let Some(client) = ClientAddress::of(head.params()) {
        parts.extensions.insert(client);
    }
    parts.extensions.insert(MountPoint::new(head.script_name().unwrap_or_default()));
    parts.extensions.insert(head.into_params());
    Ok(parts)
}

fn method_and_uri(head: &RequestHead) -> Result<(Method, Uri), ConvertError> {
    match head.method() {
        // Bare SCGI clients, such as those of rTorrent, send CONTENT_LENGTH and SCGI only.
        None if !has_path_params(head.params()) => {
            let method = if head.body_length() > 0 { Method::POST } else { Method::GET };
            Ok((method, Uri::from_static("/")))
        }
        None | Some(b"") => Err(ConvertError::MissingMethod),
        Some(method) => {
            let method = Method::from_bytes(method).map_err(|_| ConvertError::InvalidMethod)?;
            Ok((method, uri(head)?))
        }
    }
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
    let mut headers = HeaderMap::try_with_capacity(params.len().min(MAX_NAMES))
        .map_err(|_| ConvertError::TooManyHeaders { max: MAX_NAMES })?;
    let mut text = Vec::with_capacity(32);
    for (index, (variable, value)) in params.iter().enumerate() {
        let to_value = || {
            HeaderValue::from_bytes(value).map_err(|_| ConvertError::InvalidHeaderValue { index })
        };
        if variable == b"CONTENT_TYPE" && !value.is_empty() {
            insert(&mut headers, CONTENT_TYPE, to_value()?)?;
        }
        let Some(name) = variable.strip_prefix(b"HTTP_").filter(|name| !is_left_out(name)) else {
            continue;
        };
        text.clear();
        text.extend(name.iter().map(|b| if *b == b'_' { b'-' } else { *b }));
        let Ok(name) = HeaderName::from_bytes(&text) else { continue };
        let mut value = to_value()?;
        value.set_sensitive(is_secret(variable));
        if is_single(&name) {
            insert(&mut headers, name, value)?;
        } else {
            let appended = headers.try_append(name, value);
            appended.map_err(|_| ConvertError::TooManyHeaders { max: MAX_NAMES })?;
        }
    }
    Ok(headers)
}

fn insert(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
) -> Result<(), ConvertError> {
    match headers.try_insert(name, value) {
        Ok(_) => Ok(()),
        Err(_) => Err(ConvertError::TooManyHeaders { max: MAX_NAMES }),
    }
}

/// Whether there can be only one header of this name in a request (RFC 9110, RFC 6454, RFC 6455,
/// Fetch). Of two, which only a front server's configuration can make, the last one counts.
fn is_single(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 22] = [
        header::HOST,
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::USER_AGENT,
        header::REFERER,
        header::ORIGIN,
        header::FROM,
        header::DATE,
        header::MAX_FORWARDS,
        header::RANGE,
        header::IF_RANGE,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::CONTENT_LOCATION,
        header::CONTENT_RANGE,
        header::LAST_MODIFIED,
        header::UPGRADE_INSECURE_REQUESTS,
        header::DNT,
        header::ACCESS_CONTROL_REQUEST_METHOD,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::EXPIRES,
    ];
    NAMES.contains(name)
}

fn has_path_params(params: &Params) -> bool {
    ["REQUEST_URI", "DOCUMENT_URI", "SCRIPT_NAME", "PATH_INFO"]
        .into_iter()
        .any(|name| params.get(name).is_some())
}

/// What was asked for, from the source that the head names.
fn uri(head: &RequestHead) -> Result<Uri, ConvertError> {
    let target = head.target().ok_or(ConvertError::InvalidUri)?;
    if !head.allows_dot_segments() && has_dot_segments(&target.path) {
        return Err(ConvertError::DotSegments);
    }
    let text = text(&target);
    if text.len() > MAX_LEN {
        return Err(ConvertError::UriTooLong { len: text.len(), max: MAX_LEN });
    }
    let path = PathAndQuery::try_from(text).map_err(|_| ConvertError::InvalidUri)?;
    Ok(Uri::from(path))
}

/// Path and query, in which bytes that a URI cannot hold are percent-encoded.
fn text(target: &Target<'_>) -> String {
    let query_len = target.query.map_or(0, <[u8]>::len);
    let mut text = String::with_capacity(target.path.len() + query_len + 17);
    encode(&target.path, is_raw_path, &mut text);
    if let Some(query) = target.query {
        text.push('?');
        encode(query, is_raw_query, &mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use ::http::Extensions;
    use ::http::uri::Scheme;

    use super::*;
    use crate::wire::request::RequestHeadBuilder;
    use crate::wire::request::policy::PathSource;

    /// A small generator of numbers, the same in each run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % bound as u64) as usize
        }

        fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
            from[self.below(from.len())]
        }
    }

    const NAMES: &str = "REQUEST_METHOD REQUEST_URI DOCUMENT_URI SCRIPT_NAME PATH_INFO QUERY_STRING \
        SERVER_PROTOCOL HTTPS REQUEST_SCHEME REMOTE_ADDR REMOTE_PORT CONTENT_TYPE SCGI \
        SERVER_NAME http_host HTTP HTTP_ HTTP_TE HTTP_DNT HTTP_HOST HTTP_DATE HTTP_FROM HTTP_RANGE \
        HTTP_PROXY HTTP_ACCEPT HTTP_COOKIE HTTP_ORIGIN HTTP_PRAGMA HTTP_EXPECT HTTP_REFERER \
        HTTP_UPGRADE HTTP_IF_MATCH HTTP_IF_RANGE HTTP_PRIORITY HTTP_SEC_CH_UA HTTP_X_REAL_IP \
        HTTP_USER_AGENT HTTP_CONNECTION HTTP_KEEP_ALIVE HTTP_CONTENT_TYPE HTTP_CACHE_CONTROL \
        HTTP_AUTHORIZATION HTTP_IF_NONE_MATCH HTTP_CONTENT_LENGTH HTTP_SEC_FETCH_DEST \
        HTTP_SEC_FETCH_MODE HTTP_SEC_FETCH_SITE HTTP_SEC_FETCH_USER HTTP_ACCEPT_ENCODING \
        HTTP_ACCEPT_LANGUAGE HTTP_X_FORWARDED_FOR HTTP_CONTENT_ENCODING HTTP_SEC_CH_UA_MOBILE \
        HTTP_X_FORWARDED_HOST HTTP_X_REQUESTED_WITH HTTP_IF_MODIFIED_SINCE HTTP_TRANSFER_ENCODING \
        HTTP_X_FORWARDED_PROTO HTTP_SEC_CH_UA_PLATFORM HTTP_UPGRADE_INSECURE_REQUESTS \
        HTTP_PROXY_AUTHORIZATION HTTP_X_API_KEY HTTP_MAX_FORWARDS HTTP_TRAILER HTTP_host \
        HTTP_Transfer-Encoding HTTP_X(Y HTTP_X_A HTTP_X-A HTTP_IF_UNMODIFIED_SINCE \
        HTTP_SEC_WEBSOCKET_KEY HTTP_ACCESS_CONTROL_REQUEST_METHOD";

    const VALUES: &[&str] = &[
        "",
        "GET",
        "POST",
        "G T",
        "get",
        "/",
        "/a/b?c=d",
        "/a?",
        "/a#b",
        "/../x",
        "/a/%2e%2e/b",
        "*",
        "/a b",
        "/caf\u{e9}?q=\u{e9}",
        "http://h/p?q",
        "http://h",
        "h:1",
        "a/b",
        "/a?b<c",
        "/a\\..",
        "/a.b/c%20d?e=%zz",
        "/a?b#c",
        "HTTP/1.0",
        "HTTP/1.1",
        "HTTP/2",
        "HTTP/3.0",
        "on",
        "off",
        "https",
        "http",
        "192.0.2.1",
        "::1",
        "fe80::1%eth0",
        "unix:",
        "4000",
        "99999",
        "text/html",
        "a\tb",
        "a\u{1}b",
        "a\nb",
        "x; y=1, z",
        "?a",
        "//x",
        "/a|{b}[c]^`",
        "/\u{7f}",
    ];

    /// A head of what front servers send and of what none does.
    fn head(numbers: &mut Numbers) -> RequestHead {
        let names: Vec<_> = NAMES.split_whitespace().collect();
        let mut builder = RequestHeadBuilder::default();
        if numbers.below(8) > 0 {
            builder = builder.append("REQUEST_METHOD", numbers.pick(&VALUES[..5]));
        }
        if numbers.below(4) > 0 {
            builder = builder.append("REQUEST_URI", numbers.pick(VALUES));
        }
        for _ in 0..numbers.below(24) {
            builder = builder.append(numbers.pick(&names), numbers.pick(VALUES));
        }
        if numbers.below(16) == 0 {
            let name = format!("HTTP_X_{}", "LONG_".repeat(numbers.below(30)));
            builder = builder.append(name, "v".repeat(numbers.below(9000)));
        }
        let source = [PathSource::RequestUri, PathSource::Mapped][numbers.below(4) / 3];
        builder
            .content_length(numbers.below(3) as u64)
            .build()
            .with_path_source(source)
            .with_dot_segments(numbers.below(4) == 0)
    }

    type Shown = (String, Vec<(HeaderName, HeaderValue, bool)>);

    /// All of a request, to be compared.
    fn shown(parts: Parts) -> Shown {
        let Parts { method, uri, version, headers, extensions, .. } = parts;
        let more = |e: &Extensions| {
            let (client, scheme, mount, params) = match e.get::<RequestContext>() {
                Some(new) => {
                    (new.client(), new.scheme(), Some(new.mount_point()), Some(new.params().len()))
                }
                None => {
                    let mount = e.get::<MountPoint>().cloned();
                    let params = e.get::<Params>().map(Params::len);
                    (e.get::<ClientAddress>().copied(), e.get::<Scheme>().cloned(), mount, params)
                }
            };
            format!("{client:?} {scheme:?} {mount:?} {params:?}")
        };
        let text = format!("{method} {uri} {version:?} {}", more(&extensions));
        let list = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.clone(), value.clone(), value.is_sensitive())
        };
        (text, headers.iter().map(list).collect())
    }

    /// Heads that are compared: so few that they take no time.
    const HEADS: u64 = 20_000;

    /// `SCGI_CONVERT_HEADS` asks for more heads, other ones in each run.
    #[test]
    fn the_conversion_returns_what_the_one_before_it_returned() {
        let wanted = std::env::var("SCGI_CONVERT_HEADS").ok();
        let seed = if wanted.is_some() { u64::from(std::process::id()) } else { 0 };
        let heads = wanted.map_or(HEADS, |heads| heads.parse().expect("a number of heads"));
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 + seed);
        let (mut count, mut converted) = (0_u64, 0_u64);
        while count < heads {
            let head = head(&mut numbers);
            let old = request_to_http(head.clone()).map(shown);
            let new = super::super::request_to_http(head.clone()).map(shown);
            converted += u64::from(new.is_ok());
            assert_eq!(new, old, "{:?}", head.params());
            count += 1;
        }
        assert!(converted > count / 10, "{converted} of {count}");
        std::println!("{count} heads; {converted} of them became requests");
    }
}

//! Builds the URI of a request from the variables that front servers send.

use alloc::string::String;

use ::http::Uri;
use ::http::request::Parts;
use ::http::uri::PathAndQuery;
#[cfg(test)]
use ::http::uri::Scheme;

use super::{ConvertError, MountPoint};
use crate::wire::request::RequestHead;
#[cfg(test)]
use crate::wire::request::params::Params;
use crate::wire::request::path::{
    PathParams, Target, encode, has_dot_segments, is_raw_path, is_raw_query,
};
use crate::wire::request::policy::PathSource;

/// What `http::Uri` takes at most, in bytes.
pub(super) const MAX_LEN: usize = u16::MAX as usize - 1;

/// What was asked for, from the source that the head names.
pub(super) fn uri(head: &RequestHead, params: &PathParams<'_>) -> Result<Uri, ConvertError> {
    if let Some(path) = shared(head, params) {
        return Ok(Uri::from(path));
    }
    let target = params.target(head.path_source()).ok_or(ConvertError::InvalidUri)?;
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

/// Up to this length a URI shares the head's memory; a longer one is rare.
const MAX_SHARED: usize = 4 * 1024;

/// REQUEST_URI as it is, in the memory of the head: if it is a path and perhaps a query in which
/// nothing needs to be encoded, cut or refused.
fn shared(head: &RequestHead, params: &PathParams<'_>) -> Option<PathAndQuery> {
    let raw = params.request_uri?;
    let block = head.params().block();
    if head.path_source() != PathSource::RequestUri
        || raw.first() != Some(&b'/')
        || block.len() > MAX_SHARED
        || !is_plain(raw)
    {
        return None;
    }
    PathAndQuery::from_maybe_shared(block.slice_ref(raw)).ok()
}

/// Whether a path with its query is one as it is. Where a dot segment may be, it is not, and is
/// looked at closely elsewhere.
fn is_plain(raw: &[u8]) -> bool {
    let end = raw.iter().position(|byte| *byte == b'?').unwrap_or(raw.len());
    let (path, query) = raw.split_at(end);
    // All bytes have what all have, and some has what one has.
    let classes = |part: &[u8]| {
        part.iter().fold((PATH | QUERY, 0), |(all, some), byte| {
            let class = CLASSES[usize::from(*byte)];
            (all & class, some | class)
        })
    };
    let (all, some) = classes(path);
    let query = query.get(1..).unwrap_or_default();
    all & PATH != 0
        && (some & DOTS == 0 || !has_dot_segments(path))
        && classes(query).0 & QUERY != 0
}

/// A byte that stays in a path, one that stays in a query, and one that dot segments are made of.
const PATH: u8 = 1;
const QUERY: u8 = 2;
const DOTS: u8 = 4;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        classes[byte] = if is_raw_path(b) { PATH } else { 0 }
            | if is_raw_query(b) { QUERY } else { 0 }
            | if matches!(b, b'.' | b'%' | b'\\') { DOTS } else { 0 };
        byte += 1;
    }
    classes
};

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

/// Takes `prefix`, a decoded path such as `/app`, off the URI's path, so that a program written
/// for `/` works elsewhere; the extension [`MountPoint`] then says where.
///
/// The path is compared with its `%41` decoded, as front servers do to choose a backend. It rests
/// on the raw URI alone, on which all front servers agree, and not on SCRIPT_NAME and PATH_INFO.
///
/// # Errors
/// [`ConvertError::OutsideMount`] if the path does not begin with the prefix or continues without a
/// slash (`/apple` for `/app`). Nothing is changed then; answer it with 404.
///
/// # Examples
/// ```
/// use scgi_proto::http::{ConvertError, strip_mount};
/// let (mut parts, ()) = http::Request::get("/app/cart?id=7").body(())?.into_parts();
/// strip_mount(&mut parts, "/app")?;
/// assert_eq!(parts.uri, "/cart?id=7");
/// assert_eq!(strip_mount(&mut parts, "/app"), Err(ConvertError::OutsideMount));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn strip_mount(parts: &mut Parts, prefix: impl AsRef<[u8]>) -> Result<(), ConvertError> {
    let mount = MountPoint::new(prefix);
    if parts.uri.path() != "*" {
        let rest = strip(parts.uri.path(), mount.as_bytes()).ok_or(ConvertError::OutsideMount)?;
        let slash = if rest.starts_with('/') { "" } else { "/" };
        let query = parts.uri.query().map_or_else(String::new, |query| alloc::format!("?{query}"));
        let path = PathAndQuery::try_from(alloc::format!("{slash}{rest}{query}"))
            .map_err(|_| ConvertError::InvalidUri)?;
        let mut uri = core::mem::take(&mut parts.uri).into_parts();
        uri.path_and_query = Some(path);
        // A path is replaced by a path: no part is missing.
        parts.uri = Uri::from_parts(uri).map_err(|_| ConvertError::InvalidUri)?;
    }
    parts.extensions.insert(mount);
    Ok(())
}

/// What follows the prefix in an encoded path.
fn strip<'a>(path: &'a str, prefix: &[u8]) -> Option<&'a str> {
    let mut rest = path;
    for expected in prefix {
        let (byte, len) = first_byte(rest)?;
        if byte != *expected {
            return None;
        }
        rest = rest.get(len..)?;
    }
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// The first byte of an encoded path, decoded, and how many bytes it takes there.
fn first_byte(path: &str) -> Option<(u8, usize)> {
    let bytes = path.as_bytes();
    let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
    match (*bytes.first()?, hex(1), hex(2)) {
        (b'%', Some(high), Some(low)) => Some(((high * 16 + low) as u8, 3)),
        (byte, ..) => Some((byte, 1)),
    }
}

/// The scheme by which the client came, if the front server tells.
#[cfg(test)]
pub(super) fn scheme(params: &Params) -> Option<Scheme> {
    let is_https = is_https(params.get("HTTPS"), params.get("REQUEST_SCHEME"));
    is_https.map(|is_https| if is_https { Scheme::HTTPS } else { Scheme::HTTP })
}

/// Whether that is `https`, of the values of HTTPS and REQUEST_SCHEME.
pub(super) fn is_https(https: Option<&[u8]>, request_scheme: Option<&[u8]>) -> Option<bool> {
    match https.filter(|value| !value.is_empty()) {
        Some(value) if !value.eq_ignore_ascii_case(b"off") => Some(true),
        _ => match request_scheme? {
            scheme if scheme.eq_ignore_ascii_case(b"https") => Some(true),
            scheme if scheme.eq_ignore_ascii_case(b"http") => Some(false),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the conversion of a whole request calls it.
    fn uri(head: &RequestHead) -> Result<Uri, ConvertError> {
        super::uri(head, &PathParams::of(head.params()))
    }

    use crate::wire::request::RequestHeadBuilder;
    use alloc::string::ToString;

    fn head(pairs: &[(&str, &[u8])]) -> RequestHead {
        let builder = RequestHeadBuilder::default();
        pairs.iter().fold(builder, |b, (n, v)| b.param(n, v)).build()
    }

    #[test]
    fn request_uri_becomes_origin_form() {
        for (raw, expected) in [
            (&b"/"[..], "/"),
            (b"/a/b?c=d&e", "/a/b?c=d&e"),
            (b"/a?", "/a?"),
            (b"/a?b?c", "/a?b?c"),
            (b"/a%20b%2Fc%zz", "/a%20b%2Fc%zz"),
            (b"//two//slashes", "//two//slashes"),
            (b"/a?../..", "/a?../.."),
            // As nginx and lighttpd pass it on.
            (b"/a?b#fragment", "/a?b"),
            (b"/a#b?c", "/a"),
            // Latin-1 and UTF-8.
            (b"/caf\xe9?q=\xe9", "/caf%E9?q=%E9"),
            ("/café?q=é".as_bytes(), "/caf%C3%A9?q=%C3%A9"),
            // What `http::Uri` does not take, and what it does.
            (b"/a b<c>`\x01\x7f", "/a%20b%3Cc%3E%60%01%7F"),
            (b"/a?b c<d>\"", "/a?b%20c%3Cd%3E%22"),
            (b"/a|{b}[c]\\^", "/a|{b}[c]\\^"),
            (b"*", "*"),
            // As Apache passes it on.
            (b"http://example.org/a?b", "/a?b"),
            (b"HTTPS://user@example.org:8443/a", "/a"),
            (b"http://example.org", "/"),
            (b"http://example.org?q", "/?q"),
            (b"http://[::1]/a?u=http://x/", "/a?u=http://x/"),
        ] {
            let uri = uri(&head(&[("REQUEST_URI", raw)])).map(|uri| uri.to_string());
            assert_eq!(uri.as_deref(), Ok(expected), "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn bad_request_uris_are_refused() {
        let long = [b'/'; MAX_LEN + 1];
        let too_long = ConvertError::UriTooLong { len: MAX_LEN + 1, max: MAX_LEN };
        for (raw, expected) in [
            (&b"a/b"[..], ConvertError::InvalidUri),
            (b"example.org:443", ConvertError::InvalidUri),
            (b"://x/", ConvertError::InvalidUri),
            (b"ht tp://x/", ConvertError::InvalidUri),
            (b"?a", ConvertError::InvalidUri),
            (b"/../up", ConvertError::DotSegments),
            (b"/app/admin/x/../../hello", ConvertError::DotSegments),
            (b"/a/%2e%2E/b?c", ConvertError::DotSegments),
            (b"/a/%2e", ConvertError::DotSegments),
            (b"/a%2f..%2fb", ConvertError::DotSegments),
            (b"http://example.org/..", ConvertError::DotSegments),
            (&long, too_long),
        ] {
            assert_eq!(uri(&head(&[("REQUEST_URI", raw)])), Err(expected));
        }
        assert_eq!(uri(&head(&[])), Err(ConvertError::InvalidUri));
    }

    #[test]
    fn dot_segments_of_a_path_can_be_allowed() {
        for raw in ["/../up", "/a/%2e%2e/b?c", "/a/."] {
            let allowed = head(&[("REQUEST_URI", raw.as_bytes())]).with_dot_segments(true);
            assert_eq!(uri(&allowed).map(|uri| uri.to_string()).as_deref(), Ok(raw));
        }
        for path in [&b"/a/../b"[..], b"/a/.", b"/a\\..\\b"] {
            let mapped = head(&[("DOCUMENT_URI", path)]).with_path_source(PathSource::Mapped);
            assert_eq!(uri(&mapped), Err(ConvertError::DotSegments));
            assert!(uri(&mapped.with_dot_segments(true)).is_ok());
        }
    }

    #[test]
    fn the_mapped_path_is_encoded_and_has_the_query_of_its_own() {
        for (pairs, expected) in [
            (&[("SCRIPT_NAME", "/new a"), ("PATH_INFO", "/%2e")][..], "/new%20a/%252e"),
            (&[("DOCUMENT_URI", "/d"), ("SCRIPT_NAME", "/s"), ("QUERY_STRING", "y=1")], "/d?y=1"),
            (&[("SCRIPT_NAME", ""), ("PATH_INFO", ""), ("QUERY_STRING", "a=1")], "/?a=1"),
        ] {
            let builder = RequestHeadBuilder::default().param("REQUEST_URI", "/old?x=1");
            let head = pairs.iter().fold(builder, |b, (n, v)| b.param(n, v)).build();
            assert_eq!(uri(&head).map(|uri| uri.to_string()).as_deref(), Ok("/old?x=1"));
            let mapped = head.with_path_source(PathSource::Mapped);
            assert_eq!(uri(&mapped).map(|uri| uri.to_string()).as_deref(), Ok(expected));
        }
        let none = head(&[("REQUEST_URI", b"/old")]).with_path_source(PathSource::Mapped);
        assert_eq!(uri(&none), Err(ConvertError::InvalidUri));
    }

    #[test]
    fn without_request_uri_the_path_is_encoded() {
        for (script_name, path_info, query, expected) in [
            (&b""[..], &b"/"[..], &b""[..], "/"),
            (b"", b"", b"", "/"),
            (b"", b"", b"a=1", "/?a=1"),
            (b"/app", b"/a b", b"q=%20", "/app/a%20b?q=%20"),
            (b"/app", b"", b"", "/app"),
            (b"", b"/50%", b"", "/50%25"),
            (b"", b"/a?b#c", b"", "/a%3Fb%23c"),
            (b"", b"/caf\xe9", b"q=\xe9", "/caf%E9?q=%E9"),
            (b"", "/café".as_bytes(), b"", "/caf%C3%A9"),
            (b"app", b"", b"a#b", "/app?a"),
        ] {
            let head = head(&[
                ("REQUEST_URI", b""),
                ("SCRIPT_NAME", script_name),
                ("PATH_INFO", path_info),
                ("QUERY_STRING", query),
            ]);
            assert_eq!(uri(&head).map(|uri| uri.to_string()).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn schemes() {
        for (https, request_scheme, expected) in [
            ("on", "http", Some("https")),
            ("1", "", Some("https")),
            ("off", "https", Some("https")),
            ("off", "http", Some("http")),
            ("", "https", Some("https")),
            ("", "http", Some("http")),
            ("", "", None),
            ("", "gopher", None),
        ] {
            let head =
                head(&[("HTTPS", https.as_bytes()), ("REQUEST_SCHEME", request_scheme.as_bytes())]);
            let scheme = scheme(head.params());
            assert_eq!(scheme.as_ref().map(Scheme::as_str), expected, "{https}");
        }
    }

    #[test]
    fn mounts() {
        for (path, prefix, expected) in [
            ("/app", "/app", Some("/")),
            ("/app/", "/app", Some("/")),
            ("/app?q", "/app/", Some("/?q")),
            ("/app/a%20b?q=/app", "/app", Some("/a%20b?q=/app")),
            ("/%61pp/x", "/app", Some("/x")),
            ("/my%20app/x", "/my app", Some("/x")),
            ("/caf%C3%A9/x", "/café", Some("/x")),
            ("/x", "", Some("/x")),
            ("/x", "/", Some("/x")),
            ("*", "/app", Some("*")),
            ("http://example.org/app/x", "/app", Some("http://example.org/x")),
            ("/app//x", "/app", Some("//x")),
            ("/apple", "/app", None),
            ("/app%2Fx", "/app", None),
            ("/x/app", "/app", None),
            ("/", "/app", None),
            ("/APP/x", "/app", None),
        ] {
            let (mut parts, ()) = ::http::Request::get(path).body(()).expect("a URI").into_parts();
            let stripped = strip_mount(&mut parts, prefix);
            assert_eq!(stripped.is_ok(), expected.is_some(), "{path}");
            assert_eq!(parts.uri, expected.unwrap_or(path), "{path}");
            assert_eq!(parts.extensions.get::<MountPoint>().is_some(), expected.is_some());
        }
    }
}

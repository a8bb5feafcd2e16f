//! The URI of a request, from the variables that front servers send.

use alloc::string::String;

use ::http::Uri;
use ::http::request::Parts;
use ::http::uri::{PathAndQuery, Scheme};

use super::{ConvertError, MountPoint};
use crate::wire::params::Params;

/// What `http::Uri` takes at most, in bytes.
const MAX_LEN: usize = u16::MAX as usize - 1;

/// REQUEST_URI in origin form, else SCRIPT_NAME, PATH_INFO and QUERY_STRING together.
///
/// The absolute form, which Apache passes on, is cut to its path: the authority in it is the
/// client's word, and nginx and HTTP proxies cut it too.
pub(super) fn uri(params: &Params) -> Result<Uri, ConvertError> {
    let text = match params.get("REQUEST_URI").filter(|uri| !uri.is_empty()) {
        Some(b"*") => String::from("*"),
        Some(raw) => from_request_uri(raw)?,
        None => from_path(params)?,
    };
    if text.len() > MAX_LEN {
        return Err(ConvertError::UriTooLong { len: text.len(), max: MAX_LEN });
    }
    let path = PathAndQuery::try_from(text).map_err(|_| ConvertError::InvalidUri)?;
    Ok(Uri::from(path))
}

fn from_request_uri(raw: &[u8]) -> Result<String, ConvertError> {
    let raw = raw.split(|b| *b == b'#').next().unwrap_or_default();
    let origin = if raw.first() == Some(&b'/') { raw } else { cut_authority(raw)? };
    let mut text = String::with_capacity(origin.len() + 16);
    if origin.first() != Some(&b'/') {
        // `http://host` and `http://host?query`.
        text.push('/');
    }
    let path_len = origin.iter().position(|b| *b == b'?').unwrap_or(origin.len());
    let (path, query) = origin.split_at(path_len);
    encode(path, is_raw_path, &mut text);
    encode(query, is_raw_query, &mut text);
    Ok(text)
}

/// What follows `scheme://authority`.
fn cut_authority(raw: &[u8]) -> Result<&[u8], ConvertError> {
    let separator = b"://";
    let at = raw
        .windows(separator.len())
        .position(|part| part == separator)
        .filter(|at| *at > 0 && raw[..*at].iter().all(is_scheme_byte))
        .ok_or(ConvertError::InvalidUri)?;
    let rest = &raw[at + separator.len()..];
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    Ok(&rest[end..])
}

fn is_scheme_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

fn from_path(params: &Params) -> Result<String, ConvertError> {
    let script_name = params.get("SCRIPT_NAME").unwrap_or_default();
    let path_info = params.get("PATH_INFO").unwrap_or_default();
    if script_name.is_empty() && path_info.is_empty() {
        return Err(ConvertError::InvalidUri);
    }
    let mut text = encode_path(script_name);
    text.push_str(&encode_path(path_info));
    if !text.starts_with('/') {
        text.insert(0, '/');
    }
    if let Some(query) = params.get("QUERY_STRING").filter(|query| !query.is_empty()) {
        text.push('?');
        let query = query.split(|b| *b == b'#').next().unwrap_or_default();
        encode(query, is_raw_query, &mut text);
    }
    Ok(text)
}

/// A decoded path, percent-encoded.
pub(super) fn encode_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    encode(path, |byte| is_raw_path(byte) && byte != b'%', &mut text);
    text
}

/// Copies `bytes`, those that `keep` refuses as `%41`.
fn encode(bytes: &[u8], keep: fn(u8) -> bool, text: &mut String) {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in bytes {
        if keep(*byte) {
            text.push(char::from(*byte));
        } else {
            text.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Bytes that stay in a path which is encoded already: what `http::Uri` takes in ASCII, as hyper
/// leaves them too.
fn is_raw_path(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>' | b'?' | b'`')
}

fn is_raw_query(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>')
}

/// Takes `prefix`, a decoded path such as `/app`, off the URI's path, so that a program written
/// for `/` works elsewhere; the extension [`MountPoint`] then says where.
///
/// The path is compared with its `%41` decoded, as front servers do to choose a backend. It rests
/// on the raw URI alone, on which all front servers agree, and not on SCRIPT_NAME and PATH_INFO.
///
/// # Errors
/// [`ConvertError::OutsideMount`] if the path does not begin with the prefix or goes on without a
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
pub fn strip_mount(parts: &mut Parts, prefix: &str) -> Result<(), ConvertError> {
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
pub(super) fn scheme(params: &Params) -> Option<Scheme> {
    let https = params.get("HTTPS").filter(|value| !value.is_empty());
    match https {
        Some(value) if !value.eq_ignore_ascii_case(b"off") => Some(Scheme::HTTPS),
        _ => match params.get("REQUEST_SCHEME")? {
            scheme if scheme.eq_ignore_ascii_case(b"https") => Some(Scheme::HTTPS),
            scheme if scheme.eq_ignore_ascii_case(b"http") => Some(Scheme::HTTP),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request::RequestHeadBuilder;
    use alloc::string::ToString;

    fn params(pairs: &[(&str, &[u8])]) -> Params {
        let builder = RequestHeadBuilder::default();
        pairs.iter().fold(builder, |b, (n, v)| b.param(n, v)).build().params().clone()
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
            (b"/../up", "/../up"),
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
            let uri = uri(&params(&[("REQUEST_URI", raw)])).map(|uri| uri.to_string());
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
            (&long, too_long),
        ] {
            assert_eq!(uri(&params(&[("REQUEST_URI", raw)])), Err(expected));
        }
        assert_eq!(uri(&params(&[])), Err(ConvertError::InvalidUri));
    }

    #[test]
    fn without_request_uri_the_path_is_encoded() {
        for (script_name, path_info, query, expected) in [
            (&b""[..], &b"/"[..], &b""[..], "/"),
            (b"/app", b"/a b", b"q=%20", "/app/a%20b?q=%20"),
            (b"/app", b"", b"", "/app"),
            (b"", b"/50%", b"", "/50%25"),
            (b"", b"/a?b#c", b"", "/a%3Fb%23c"),
            (b"", b"/caf\xe9", b"q=\xe9", "/caf%E9?q=%E9"),
            (b"", "/café".as_bytes(), b"", "/caf%C3%A9"),
            (b"app", b"", b"a#b", "/app?a"),
        ] {
            let params = params(&[
                ("REQUEST_URI", b""),
                ("SCRIPT_NAME", script_name),
                ("PATH_INFO", path_info),
                ("QUERY_STRING", query),
            ]);
            assert_eq!(uri(&params).map(|uri| uri.to_string()).as_deref(), Ok(expected));
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
            let params = params(&[
                ("HTTPS", https.as_bytes()),
                ("REQUEST_SCHEME", request_scheme.as_bytes()),
            ]);
            let scheme = scheme(&params);
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

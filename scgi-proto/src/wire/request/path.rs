//! The path of a request: where it comes from, its encoding, and dot segments.

use alloc::borrow::Cow;
use alloc::string::String;

use memchr::memchr;

use super::params::Params;
use super::policy::PathSource;

/// The path of a request and its query, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// Percent-encoded; bytes that no URI can hold may be in it if the browser sent them.
    pub(crate) path: Cow<'a, [u8]>,
    /// Without its `?`.
    pub(crate) query: Option<&'a [u8]>,
}

/// The params that say which path was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PathParams<'a> {
    pub(crate) request_uri: Option<&'a [u8]>,
    pub(crate) document_uri: Option<&'a [u8]>,
    pub(crate) script_name: Option<&'a [u8]>,
    pub(crate) path_info: Option<&'a [u8]>,
    pub(crate) query_string: Option<&'a [u8]>,
}

impl<'a> PathParams<'a> {
    pub(crate) fn of(params: &'a Params) -> Self {
        Self {
            request_uri: params.get("REQUEST_URI"),
            document_uri: params.get("DOCUMENT_URI"),
            script_name: params.get("SCRIPT_NAME"),
            path_info: params.get("PATH_INFO"),
            query_string: params.get("QUERY_STRING"),
        }
    }

    /// Whether none of them says a path.
    #[cfg(feature = "http")]
    pub(crate) fn is_empty(&self) -> bool {
        [self.request_uri, self.document_uri, self.script_name, self.path_info]
            .iter()
            .all(Option::is_none)
    }

    /// What was asked for, by this source. REQUEST_URI never replaces the mapped path: a
    /// program that asked for that relies on the front server's mapping.
    pub(crate) fn target(&self, source: PathSource) -> Option<Target<'a>> {
        let request_uri = self.request_uri.filter(|uri| !uri.is_empty());
        match (source, request_uri) {
            (PathSource::RequestUri, Some(raw)) => Target::requested(raw),
            _ => Target::mapped(self),
        }
    }
}

impl<'a> Target<'a> {
    /// REQUEST_URI: the origin form of it, or `*`.
    fn requested(raw: &'a [u8]) -> Option<Self> {
        if raw == b"*" {
            return Some(Self { path: Cow::Borrowed(raw), query: None });
        }
        let origin = origin_form(raw)?;
        let (path, query) = split_query(origin);
        // `http://host` and `http://host?query`.
        let path = if path.is_empty() { b"/" } else { path };
        Some(Self { path: Cow::Borrowed(path), query })
    }

    /// DOCUMENT_URI, else SCRIPT_NAME and PATH_INFO together, both decoded, and QUERY_STRING.
    fn mapped(params: &PathParams<'a>) -> Option<Self> {
        let script_name = params.script_name;
        let path_info = params.path_info.unwrap_or_default();
        let (first, second) = match params.document_uri.filter(|path| !path.is_empty()) {
            Some(path) => (path, &b""[..]),
            // An empty path is that of the root (RFC 9110 section 4.2.3).
            None if script_name.is_some() || !path_info.is_empty() => {
                (script_name.unwrap_or_default(), path_info)
            }
            None => return None,
        };
        let query = params.query_string.filter(|query| !query.is_empty());
        let query = query.map(without_fragment);
        let path = if first.is_empty() && second == b"*" {
            Cow::Borrowed(second)
        } else {
            Cow::Owned(encode_both(first, second).into_bytes())
        };
        Some(Self { path, query })
    }
}

/// Two parts of a decoded path as one encoded one, which begins with a slash.
fn encode_both(first: &[u8], second: &[u8]) -> String {
    let mut text = encode_path(first);
    text.push_str(&encode_path(second));
    if !text.starts_with('/') {
        text.insert(0, '/');
    }
    text
}

/// What follows the authority, without a fragment.
///
/// The absolute form, which Apache passes on, is cut to its path: the authority in it is the
/// client's word, and nginx and HTTP proxies cut it too.
fn origin_form(raw: &[u8]) -> Option<&[u8]> {
    let raw = without_fragment(raw);
    if raw.first() == Some(&b'/') {
        return Some(raw);
    }
    let (_, rest) = split_scheme(raw)?;
    Some(&rest[authority_len(rest)..])
}

/// `scheme://` and what follows.
pub(crate) fn split_scheme(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', raw)?;
    let is_scheme_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let is_absolute =
        colon > 0 && raw[..colon].iter().all(is_scheme_byte) && raw[colon..].starts_with(b"://");
    is_absolute.then(|| raw.split_at(colon + 3))
}

/// How many of the bytes behind `scheme://` are the authority.
pub(crate) fn authority_len(rest: &[u8]) -> usize {
    rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len())
}

fn without_fragment(raw: &[u8]) -> &[u8] {
    memchr(b'#', raw).map_or(raw, |end| &raw[..end])
}

fn split_query(origin: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'?', origin) {
        Some(at) => (&origin[..at], Some(&origin[at + 1..])),
        None => (origin, None),
    }
}

/// A decoded path, percent-encoded.
pub(crate) fn encode_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    encode(path, |byte| is_raw_path(byte) && byte != b'%', &mut text);
    text
}

/// Copies `bytes`, those that `keep` refuses as `%41`.
pub(crate) fn encode(bytes: &[u8], keep: fn(u8) -> bool, text: &mut String) {
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
pub(crate) const fn is_raw_path(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>' | b'?' | b'`')
}

/// The same for a query.
#[cfg(feature = "http")]
pub(crate) const fn is_raw_query(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>')
}

/// Whether a segment of an encoded path is `.` or `..`, which may be encoded too.
///
/// An encoded slash ends a segment, as nginx and lighttpd decode before they resolve. So does a
/// backslash, which is a separator for front servers on Windows.
pub(crate) fn has_dot_segments(path: &[u8]) -> bool {
    /// More than any dot segment has, for a segment that is not one.
    const NONE: u8 = 3;
    let mut dots = NONE;
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        let (byte, after) = match (byte, after) {
            (b'%', [b'2', b'e' | b'E', after @ ..]) => (b'.', after),
            (b'%', [b'2', b'f' | b'F', after @ ..] | [b'5', b'c' | b'C', after @ ..]) => {
                (b'/', after)
            }
            (byte, after) => (*byte, after),
        };
        match byte {
            b'/' | b'\\' if matches!(dots, 1 | 2) => return true,
            b'/' | b'\\' => dots = 0,
            b'.' if dots < NONE => dots += 1,
            _ => dots = NONE,
        }
        rest = after;
    }
    matches!(dots, 1 | 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request::RequestHeadBuilder;

    #[test]
    fn dot_segments() {
        for path in [
            "/.",
            "/..",
            "/./",
            "/../",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/a/.",
            "/%2e",
            "/%2E%2e/x",
            "/.%2e",
            "/a/%2e./b",
            "/a%2f..%2Fb",
            "/a/..%2fb",
            "/a%2f%2e%2e",
            "/a/..\\b",
            "/a\\..",
            "/a%5c..%5Cb",
            "//..",
            "/a//../b",
            "/x/../../hello",
        ] {
            assert!(has_dot_segments(path.as_bytes()), "{path}");
        }
        for path in [
            "/",
            "",
            "*",
            "/a",
            "/a.b",
            "/.a",
            "/..a",
            "/a..",
            "/...",
            "/....",
            "/.../x",
            "/a/.b/c",
            "/%2e%2e%2e",
            "/%2ea",
            "/%252e%252e/x",
            "/a/.%20/b",
            "/..;/x",
            "/.well-known/x",
            "/%2",
            "/%2e%",
            "/a/%2f/b",
        ] {
            assert!(!has_dot_segments(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn targets() {
        type Row<'a> = (&'a [(&'a str, &'a str)], PathSource, Option<(&'a str, Option<&'a str>)>);
        let old = ("REQUEST_URI", "/old?x=1");
        let rows: &[Row<'_>] = &[
            (&[old], PathSource::RequestUri, Some(("/old", Some("x=1")))),
            (&[old], PathSource::Mapped, None),
            // After Apache's internal redirect.
            (
                &[old, ("SCRIPT_NAME", "/new"), ("QUERY_STRING", "")],
                PathSource::Mapped,
                Some(("/new", None)),
            ),
            (&[old, ("SCRIPT_NAME", "/new")], PathSource::RequestUri, Some(("/old", Some("x=1")))),
            // nginx with PATH_INFO of the program's own choice, after a rewrite.
            (
                &[
                    old,
                    ("DOCUMENT_URI", "/new a"),
                    ("PATH_INFO", "/p"),
                    ("QUERY_STRING", "y=%20#f"),
                ],
                PathSource::Mapped,
                Some(("/new%20a", Some("y=%20"))),
            ),
            (&[old, ("PATH_INFO", "/50%/%2e")], PathSource::Mapped, Some(("/50%25/%252e", None))),
            (&[("SCRIPT_NAME", ""), ("PATH_INFO", "")], PathSource::Mapped, Some(("/", None))),
            (&[("SCRIPT_NAME", ""), ("PATH_INFO", "*")], PathSource::Mapped, Some(("*", None))),
            (&[("SCRIPT_NAME", "")], PathSource::RequestUri, Some(("/", None))),
            (&[("PATH_INFO", "")], PathSource::RequestUri, None),
            (&[("DOCUMENT_URI", "/d")], PathSource::RequestUri, Some(("/d", None))),
            (&[("REQUEST_URI", "*")], PathSource::RequestUri, Some(("*", None))),
            (&[("REQUEST_URI", "http://u:p@h?q")], PathSource::RequestUri, Some(("/", Some("q")))),
            (&[("REQUEST_URI", "/a#b?c")], PathSource::RequestUri, Some(("/a", None))),
            (&[("REQUEST_URI", "a")], PathSource::RequestUri, None),
            (&[], PathSource::RequestUri, None),
        ];
        for (pairs, source, expected) in rows {
            let builder = RequestHeadBuilder::default();
            let head = pairs.iter().fold(builder, |b, (n, v)| b.param(n, v)).build();
            let target = PathParams::of(head.params()).target(*source);
            let expected = expected.map(|(path, query)| Target {
                path: Cow::Borrowed(path.as_bytes()),
                query: query.map(str::as_bytes),
            });
            assert_eq!(target, expected, "{pairs:?}");
        }
    }
}

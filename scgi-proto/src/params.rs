//! The params of a request: one shared block of bytes and the spans in it.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::escape::{Escaped, is_secret};

/// Where one param lies in the block. The name ends one byte before the value begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) name: u32,
    pub(crate) value: u32,
    pub(crate) end: u32,
}

/// The params of a request, in the order in which they were sent.
///
/// Names and values are bytes: front servers pass on what browsers send, in any encoding. Names
/// are case-sensitive. A name may stand more than once ([`get`](Self::get) returns the last,
/// [`get_all`](Self::get_all) all), as nginx sends repeated headers so.
///
/// A clone shares the bytes. [`Debug`](fmt::Debug) escapes control bytes and hides the values
/// that hold secrets: cookies and credentials.
///
/// # Examples
/// ```
/// use scgi_proto::RequestHead;
/// let head = RequestHead::builder("GET", "/cart?id=7").param("HTTP_COOKIE", "a=1").build();
/// assert_eq!(head.params().get("QUERY_STRING"), Some(&b"id=7"[..]));
/// assert_eq!(head.params().get_str("REQUEST_METHOD"), Some("GET"));
/// assert!(!format!("{:?}", head.params()).contains("a=1"));
/// ```
#[derive(Clone, Default)]
pub struct Params {
    block: Bytes,
    spans: Vec<Span>,
}

impl Params {
    pub(crate) fn new(block: Bytes, spans: Vec<Span>) -> Self {
        Self { block, spans }
    }

    /// The value of `name`, the last one if it stands more than once.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.spans.iter().rev().map(|span| self.pair(span)).find_map(|(n, value)| {
            // Lengths differ mostly, and comparing them first saves the call.
            (n.len() == name.len() && n == name.as_bytes()).then_some(value)
        })
    }

    /// As [`get`](Self::get), if the value is UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| core::str::from_utf8(value).ok())
    }

    /// Every value of `name`, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| *n == name.as_bytes()).map(|(_, value)| value)
    }

    /// All cookies as one header value: the values of HTTP_COOKIE joined with `; `.
    ///
    /// nginx sends two HTTP_COOKIE params when the browser's cookies came in two header lines,
    /// as they do with HTTP/2 (RFC 9113 section 8.2.3). Allocates only then.
    #[must_use]
    pub fn cookie(&self) -> Option<Cow<'_, [u8]>> {
        let mut values = self.get_all("HTTP_COOKIE");
        let first = values.next()?;
        let mut joined = Cow::Borrowed(first);
        for value in values {
            let joined = joined.to_mut();
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(value);
        }
        Some(joined)
    }

    /// Names and values, in the order in which they were sent.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|span| self.pair(span))
    }

    /// The number of params.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    fn pair(&self, span: &Span) -> (&[u8], &[u8]) {
        let (name, value, end) = (span.name as usize, span.value as usize, span.end as usize);
        (&self.block[name..value - 1], &self.block[value..end])
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                let value = if is_secret(name) { &b"[redacted]"[..] } else { value };
                (Escaped(name), Escaped(value))
            }))
            .finish()
    }
}

/// One `NAME=value` line for each param, escaped and redacted as in `Debug`.
impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.iter() {
            let value = if is_secret(name) { &b"[redacted]"[..] } else { value };
            writeln!(f, "{}={}", Escaped(name), Escaped(value))?;
        }
        Ok(())
    }
}

impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Params {}

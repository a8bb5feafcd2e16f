//! The params of a request: one shared block of bytes and the spans in it.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use bytes::Bytes;

use crate::wire::escape::{Escaped, is_secret};

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
    /// Where the NULs stand, two for each param: behind its name and behind its value.
    nuls: Vec<u32>,
}

impl Params {
    pub(crate) fn new(block: Bytes, nuls: Vec<u32>) -> Self {
        Self { block, nuls }
    }

    /// The bytes of all params.
    #[cfg(feature = "http")]
    pub(crate) fn block(&self) -> &Bytes {
        &self.block
    }

    /// As [`iter`](Self::iter), in one direction: a third of its work, for who looks at all.
    #[cfg(feature = "http")]
    pub(crate) fn forward(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.block[..];
        let mut start = 0;
        self.nuls.chunks_exact(2).map_while(move |pair| {
            let (name_end, value_end) = (pair[0] - start, pair[1] - start);
            start = pair[1] + 1;
            let (param, behind) = rest.split_at_checked(value_end as usize + 1)?;
            rest = behind;
            let (name, value) = param.split_at_checked(name_end as usize)?;
            // Without the NULs.
            Some((name, value.get(1..value.len() - 1)?))
        })
    }

    /// Where the name of a param begins.
    pub(crate) fn offset(&self, index: usize) -> usize {
        name_start(&self.nuls, index)
    }

    /// The value of `name`, the last one if it appears more than once. (Of the fields of a response,
    /// the first one counts, as in HTTP: [`Fields::first`](crate::Fields::first).)
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let name = name.as_bytes();
        let Some(last) = name.last() else {
            return self.iter().rev().find(|(name, _)| name.is_empty()).map(|(_, value)| value);
        };
        let [first_end, middle @ .., _] = &self.nuls[..] else { return None };
        // A name takes its length and a NUL behind the value before it. No name of 4 GiB is there.
        let distance = u32::try_from(name.len()).ok()?.checked_add(1)?;
        // The end of a value and that of the name behind it: the last param comes first. Most names
        // differ in length, and most others in their last byte.
        let may_be = |ends: &[u32]| {
            ends[1].wrapping_sub(ends[0]) == distance
                && self.block.get(ends[1] as usize - 1) == Some(last)
        };
        // Four params a step, as counting the steps costs half as much as looking.
        let mut steps = middle.rchunks_exact(8);
        while let Some(step) = steps.next() {
            for (place, pair) in step.chunks_exact(2).enumerate().rev() {
                if may_be(pair) {
                    // Before these are the first param, and the steps that are left.
                    let before = 1 + steps.remainder().len() / 2 + 4 * steps.len();
                    if let Some(value) = self.value_if(before + place, name) {
                        return Some(value);
                    }
                }
            }
        }
        for (place, pair) in steps.remainder().chunks_exact(2).enumerate().rev() {
            if may_be(pair) {
                if let Some(value) = self.value_if(1 + place, name) {
                    return Some(value);
                }
            }
        }
        if *first_end as usize == name.len() { self.value_if(0, name) } else { None }
    }

    /// The value of a param, if that is its name.
    #[inline]
    fn value_if(&self, index: usize, name: &[u8]) -> Option<&[u8]> {
        let (n, value) = self.pair(index);
        (n == name).then_some(value)
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
    pub fn iter(&self) -> ParamIter<'_> {
        ParamIter { params: self, left: 0..self.len() }
    }

    /// The number of params.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nuls.len() / 2
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nuls.is_empty()
    }

    #[inline]
    fn pair(&self, index: usize) -> (&[u8], &[u8]) {
        let (name, value) = (self.nuls[2 * index] as usize, self.nuls[2 * index + 1] as usize);
        (&self.block[self.offset(index)..name], &self.block[name + 1..value])
    }
}

/// The names and values of [`Params`], in the order in which they were sent.
#[derive(Debug, Clone)]
pub struct ParamIter<'a> {
    params: &'a Params,
    left: Range<usize>,
}

impl<'a> Iterator for ParamIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left.next().map(|index| self.params.pair(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl DoubleEndedIterator for ParamIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left.next_back().map(|index| self.params.pair(index))
    }
}

impl ExactSizeIterator for ParamIter<'_> {}

impl<'a> IntoIterator for &'a Params {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = ParamIter<'a>;

    fn into_iter(self) -> ParamIter<'a> {
        self.iter()
    }
}

/// A name begins where the block does, or one byte after the value before it.
pub(crate) fn name_start(nuls: &[u32], index: usize) -> usize {
    (2 * index).checked_sub(1).map_or(0, |before| nuls[before] as usize + 1)
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
        for (name, value) in self {
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

#[cfg(test)]
mod tests {
    use crate::wire::request::RequestHeadBuilder;
    use alloc::format;

    /// Names of few lengths and last bytes, repeated ones and an empty one.
    fn name(seed: usize) -> &'static str {
        const NAMES: [&str; 9] = ["", "A", "B", "AB", "BB", "AAB", "ABB", "BBB", "AAAA"];
        NAMES[seed % NAMES.len()]
    }

    #[test]
    fn get_is_the_last_of_all_values_whatever_the_number_of_params() {
        for seed in 0..200 {
            for count in 0..20 {
                let builder = RequestHeadBuilder::default();
                let builder = (0..count).fold(builder, |builder, index| {
                    let value = format!("{index}");
                    builder.append(name((seed + 1) * (index + 3) + index * index), value)
                });
                let head = builder.build();
                for wanted in (0..9).map(name).chain(["AAAB", "C", "BB"]) {
                    let expected = head.params().get_all(wanted).last();
                    assert_eq!(head.params().get(wanted), expected, "{wanted} in {head:?}");
                }
            }
        }
    }
}

//! The fields of a response.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use memchr::memchr;

use crate::wire::escape::{Escaped, is_secret};
use crate::wire::field::{is_status, split_field, split_line};

/// The fields of a response, in order. Names are compared without regard to case.
///
/// Those of a decoded head share the memory that it was read into, which is some KiB: copy what
/// is to be kept for long.
///
/// [`Debug`](fmt::Debug) escapes control bytes and hides cookies and credentials.
#[derive(Clone, Default)]
pub struct Fields {
    block: Block,
    len: usize,
}

#[derive(Clone)]
enum Block {
    /// For each field the lengths of its name and value, as two `u32`, then both: one
    /// allocation for a typical response.
    Built(Vec<u8>),
    /// The lines of a decoded head, shared with what was read beside it.
    Lines(Bytes),
}

impl Default for Block {
    fn default() -> Self {
        Self::Built(Vec::new())
    }
}

impl Fields {
    /// Those of a head that was found legal: `len` field lines, and perhaps Status.
    pub(crate) fn decoded(lines: Bytes, len: usize) -> Self {
        Self { block: Block::Lines(lines), len }
    }

    /// The value of the first field of that name, as in HTTP. (Of the params of a request, the last
    /// one counts: [`Params::get`](crate::Params::get).)
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The values of every field of that name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// Names and values, in order.
    #[must_use]
    pub fn iter(&self) -> FieldIter<'_> {
        let source = match &self.block {
            Block::Built(block) => Source::Built(block),
            Block::Lines(lines) => Source::Lines(lines),
        };
        FieldIter { source, left: self.len }
    }

    /// The number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a field after the others.
    ///
    /// # Panics
    /// If the name or the value has more than 4 GiB.
    pub fn append(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let len = self.len + 1;
        let mut block = core::mem::take(self).into_built();
        push_field(&mut block, name.as_ref(), value.as_ref());
        *self = Self { block: Block::Built(block), len };
    }

    /// Replaces the fields of that name by this one, at the place of the first of them, or adds it
    /// after the others.
    ///
    /// # Panics
    /// If the name or the value has more than 4 GiB.
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        let mut new = Some((name, value));
        let mut fields = Self::default();
        for (n, v) in &*self {
            if !n.eq_ignore_ascii_case(name) {
                fields.append(n, v);
            } else if let Some((name, value)) = new.take() {
                fields.append(name, value);
            }
        }
        if let Some((name, value)) = new {
            fields.append(name, value);
        }
        *self = fields;
    }

    /// Removes every field of that name. Returns how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let is_kept = |(n, _): &(&[u8], &[u8])| !n.eq_ignore_ascii_case(name.as_bytes());
        let removed = self.len - self.iter().filter(is_kept).count();
        if removed > 0 {
            let mut fields = Self::default();
            self.iter().filter(is_kept).for_each(|(name, value)| fields.append(name, value));
            *self = fields;
        }
        removed
    }

    fn into_built(self) -> Vec<u8> {
        match self.block {
            Block::Built(block) => block,
            Block::Lines(_) => {
                let mut block = Vec::new();
                self.iter().for_each(|(name, value)| push_field(&mut block, name, value));
                block
            }
        }
    }
}

fn push_field(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("at most 4 GiB").to_ne_bytes();
    if block.is_empty() {
        block.reserve(192);
    }
    block.extend_from_slice(&len(name));
    block.extend_from_slice(&len(value));
    block.extend_from_slice(name);
    block.extend_from_slice(value);
}

/// The names and values of [`Fields`], in order.
#[derive(Clone)]
pub struct FieldIter<'a> {
    source: Source<'a>,
    left: usize,
}

/// What is left of a [`Block`].
#[derive(Clone, Copy)]
enum Source<'a> {
    Built(&'a [u8]),
    Lines(&'a [u8]),
}

impl<'a> Iterator for FieldIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let field = match &mut self.source {
            Source::Built(block) => next_built(block),
            Source::Lines(lines) => next_line(lines),
        };
        if field.is_some() {
            self.left -= 1;
        }
        field
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

#[inline]
fn next_built<'a>(block: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (name, rest) = block.split_first_chunk()?;
    let (value, rest) = rest.split_first_chunk()?;
    let (name, rest) = rest.split_at(u32::from_ne_bytes(*name) as usize);
    let (value, rest) = rest.split_at(u32::from_ne_bytes(*value) as usize);
    *block = rest;
    Some((name, value))
}

fn next_line<'a>(lines: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    loop {
        let (line, rest) = split_line(lines, memchr(b'\n', lines)?);
        *lines = rest;
        // The empty line has no field, and Status is told apart.
        let (name, value) = split_field(line)?;
        if !is_status(name) {
            return Some((name, value));
        }
    }
}

impl ExactSizeIterator for FieldIter<'_> {}

/// Each step from the back looks at all fields before it: they are few.
impl DoubleEndedIterator for FieldIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let last = self.left.checked_sub(1)?;
        let field = self.clone().nth(last);
        self.left = last;
        field
    }
}

impl fmt::Debug for FieldIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldIter").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = FieldIter<'a>;

    fn into_iter(self) -> FieldIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                let value = if is_secret(name) { &b"[redacted]"[..] } else { value };
                (Escaped(name), Escaped(value))
            }))
            .finish()
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> [Fields; 2] {
        let mut built = Fields::default();
        for (name, value) in [("A", "1"), ("b", "2"), ("a", "3"), ("C", "")] {
            built.append(name, value);
        }
        let lines = "A: 1\nb: 2\nStatus: 200 OK\na: 3\nC:\n\n";
        [built, Fields::decoded(lines.into(), 4)]
    }

    fn text(fields: &Fields) -> alloc::string::String {
        let shown = fields
            .iter()
            .map(|(name, value)| alloc::format!("{}={};", Escaped(name), Escaped(value)));
        shown.collect()
    }

    #[test]
    fn fields_are_set_and_removed() {
        for fields in fields() {
            for (name, expected) in
                [("a", "a=new;b=2;C=;"), ("B", "A=1;B=new;a=3;C=;"), ("d", "A=1;b=2;a=3;C=;d=new;")]
            {
                let mut fields = fields.clone();
                fields.set(name, "new");
                assert_eq!(text(&fields), expected);
            }
            for (name, removed, expected) in
                [("A", 2, "b=2;C=;"), ("c", 1, "A=1;b=2;a=3;"), ("d", 0, "A=1;b=2;a=3;C=;")]
            {
                let mut fields = fields.clone();
                assert_eq!(fields.remove(name), removed);
                assert_eq!((text(&fields).as_str(), fields.len()), (expected, 4 - removed));
            }
        }
    }

    #[test]
    fn fields_are_iterated_both_ways() {
        for fields in fields() {
            let mut backwards: Vec<_> = fields.iter().rev().collect();
            backwards.reverse();
            assert!(backwards.into_iter().eq(&fields));
            let mut iter = fields.iter();
            assert_eq!(iter.next_back(), Some((&b"C"[..], &b""[..])));
            assert_eq!(iter.next(), Some((&b"A"[..], &b"1"[..])));
            assert_eq!((iter.len(), iter.next_back()), (2, Some((&b"a"[..], &b"3"[..]))));
            assert_eq!(iter.next(), Some((&b"b"[..], &b"2"[..])));
            assert_eq!((iter.next(), iter.next_back()), (None, None));
        }
    }
}

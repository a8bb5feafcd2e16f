//! The fields of a response.

use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};
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
    /// For each field the lengths of its name and value, as two `u32`, then its line, which is
    /// sent as it is: one allocation for a typical response.
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
        push_field(self.built_mut(), name.as_ref(), value.as_ref());
        self.len += 1;
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

    /// The block to add to: fields of a decoded head are copied first.
    fn built_mut(&mut self) -> &mut Vec<u8> {
        if let Block::Lines(_) = self.block {
            let mut built = Vec::new();
            self.iter().for_each(|(name, value)| push_field(&mut built, name, value));
            self.block = Block::Built(built);
        }
        match &mut self.block {
            Block::Built(block) => block,
            Block::Lines(_) => unreachable!("the fields were copied above"),
        }
    }

    /// Appends the lines of all fields to `dst`, each with CRLF.
    pub(crate) fn put_lines(&self, dst: &mut BytesMut) {
        if let Block::Built(block) = &self.block {
            let mut rest = &block[..];
            while let Some(field) = next_built(&mut rest) {
                dst.put_slice(field.line);
            }
            return;
        }
        for (name, value) in self {
            for part in [name, b": ", value, b"\r\n"] {
                dst.put_slice(part);
            }
        }
    }
}

fn push_field(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("at most 4 GiB").to_ne_bytes();
    let (name_len, value_len) = (len(name), len(value));
    // Room for all of this field, so that it grows once at most.
    let needed = 8 + name.len() + value.len() + 4;
    if block.capacity() == 0 {
        // And for a typical response. To grow from nothing would take twice as many instructions.
        *block = Vec::with_capacity(needed.max(192));
    } else {
        block.reserve(needed);
    }
    block.extend_from_slice(&name_len);
    block.extend_from_slice(&value_len);
    block.extend_from_slice(name);
    block.extend_from_slice(b": ");
    block.extend_from_slice(value);
    block.extend_from_slice(b"\r\n");
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
            Source::Built(block) => next_built(block).map(|field| (field.name, field.value)),
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

/// A field that was added.
struct Built<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// Both, with CRLF.
    line: &'a [u8],
}

#[inline]
fn next_built<'a>(block: &mut &'a [u8]) -> Option<Built<'a>> {
    let (name_len, rest) = block.split_first_chunk()?;
    let (value_len, rest) = rest.split_first_chunk()?;
    let name_len = u32::from_ne_bytes(*name_len) as usize;
    let value_at = name_len + 2;
    let value_end = value_at + u32::from_ne_bytes(*value_len) as usize;
    let (line, rest) = rest.split_at(value_end + 2);
    *block = rest;
    Some(Built { name: &line[..name_len], value: &line[value_at..value_end], line })
}

fn next_line<'a>(lines: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    loop {
        let (line, rest) = split_line(lines, memchr(b'\n', lines)?);
        *lines = rest;
        // The empty line has no field, and Status is handled separately.
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

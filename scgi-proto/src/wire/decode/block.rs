//! The rules of a header block: from its bytes to params and the length of the body.

use alloc::vec::Vec;

use super::scan::nul_places;
use crate::wire::error::DecodeError;
use crate::wire::limits::Limits;
use crate::wire::number::{LengthError, parse_length};
use crate::wire::request::params::name_start;
use crate::wire::request::policy::Policy;

/// What a header block says.
pub(super) struct Block {
    /// Where its NULs stand, two for each param.
    pub(super) places: Vec<u32>,
    pub(super) content_length: u64,
    pub(super) body_length: u64,
    pub(super) notes: Notes,
}

/// What a connection asks of each head, found while the block is parsed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Notes {
    /// REQUEST_METHOD is HEAD.
    pub(crate) is_head_request: bool,
    /// HTTP_CONTENT_LENGTH is present, so that it may disagree with CONTENT_LENGTH.
    pub(crate) has_http_content_length: bool,
    /// HTTP_UPGRADE is present, so that the request may be upgraded.
    pub(crate) has_upgrade: bool,
}

/// Parses a whole header block, which begins at offset `base` of the request.
pub(super) fn parse_block(
    block: &[u8],
    base: usize,
    limits: &Limits,
    policy: &Policy,
) -> Result<Block, DecodeError> {
    if block.is_empty() && !policy.empty_block {
        return Err(DecodeError::EmptyHeaderBlock);
    }
    if block.last().is_some_and(|byte| *byte != 0) {
        return Err(DecodeError::MissingFinalNul { offset: base + block.len() - 1 });
    }
    let max = limits.params as usize;
    let places =
        nul_places(block, max.saturating_mul(2)).ok_or(DecodeError::TooManyParams { max })?;
    // In most blocks no part can be too long.
    let may_break = block.len() > limits.name.min(limits.value) as usize;
    let mut known = Known::default();
    let mut start = 0;
    let mut pairs = places.chunks_exact(2);
    for pair in &mut pairs {
        let span = Span { start, name_end: pair[0], value_end: pair[1] };
        if may_break && span.breaks(limits) {
            return Err(refuse_lengths(span, base, limits));
        }
        if span.is_special() {
            if span.name_len() == 0 {
                return Err(refuse_lengths(span, base, limits));
            }
            if span.name_len() == HTTP_UPGRADE.len() as u32 {
                let name = &block[start as usize..];
                known.has_upgrade |= name[0] == b'H' && name.starts_with(HTTP_UPGRADE);
            } else {
                known.note(block, span, base, policy)?;
            }
        }
        start = span.value_end + 1;
    }
    if !pairs.remainder().is_empty() {
        return Err(DecodeError::MissingValue { offset: base + start as usize });
    }
    if !policy.repeated_names {
        refuse_repeated_names(block, &places, base)?;
    }
    let (content_length, body_length) = known.lengths(policy, places.is_empty())?;
    if body_length > limits.body {
        return Err(DecodeError::BodyTooLarge { len: body_length, max: limits.body });
    }
    let notes = Notes {
        is_head_request: known.is_head_request,
        has_http_content_length: known.http_content_length.is_some(),
        has_upgrade: known.has_upgrade,
    };
    Ok(Block { places, content_length, body_length, notes })
}

/// The error of a param that breaks a limit.
#[cold]
fn refuse_lengths(span: Span, base: usize, limits: &Limits) -> DecodeError {
    let offset = base + span.start as usize;
    let (name, value) = (span.name_len() as usize, span.value_len() as usize);
    if name == 0 {
        DecodeError::EmptyName { offset }
    } else if span.name_len() > limits.name {
        DecodeError::NameTooLong { offset, len: name, max: limits.name as usize }
    } else {
        let offset = offset + name + 1;
        DecodeError::ValueTooLong { offset, len: value, max: limits.value as usize }
    }
}

/// Where a param is in the block, in the 32 bits that places have.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    name_end: u32,
    value_end: u32,
}

/// The lengths of the names that the protocol knows and of an empty name, one bit for each.
const SPECIAL_LENGTHS: u64 = 1
    | 1 << b"SCGI".len()
    | 1 << HTTP_UPGRADE.len()
    | 1 << b"CONTENT_LENGTH".len()
    | 1 << b"HTTP_CONTENT_LENGTH".len();

/// As long as CONTENT_LENGTH.
const REQUEST_METHOD: &[u8; b"CONTENT_LENGTH".len()] = b"REQUEST_METHOD";

/// As long as CONTENT_TYPE and QUERY_STRING, which most heads have.
const HTTP_UPGRADE: &[u8; 12] = b"HTTP_UPGRADE";

impl Span {
    fn name_len(self) -> u32 {
        self.name_end - self.start
    }

    fn value_len(self) -> u32 {
        self.value_end - self.name_end - 1
    }

    fn breaks(self, limits: &Limits) -> bool {
        self.name_len() > limits.name || self.value_len() > limits.value
    }

    /// Whether the name is empty, or as long as one that the protocol knows: few others are.
    fn is_special(self) -> bool {
        let len = self.name_len();
        len < u64::BITS && SPECIAL_LENGTHS >> len & 1 != 0
    }
}

/// The params that have a meaning for the protocol itself, with the offsets of their names.
#[derive(Default)]
struct Known {
    content_length: Option<u64>,
    scgi: bool,
    http_content_length: Option<HttpLength>,
    has_upgrade: bool,
    /// Whether CONTENT_LENGTH stood there, though perhaps empty.
    seen_content_length: bool,
    /// Where a name stands that means CONTENT_LENGTH and is not it.
    misspelled: Option<usize>,
    /// Whether the last REQUEST_METHOD is HEAD.
    is_head_request: bool,
}

/// HTTP_CONTENT_LENGTH: where it stands, and its value unless it is repeated or no number.
struct HttpLength {
    offset: usize,
    value: Option<u64>,
}

impl Known {
    /// Looks at one param whose name may be known.
    fn note(
        &mut self,
        block: &[u8],
        span: Span,
        base: usize,
        policy: &Policy,
    ) -> Result<(), DecodeError> {
        let (start, name_end) = (span.start as usize, span.name_end as usize);
        let value = &block[name_end + 1..span.value_end as usize];
        let offset = base + start;
        match &block[start..name_end] {
            b"CONTENT_LENGTH" => self.note_content_length(value, offset, start == 0, policy),
            b"SCGI" => self.note_scgi(value, offset),
            name if name == REQUEST_METHOD => {
                // As `Params::get`, which returns the last value.
                self.is_head_request = value == b"HEAD";
                Ok(())
            }
            b"HTTP_CONTENT_LENGTH" => {
                let repeated = self.http_content_length.is_some();
                let value = parse_length(value).ok().filter(|_| !repeated);
                self.http_content_length = Some(HttpLength { offset, value });
                Ok(())
            }
            name => {
                if is_misspelled(name) {
                    self.misspelled = Some(offset);
                }
                Ok(())
            }
        }
    }

    fn note_content_length(
        &mut self,
        value: &[u8],
        offset: usize,
        first: bool,
        policy: &Policy,
    ) -> Result<(), DecodeError> {
        let length = if value.is_empty() { Ok(0) } else { parse_length(value) };
        if self.seen_content_length {
            // Said again, as by a configuration that adds what nginx sends anyway, it is one
            // opinion about where the body ends; of two, neither is believed.
            let is_same = length == Ok(self.content_length.unwrap_or(0));
            return if is_same && policy.repeated_names {
                Ok(())
            } else {
                Err(DecodeError::DuplicateContentLength { offset })
            };
        }
        if !first && !policy.content_length_optional {
            return Err(DecodeError::ContentLengthNotFirst { offset });
        }
        self.seen_content_length = true;
        let length = length.map_err(|error| match error {
            LengthError::NotDigits if value == b"-1" => {
                DecodeError::UnknownContentLength { offset }
            }
            LengthError::NotDigits => DecodeError::InvalidContentLength { offset },
            LengthError::Overflow => DecodeError::ContentLengthOverflow { offset },
        })?;
        if !value.is_empty() {
            self.content_length = Some(length);
        }
        Ok(())
    }

    fn note_scgi(&mut self, value: &[u8], offset: usize) -> Result<(), DecodeError> {
        if self.scgi {
            return Err(DecodeError::DuplicateScgi { offset });
        }
        if value != b"1" {
            return Err(DecodeError::UnsupportedVersion { offset });
        }
        self.scgi = true;
        Ok(())
    }

    /// CONTENT_LENGTH and the length of the body, after the last param.
    fn lengths(&self, policy: &Policy, empty: bool) -> Result<(u64, u64), DecodeError> {
        if let Some(offset) = self.misspelled.filter(|_| !self.seen_content_length) {
            // The body would be dropped in silence.
            return Err(DecodeError::MisspelledContentLength { offset });
        }
        // `0:,` holds neither; a policy that takes it asks no more of it.
        if !empty && self.content_length.is_none() && !policy.content_length_optional {
            return Err(DecodeError::MissingContentLength);
        }
        if !empty && !self.scgi && !policy.scgi_optional {
            return Err(DecodeError::MissingScgi);
        }
        let content_length = self.content_length.unwrap_or(0);
        let Some(http) = &self.http_content_length else {
            return Ok((content_length, content_length));
        };
        if policy.length_disagreement && !policy.body_from_http_content_length {
            return Ok((content_length, content_length));
        }
        let Some(http_content_length) = http.value else {
            return Err(DecodeError::InvalidHttpContentLength { offset: http.offset });
        };
        if policy.body_from_http_content_length {
            return Ok((content_length, http_content_length));
        }
        if http_content_length != content_length {
            return Err(DecodeError::LengthDisagreement { content_length, http_content_length });
        }
        Ok((content_length, content_length))
    }
}

/// Whether a name is CONTENT_LENGTH in other letters, as in `Content-Length`.
fn is_misspelled(name: &[u8]) -> bool {
    let upper = name.iter().map(|b| if *b == b'-' { b'_' } else { b.to_ascii_uppercase() });
    upper.eq(b"CONTENT_LENGTH".iter().copied())
}

/// Refuses a second param of the same name; the offset is that of the first one repeated.
///
/// A small table of hashes tells most names apart. Those that share a place in it are only
/// suspects; they are sorted, which compares each byte of a name a few times at most whatever the
/// names are, so no choice of names makes this slow.
fn refuse_repeated_names(block: &[u8], places: &[u32], base: usize) -> Result<(), DecodeError> {
    let name = |index| &block[name_start(places, index)..places[2 * index] as usize];
    let names = (0..places.len() / 2).map(name);
    if all_distinct(names.clone()) {
        return Ok(());
    }
    match first_repeated(names) {
        Some(index) => Err(DecodeError::DuplicateName { offset: base + name_start(places, index) }),
        None => Ok(()),
    }
}

/// The first repeated name, by sorting those whose hashes do not tell them apart.
#[cold]
fn first_repeated<'a>(names: impl Iterator<Item = &'a [u8]> + Clone) -> Option<usize> {
    let shared = Hashes::shared(names.clone());
    let mut suspects: Vec<_> = names.enumerate().filter(|(_, name)| shared.has(name)).collect();
    suspects.sort_unstable_by(|(a_index, a), (b_index, b)| {
        // Length first, as it is cheap; order of standing last, for a definite result.
        a.len().cmp(&b.len()).then_with(|| a.cmp(b)).then(a_index.cmp(b_index))
    });
    let repeated = suspects.windows(2).filter(|pair| pair[0].1 == pair[1].1);
    repeated.map(|pair| pair[1].0).min()
}

/// Whether no two names have the same hash; then they are distinct.
fn all_distinct<'a>(names: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut seen = Hashes::default();
    for name in names {
        if seen.add(name) {
            return false;
        }
    }
    true
}

/// Hashes of names, as the bits of a table of 4096.
struct Hashes([u64; 64]);

impl Default for Hashes {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Hashes {
    /// Those that more than one name has.
    fn shared<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut seen, mut shared) = (Self::default(), Self::default());
        for name in names {
            if seen.add(name) {
                shared.add(name);
            }
        }
        shared
    }

    /// Adds the hash of a name; gives whether it was there.
    fn add(&mut self, name: &[u8]) -> bool {
        let (word, bit) = Self::place(name);
        let there = self.0[word] & bit != 0;
        self.0[word] |= bit;
        there
    }

    fn has(&self, name: &[u8]) -> bool {
        let (word, bit) = Self::place(name);
        self.0[word] & bit != 0
    }

    fn place(name: &[u8]) -> (usize, u64) {
        let hash = hash(name);
        ((hash >> 58) as usize, 1 << (hash >> 52 & 63))
    }
}

/// Mixes the length, the first eight and the last eight bytes of a name.
fn hash(name: &[u8]) -> u64 {
    let word =
        |bytes: &[u8]| bytes.iter().take(8).fold(0, |word: u64, byte| word << 8 | u64::from(*byte));
    let first = name.first_chunk().map_or_else(|| word(name), |chunk| u64::from_le_bytes(*chunk));
    let last = name.last_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
    let mixed = first ^ last.rotate_left(29) ^ (name.len() as u64) << 56;
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_a_head() {
        for (params, is_head_request, has_http_content_length) in [
            ("", false, false),
            ("REQUEST_METHOD\0HEAD\0", true, false),
            ("REQUEST_METHOD\0head\0", false, false),
            ("REQUEST_METHOD\0HEADS\0", false, false),
            ("REQUEST_METHOX\0HEAD\0", false, false),
            ("REQUEST_METHOD\0HEAD\0REQUEST_METHOD\0GET\0", false, false),
            ("REQUEST_METHOD\0GET\0REQUEST_METHOD\0HEAD\0", true, false),
            ("HTTP_CONTENT_LENGTH\x000\x00", false, true),
            ("HTTP_CONTENT_LENGTH\x000\x00HTTP_CONTENT_LENGTH\x000\x00", false, true),
        ] {
            let block = alloc::format!("CONTENT_LENGTH\x000\x00SCGI\x001\x00{params}");
            let policy = Policy::default().with_length_disagreement(true);
            let parsed = parse_block(block.as_bytes(), 0, &Limits::default(), &policy);
            let notes = parsed.expect("a legal head").notes;
            assert_eq!(notes.is_head_request, is_head_request, "{params:?}");
            assert_eq!(notes.has_http_content_length, has_http_content_length, "{params:?}");
        }
    }

    #[test]
    fn hashes_tell_names_apart_that_differ_where_they_look() {
        let ones = [0xff; 8];
        let long = |parts: &[&[u8]]| parts.concat();
        for (a, b) in [
            (b"XY".to_vec(), b"ZY".to_vec()),
            (b"XY".to_vec(), b"YX".to_vec()),
            (b"A".to_vec(), b"AA".to_vec()),
            // In the first eight bytes, in the last eight, in the length alone.
            (long(&[b"HTTP_A__", b"_LONGEST"]), long(&[b"HTTP_B__", b"_LONGEST"])),
            (long(&[b"HTTP_A__", b"_LONGEST"]), long(&[b"HTTP_A__", b"_LONGER_"])),
            (long(&[b"HTTP_A__", b"_LONGEST"]), long(&[b"HTTP_A__", b"-", b"_LONGEST"])),
            // Where all bits of one part are set, the others count all the same.
            (long(&[&ones, b"aaaaaaaa"]), long(&[&ones, b"bbbbbbbb"])),
            (long(&[b"aaaaaaaa", &ones]), long(&[b"bbbbbbbb", &ones])),
            (long(&[&ones, &[0; 8]]), long(&[&ones, &[0; 9]])),
            (long(&[&[0; 8], b"aaaaaaaa"]), long(&[&[0; 8], b"bbbbbbbb"])),
            (long(&[b"aaaaaaaa", &[0; 8]]), long(&[b"bbbbbbbb", &[0; 8]])),
        ] {
            assert_ne!(hash(&a), hash(&b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn names_of_a_usual_head_are_told_apart_without_comparing() {
        let names = ["CONTENT_LENGTH", "SCGI", "REQUEST_METHOD", "REQUEST_URI", "HTTP_HOST"];
        let names = || names.iter().map(|name| name.as_bytes());
        assert!(all_distinct(names()));
        assert!(!all_distinct(names().chain([&b"SCGI"[..]])));
        let shared = Hashes::shared(names().chain([&b"SCGI"[..]]));
        assert!(names().all(|name| shared.has(name) == (name == b"SCGI")));
    }
}

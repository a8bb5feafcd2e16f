//! The rules of a header block: from its bytes to params and the length of the body.

use alloc::vec::Vec;

use bytes::Bytes;

use super::scan::nul_places;
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::params::Params;
use crate::policy::Policy;
use crate::request::{LengthError, RequestHead, parse_length};

/// Parses a whole header block, with its comma, that begins at offset `base` of the request.
pub(super) fn parse_block(
    bytes: Bytes,
    base: usize,
    limits: &Limits,
    policy: &Policy,
) -> Result<RequestHead, DecodeError> {
    let block = &bytes[..bytes.len() - 1];
    if block.is_empty() && !policy.empty_block {
        return Err(DecodeError::EmptyHeaderBlock);
    }
    if block.last().is_some_and(|byte| *byte != 0) {
        return Err(DecodeError::MissingFinalNul { offset: base + block.len() - 1 });
    }
    // One allocation: beyond the first eight, heads of real servers have ten bytes for each NUL.
    let max = limits.params.saturating_mul(2);
    let mut places = Vec::with_capacity((block.len() / 10 + 8).min(max));
    nul_places(block, max, &mut places).ok_or(DecodeError::TooManyParams { max: limits.params })?;
    let mut known = Known::default();
    let mut name = 0;
    let mut pairs = places.chunks_exact(2);
    for pair in &mut pairs {
        let (name_end, value_end) = (pair[0] as usize, pair[1] as usize);
        let (name_len, value_len) = (name_end - name, value_end - name_end - 1);
        if name_len == 0 || name_len > limits.name || value_len > limits.value {
            return Err(refuse_lengths(base + name, name_len, value_len, limits));
        }
        // Only these lengths can belong to a name that the protocol knows.
        if matches!(name_len, 4 | 14 | 19) {
            let value = &block[name_end + 1..value_end];
            known.note(&block[name..name_end], value, base + name, name == 0, policy)?;
        }
        name = value_end + 1;
    }
    if !pairs.remainder().is_empty() {
        return Err(DecodeError::MissingValue { offset: base + name });
    }
    let empty = places.is_empty();
    let params = Params::new(bytes, places);
    if !policy.repeated_names {
        refuse_repeated_names(&params, base)?;
    }
    let (content_length, body_length) = known.lengths(policy, empty)?;
    if body_length > limits.body {
        return Err(DecodeError::BodyTooLarge { len: body_length, max: limits.body });
    }
    Ok(RequestHead::new(params, content_length, body_length))
}

/// The error of a param, whose name is at `offset`, that breaks a limit.
#[cold]
fn refuse_lengths(offset: usize, name: usize, value: usize, limits: &Limits) -> DecodeError {
    if name == 0 {
        DecodeError::EmptyName { offset }
    } else if name > limits.name {
        DecodeError::NameTooLong { offset, len: name, max: limits.name }
    } else {
        let offset = offset + name + 1;
        DecodeError::ValueTooLong { offset, len: value, max: limits.value }
    }
}

/// The params that have a meaning for the protocol itself, with the offsets of their names.
#[derive(Default)]
struct Known {
    content_length: Option<u64>,
    scgi: bool,
    http_content_length: Option<HttpLength>,
    /// Whether CONTENT_LENGTH stood there, though perhaps empty.
    seen_content_length: bool,
}

/// HTTP_CONTENT_LENGTH: where it stands, and its value unless it is repeated or no number.
struct HttpLength {
    offset: usize,
    value: Option<u64>,
}

impl Known {
    /// Looks at one param; the name's length tells most of them apart.
    fn note(
        &mut self,
        name: &[u8],
        value: &[u8],
        offset: usize,
        first: bool,
        policy: &Policy,
    ) -> Result<(), DecodeError> {
        match name.len() {
            14 if name == b"CONTENT_LENGTH" => {
                self.note_content_length(value, offset, first, policy)
            }
            4 if name == b"SCGI" => self.note_scgi(value, offset),
            19 if name == b"HTTP_CONTENT_LENGTH" => {
                let repeated = self.http_content_length.is_some();
                let value = parse_length(value).ok().filter(|_| !repeated);
                self.http_content_length = Some(HttpLength { offset, value });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note_content_length(
        &mut self,
        value: &[u8],
        offset: usize,
        first: bool,
        policy: &Policy,
    ) -> Result<(), DecodeError> {
        if self.seen_content_length {
            return Err(DecodeError::DuplicateContentLength { offset });
        }
        if !first && !policy.content_length_optional {
            return Err(DecodeError::ContentLengthNotFirst { offset });
        }
        self.seen_content_length = true;
        if !value.is_empty() {
            self.content_length = Some(parse_length(value).map_err(|error| match error {
                LengthError::NotDigits => DecodeError::InvalidContentLength { offset },
                LengthError::Overflow => DecodeError::ContentLengthOverflow { offset },
            })?);
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

/// Refuses a second param of the same name; the offset is that of the first one repeated.
///
/// A small table of hashes tells most names apart. One whose hash was seen before is only a
/// suspect; one suspect is enough to sort, which compares each byte of a name a few times at
/// most whatever the names are, so no choice of names makes this slow.
fn refuse_repeated_names(params: &Params, base: usize) -> Result<(), DecodeError> {
    if all_distinct(params.iter().map(|(name, _)| name)) {
        return Ok(());
    }
    let mut sorted: Vec<_> = params.iter().map(|(name, _)| name).enumerate().collect();
    sorted.sort_unstable_by(|(a_index, a), (b_index, b)| {
        // Length first, as it is cheap; order of standing last, for a definite result.
        a.len().cmp(&b.len()).then_with(|| a.cmp(b)).then(a_index.cmp(b_index))
    });
    let repeated = sorted.windows(2).filter(|pair| pair[0].1 == pair[1].1);
    match repeated.map(|pair| pair[1].0).min() {
        Some(index) => Err(DecodeError::DuplicateName { offset: base + params.offset(index) }),
        None => Ok(()),
    }
}

/// Whether no two names have the same place in a table of 4096 bits; then they are distinct.
fn all_distinct<'a>(names: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut seen = [0_u64; 64];
    for name in names {
        let hash = hash(name);
        let (word, bit) = ((hash >> 58) as usize, 1 << (hash >> 52 & 63));
        if seen[word] & bit != 0 {
            return false;
        }
        seen[word] |= bit;
    }
    true
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

//! The rules of a header block: from its bytes to params and the length of the body.

use alloc::vec::Vec;

use bytes::Bytes;
use memchr::memchr;

use crate::error::DecodeError;
use crate::limits::Limits;
use crate::params::{Params, Span};
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
    // A typical param takes some 30 bytes; one allocation holds the spans of a typical head.
    let mut spans = Vec::with_capacity((block.len() / 24).min(limits.params));
    let mut known = Known::default();
    let mut at = 0;
    while at < block.len() {
        let span = next_span(block, at, base, limits)?;
        if spans.len() == limits.params {
            return Err(DecodeError::TooManyParams { max: limits.params });
        }
        let value = &block[span.value as usize..span.end as usize];
        known.note(&block[at..span.value as usize - 1], value, base + at, policy)?;
        at = span.end as usize + 1;
        spans.push(span);
    }
    if !policy.repeated_names {
        refuse_repeated_names(block, &spans, base)?;
    }
    let (content_length, body_length) = known.lengths(policy)?;
    if body_length > limits.body {
        return Err(DecodeError::BodyTooLarge { len: body_length, max: limits.body });
    }
    Ok(RequestHead::new(Params::new(bytes, spans), content_length, body_length))
}

/// Finds the name and value that begin at `at`. The block ends with NUL.
fn next_span(block: &[u8], at: usize, base: usize, limits: &Limits) -> Result<Span, DecodeError> {
    let offset = base + at;
    // The final NUL is there, so the first search succeeds.
    let name = memchr(0, &block[at..]).unwrap_or(0);
    if name == 0 {
        return Err(DecodeError::EmptyName { offset });
    }
    if name > limits.name {
        return Err(DecodeError::NameTooLong { offset, len: name, max: limits.name });
    }
    let start = at + name + 1;
    let Some(value) = memchr(0, &block[start..]) else {
        return Err(DecodeError::MissingValue { offset });
    };
    if value > limits.value {
        let offset = base + start;
        return Err(DecodeError::ValueTooLong { offset, len: value, max: limits.value });
    }
    // Blocks are at most u32::MAX bytes long (`Limits::with_header_block`).
    Ok(Span { name: at as u32, value: start as u32, end: (start + value) as u32 })
}

/// The params that have a meaning for the protocol itself, with the offsets of their names.
#[derive(Default)]
struct Known {
    content_length: Option<u64>,
    scgi: bool,
    http_content_length: Option<HttpLength>,
    /// Whether CONTENT_LENGTH stood there, though perhaps empty.
    seen_content_length: bool,
    any: bool,
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
        policy: &Policy,
    ) -> Result<(), DecodeError> {
        let first = !self.any;
        self.any = true;
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
    fn lengths(&self, policy: &Policy) -> Result<(u64, u64), DecodeError> {
        // `0:,` holds neither; a policy that takes it asks no more of it.
        if self.any && self.content_length.is_none() && !policy.content_length_optional {
            return Err(DecodeError::MissingContentLength);
        }
        if self.any && !self.scgi && !policy.scgi_optional {
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
/// Sorting compares each byte of a name a few times at most, whatever the names are: a hash
/// table would need a secret to keep a hostile block from making it slow.
fn refuse_repeated_names(block: &[u8], spans: &[Span], base: usize) -> Result<(), DecodeError> {
    let name = |span: &Span| &block[span.name as usize..span.value as usize - 1];
    let mut sorted: Vec<&Span> = spans.iter().collect();
    sorted.sort_unstable_by(|a, b| {
        // Length and order of standing are cheap to compare and make the result definite.
        let by_len = name(a).len().cmp(&name(b).len());
        by_len.then_with(|| name(a).cmp(name(b))).then(a.name.cmp(&b.name))
    });
    let repeated = sorted.windows(2).filter(|pair| name(pair[0]) == name(pair[1]));
    match repeated.map(|pair| pair[1].name as usize).min() {
        Some(at) => Err(DecodeError::DuplicateName { offset: base + at }),
        None => Ok(()),
    }
}

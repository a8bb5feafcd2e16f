//! Parses the length prefix of a netstring.
//!
//! A netstring is `<length>:<bytes>,` with the length in ASCII digits without a sign or a
//! leading zero (except `0` itself); see <https://cr.yp.to/proto/netstrings.txt>.

use crate::wire::error::{DecodeError, Protocol};

/// The length a netstring states, and where its bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// Bytes between `:` and `,`.
    pub(crate) len: usize,
    /// Offset of the first byte after `:`.
    pub(crate) start: usize,
}

impl Prefix {
    /// Offset of the comma that ends the netstring.
    pub(crate) fn comma(self) -> usize {
        self.start + self.len
    }
}

/// Parses the prefix at the start of `src`, or returns `None` when more bytes are needed.
///
/// Refuses at the first byte that cannot continue a legal length of at most `max`, so nothing
/// is ever buffered for a length that will be refused.
pub(crate) fn parse_prefix(src: &[u8], max: usize) -> Result<Option<Prefix>, DecodeError> {
    let mut len = 0_usize;
    for (offset, &byte) in src.iter().enumerate() {
        match byte {
            b'0'..=b'9' if offset == 1 && src[0] == b'0' => {
                return Err(DecodeError::LeadingZero);
            }
            b'0'..=b'9' => {
                let digit = usize::from(byte - b'0');
                len = len.saturating_mul(10).saturating_add(digit);
                if len > max {
                    return Err(DecodeError::HeaderBlockTooLarge { len, max });
                }
            }
            b':' if offset > 0 => return Ok(Some(Prefix { len, start: offset + 1 })),
            _ if offset == 0 => return Err(refuse_first_byte(byte)),
            _ => return Err(DecodeError::InvalidLength { offset, byte }),
        }
    }
    Ok(None)
}

/// Says what a stream that does not begin with a digit most likely is.
///
/// One byte must be enough: the answer must not depend on how many bytes arrived together.
/// HTTP methods begin with a capital letter, a TLS record of a handshake with 0x16, and a
/// FastCGI record with its version, 1. None of them can begin a netstring.
fn refuse_first_byte(byte: u8) -> DecodeError {
    match byte {
        b'A'..=b'Z' => DecodeError::NotScgi { protocol: Protocol::Http },
        0x16 => DecodeError::NotScgi { protocol: Protocol::Tls },
        0x01 => DecodeError::NotScgi { protocol: Protocol::FastCgi },
        _ => DecodeError::InvalidLength { offset: 0, byte },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(src: &[u8]) -> Result<Option<Prefix>, DecodeError> {
        parse_prefix(src, 1000)
    }

    #[test]
    fn accepts_plain_lengths() {
        assert_eq!(parse(b"0:"), Ok(Some(Prefix { len: 0, start: 2 })));
        assert_eq!(parse(b"70:x"), Ok(Some(Prefix { len: 70, start: 3 })));
        assert_eq!(parse(b"1000:"), Ok(Some(Prefix { len: 1000, start: 5 })));
    }

    #[test]
    fn asks_for_more_while_the_length_may_go_on() {
        for src in [&b""[..], b"0", b"7", b"70", b"1000"] {
            assert_eq!(parse(src), Ok(None), "{src:?}");
        }
    }

    #[test]
    fn refuses_at_the_first_impossible_byte() {
        assert_eq!(parse(b"00"), Err(DecodeError::LeadingZero));
        assert_eq!(parse(b"01:"), Err(DecodeError::LeadingZero));
        assert_eq!(parse(b"1001"), Err(DecodeError::HeaderBlockTooLarge { len: 1001, max: 1000 }));
        assert_eq!(parse(b"7 "), Err(DecodeError::InvalidLength { offset: 1, byte: b' ' }));
        assert_eq!(parse(b":"), Err(DecodeError::InvalidLength { offset: 0, byte: b':' }));
        assert_eq!(parse(b"-1:"), Err(DecodeError::InvalidLength { offset: 0, byte: b'-' }));
        assert_eq!(parse(b"+1:"), Err(DecodeError::InvalidLength { offset: 0, byte: b'+' }));
    }

    #[test]
    fn a_length_beyond_usize_saturates_instead_of_wrapping() {
        let src = b"99999999999999999999999999";
        let max = usize::MAX - 1;
        assert_eq!(
            parse_prefix(src, max),
            Err(DecodeError::HeaderBlockTooLarge { len: usize::MAX, max })
        );
    }

    #[test]
    fn recognises_other_protocols() {
        let of = |src: &[u8]| match parse(src) {
            Err(DecodeError::NotScgi { protocol }) => Some(protocol),
            _ => None,
        };
        assert_eq!(of(b"GET / HTTP/1.1\r\n"), Some(Protocol::Http));
        assert_eq!(of(b"\x16\x03\x01"), Some(Protocol::Tls));
        assert_eq!(of(b"\x01\x01\x00\x01"), Some(Protocol::FastCgi));
        assert_eq!(of(b"get /"), None);
    }
}

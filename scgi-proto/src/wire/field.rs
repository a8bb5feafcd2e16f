//! The syntax of a response's field lines (RFC 9110 section 5).

use memchr::memchr;

/// Whether `name` is a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| IS_TCHAR[usize::from(*byte)])
}

/// A table, as each byte of each name is looked up.
const IS_TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

/// Whether `value` can stand on a field line (RFC 9110 section 5.5): no control byte but a tab.
pub(crate) fn is_value(value: &[u8]) -> bool {
    // Eight bytes a step, as nearly all values are printable.
    let mut words = value.chunks_exact(8);
    let is_legal = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
    words.by_ref().all(|word| {
        let has_control = word.first_chunk().is_none_or(|word| may_have_control(*word));
        !has_control || word.iter().all(is_legal)
    }) && words.remainder().iter().all(is_legal)
}

/// False only if none of eight bytes is a control byte.
fn may_have_control(word: [u8; 8]) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    let word = u64::from_ne_bytes(word);
    // A byte that is less than the one taken off borrows from its highest bit. One above it may
    // seem to do so too, which is checked closely.
    let below = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word;
    let delete = word ^ (ONES * 0x7f);
    (below(word, 0x20) | below(delete, 1)) & (ONES * 0x80) != 0
}

/// The line that ends with the line feed at `end`, and what follows.
pub(crate) fn split_line(bytes: &[u8], end: usize) -> (&[u8], &[u8]) {
    let line = &bytes[..end];
    (line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..])
}

/// Name and value of a field line; `None` if it has no colon.
pub(crate) fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    Some((&line[..colon], trim(&line[colon + 1..])))
}

/// Whether it is the field that a CGI response states its status in (RFC 3875 section 6.3.3).
pub(crate) fn is_status(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"Status")
}

/// Without the blanks and tabs around it.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether only the front server may send this field: hop-by-hop (RFC 9110 section 7.6.1) or
/// the framing, which nginx passes on twice when a backend sends it.
pub(crate) fn is_hop_by_hop(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 8] = [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Upgrade",
        b"Proxy-Authenticate",
    ];
    NAMES.iter().any(|hop| hop.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_value_in_every_place() {
        for byte in 0..=u8::MAX {
            let is_legal = byte == b'\t' || !(byte < b' ' || byte == 0x7f);
            for beside in [b'a', b'\t', 0x80, 0xff] {
                for len in 1..20 {
                    for at in 0..len {
                        let mut value = [beside; 20];
                        value[at] = byte;
                        assert_eq!(is_value(&value[..len]), is_legal, "{byte} at {at} of {len}");
                    }
                }
            }
        }
        assert!(is_value(b""));
    }

    #[test]
    fn every_byte_of_a_token() {
        for byte in 0..=u8::MAX {
            let is_tchar = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token(&[b'A', byte, b'z']), is_tchar, "{byte}");
        }
        assert!(!is_token(b""));
    }
}

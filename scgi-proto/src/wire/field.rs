//! The syntax of a response's field lines (RFC 9110 section 5).

use memchr::memchr;

/// Whether `name` is a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(name: &[u8]) -> bool {
    let is_tchar = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
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
            )
    };
    !name.is_empty() && name.iter().all(is_tchar)
}

/// Whether `value` can stand on a field line (RFC 9110 section 5.5): no control byte but a tab.
pub(crate) fn is_value(value: &[u8]) -> bool {
    // Printable ASCII, as most bytes are, takes one comparison.
    let is_other = |byte: u8| byte.wrapping_sub(b' ') > b'~' - b' ';
    !value.iter().any(|&byte| is_other(byte) && byte.is_ascii() && byte != b'\t')
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

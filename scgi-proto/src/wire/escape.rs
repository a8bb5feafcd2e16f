//! How bytes from the wire are shown to people: escaped, and without secrets.

use core::fmt;

/// Bytes as text in which nothing can forge a log line or steer a terminal.
///
/// Printable ASCII stays; a backslash and every other byte is shown as `\xNN` or its usual
/// short form.
///
/// # Examples
/// ```
/// assert_eq!(scgi_proto::Escaped(b"a\n\x1b[2J").to_string(), r"a\n\x1b[2J");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            match byte {
                b'\'' | b'"' => write!(f, "{}", char::from(byte))?,
                _ => write!(f, "{}", byte.escape_ascii())?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Whether the value of this param or field must not be shown: cookies and credentials.
pub(crate) fn is_secret(name: &[u8]) -> bool {
    const SECRET: [&[u8]; 7] = [
        b"HTTP_COOKIE",
        b"HTTP_AUTHORIZATION",
        b"HTTP_PROXY_AUTHORIZATION",
        b"AUTHORIZATION",
        b"COOKIE",
        b"SET-COOKIE",
        b"PROXY-AUTHORIZATION",
    ];
    SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn quotes_stay_in_text_and_are_escaped_within_quotes() {
        let escaped = Escaped(b"it's \"a\\\n\x80\"");
        assert_eq!(format!("{escaped}"), r#"it's "a\\\n\x80""#);
        assert_eq!(format!("{escaped:?}"), r#""it\'s \"a\\\n\x80\"""#);
    }
}

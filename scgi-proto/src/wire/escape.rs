//! Formats bytes from the wire for people: escaped, and without secrets.

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

/// Escaped bytes, at most `max` of them, counted before they are escaped: a log line
/// is not as long as a peer likes.
#[cfg(feature = "tracing")]
pub(crate) struct Bounded<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) max: usize,
}

#[cfg(feature = "tracing")]
impl fmt::Display for Bounded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes.split_at_checked(self.max) {
            Some((start, rest)) if !rest.is_empty() => {
                write!(f, "{}... ({} bytes more)", Escaped(start), rest.len())
            }
            _ => Escaped(self.bytes).fmt(f),
        }
    }
}

/// Whether the value of this param or field must not be shown: cookies, credentials and the usual
/// API keys.
///
/// One list for [`Debug`](fmt::Debug), the log, [`http`](crate::http) (such a `HeaderValue` is
/// marked as sensitive) and tools. Names are compared without regard to case; `HTTP_` and the
/// `REDIRECT_` that Apache puts in front after an internal redirect do not matter.
///
/// # Examples
/// ```
/// use scgi_proto::is_secret;
/// assert!(is_secret(b"HTTP_COOKIE") && is_secret(b"Set-Cookie") && is_secret(b"x-api-key"));
/// assert!(is_secret(b"REDIRECT_HTTP_AUTHORIZATION"));
/// assert!(!is_secret(b"HTTP_HOST"));
/// ```
#[must_use]
pub fn is_secret(name: &[u8]) -> bool {
    const SECRET: [&[u8]; 21] = [
        b"AUTHORIZATION",
        b"PROXY_AUTHORIZATION",
        b"COOKIE",
        b"COOKIE2",
        b"SET_COOKIE",
        b"SET_COOKIE2",
        b"API_KEY",
        b"APIKEY",
        b"X_API_KEY",
        b"X_API_TOKEN",
        b"X_AUTH_KEY",
        b"X_AUTH_TOKEN",
        b"X_ACCESS_TOKEN",
        b"X_CSRF_TOKEN",
        b"X_XSRF_TOKEN",
        b"X_AMZ_SECURITY_TOKEN",
        b"X_GOOG_API_KEY",
        b"X_VAULT_TOKEN",
        b"X_GITLAB_TOKEN",
        b"PRIVATE_TOKEN",
        b"OCP_APIM_SUBSCRIPTION_KEY",
    ];
    let mut name = name;
    while let Some(rest) = strip_prefix(name, b"REDIRECT_") {
        name = rest;
    }
    let name = strip_prefix(name, b"HTTP_").unwrap_or(name);
    // No secret has another length, so most names need no comparison.
    SECRET.iter().any(|secret| secret.len() == name.len() && is_same_name(name, secret))
}

fn strip_prefix<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    is_same_name(start, prefix).then_some(rest)
}

/// Whether a name is this one, in any case and with `-` for `_`.
fn is_same_name(name: &[u8], upper: &[u8]) -> bool {
    name.len() == upper.len()
        && name.iter().zip(upper).all(|(byte, upper)| {
            byte.to_ascii_uppercase() == *upper || (*byte == b'-' && *upper == b'_')
        })
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            "HTTP_COOKIE",
            "COOKIE",
            "cookie",
            "Set-Cookie",
            "HTTP_AUTHORIZATION",
            "authorization",
            "HTTP_PROXY_AUTHORIZATION",
            "Proxy-Authorization",
            "REDIRECT_HTTP_AUTHORIZATION",
            "REDIRECT_REDIRECT_HTTP_COOKIE",
            "HTTP_X_API_KEY",
            "X-Api-Key",
            "x-auth-token",
            "HTTP_API_KEY",
            "HTTP_X_CSRF_TOKEN",
            "HTTP_X_AMZ_SECURITY_TOKEN",
            "private-token",
        ] {
            assert!(is_secret(name.as_bytes()), "{name}");
        }
        for name in [
            "HTTP_HOST",
            "HTTP_ACCEPT",
            "REQUEST_URI",
            "HTTP_",
            "REDIRECT_",
            "REDIRECT_STATUS",
            "",
            "HTTP_COOKIES",
            "COOKI",
            "AUTH_TYPE",
            "HTTP_X_API",
            "WWW-Authenticate",
            "HTTP_HTTP_",
        ] {
            assert!(!is_secret(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn quotes_stay_in_text_and_are_escaped_within_quotes() {
        let escaped = Escaped(b"it's \"a\\\n\x80\"");
        assert_eq!(format!("{escaped}"), r#"it's "a\\\n\x80""#);
        assert_eq!(format!("{escaped:?}"), r#""it\'s \"a\\\n\x80\"""#);
    }
}

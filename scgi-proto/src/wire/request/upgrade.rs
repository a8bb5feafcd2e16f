//! Whether a request asks for an upgrade that may be granted: a WebSocket, for example.
//!
//! A front server passes a 101 on whether or not its client asked for one. If it did not, the client
//! takes the bytes of the tunnel for the next response. So this rule decides about security.

use core::fmt;

use super::params::Params;
use super::policy::Upgrades;
use crate::wire::escape::Escaped;
use crate::wire::field::trim;
use crate::wire::number::parse_length;

/// The first lighttpd that carries an upgrade.
const LIGHTTPD: (u32, u32, u32) = (1, 4, 74);

/// The protocols that a client offers instead of HTTP; from
/// [`RequestHead::upgrade`](crate::RequestHead::upgrade).
///
/// # Examples
/// ```
/// use scgi_proto::RequestHead;
/// let head = RequestHead::builder("GET", "/chat")
///     .param("HTTP_CONNECTION", "keep-alive, Upgrade")
///     .param("HTTP_UPGRADE", "websocket")
///     .build();
/// let offer = head.upgrade().expect("it is valid");
/// assert!(offer.offers("WebSocket"));
/// assert!(offer.protocols().eq([b"websocket"]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UpgradeOffer<'a> {
    list: &'a [u8],
}

impl<'a> UpgradeOffer<'a> {
    /// The protocols as the client wrote them, the preferred one first.
    pub fn protocols(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        tokens(self.list)
    }

    /// Whether `protocol` is among them, in any case.
    #[must_use]
    pub fn offers(&self, protocol: &str) -> bool {
        self.protocols().any(|offered| offered.eq_ignore_ascii_case(protocol.as_bytes()))
    }
}

impl fmt::Debug for UpgradeOffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UpgradeOffer").field(&Escaped(self.list)).finish()
    }
}

/// Why a request with an Upgrade header cannot be upgraded; from
/// [`RequestHead::upgrade_refusal`](crate::RequestHead::upgrade_refusal).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeRefusal {
    /// The server is set to refuse all of them: [`Upgrades::Never`](crate::Upgrades::Never).
    Never,
    /// SERVER_PROTOCOL is not HTTP/1.1.
    HttpVersion,
    /// HTTP_CONNECTION does not name `upgrade`.
    NoConnection,
    /// The request has a body, or may have one.
    HasBody,
    /// Apache passes a 101 on and nothing after it. What it answers the client is then out of step.
    Apache,
    /// lighttpd carries upgrades since 1.4.74.
    OldLighttpd,
}

impl fmt::Display for UpgradeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "upgrades are switched off",
            Self::HttpVersion => "SERVER_PROTOCOL is not HTTP/1.1",
            Self::NoConnection => "HTTP_CONNECTION does not name upgrade",
            Self::HasBody => "the request has a body",
            Self::Apache => "Apache does not carry upgrades over SCGI",
            Self::OldLighttpd => "this lighttpd does not carry upgrades: it takes 1.4.74 or later",
        })
    }
}

/// The offer of a request; `None` if it has none.
pub(super) fn offer(
    params: &Params,
    has_body: bool,
    rule: Upgrades,
) -> Option<Result<UpgradeOffer<'_>, UpgradeRefusal>> {
    let list = params.get("HTTP_UPGRADE").filter(|list| tokens(list).next().is_some())?;
    Some(match refusal(params, has_body, rule) {
        Some(refusal) => Err(refusal),
        None => Ok(UpgradeOffer { list }),
    })
}

fn refusal(params: &Params, has_body: bool, rule: Upgrades) -> Option<UpgradeRefusal> {
    if rule == Upgrades::Never {
        return Some(UpgradeRefusal::Never);
    }
    if params.get("SERVER_PROTOCOL") != Some(b"HTTP/1.1") {
        return Some(UpgradeRefusal::HttpVersion);
    }
    let is_upgrade = |token: &[u8]| token.eq_ignore_ascii_case(b"upgrade");
    if !params.get_all("HTTP_CONNECTION").flat_map(tokens).any(is_upgrade) {
        return Some(UpgradeRefusal::NoConnection);
    }
    let mut lengths = params.get_all("HTTP_CONTENT_LENGTH");
    if has_body
        || lengths.any(|value| parse_length(value) != Ok(0))
        || params.get("HTTP_TRANSFER_ENCODING").is_some()
    {
        return Some(UpgradeRefusal::HasBody);
    }
    if rule == Upgrades::Always { None } else { front_refusal(params) }
}

/// Whether the params show a front server that cannot carry an upgrade. A browser cannot set these.
fn front_refusal(params: &Params) -> Option<UpgradeRefusal> {
    // mod_proxy_scgi sends this one also where its name is hidden.
    if params.get_all("SCRIPT_FILENAME").any(|file| file.starts_with(b"proxy:")) {
        return Some(UpgradeRefusal::Apache);
    }
    params.get_all("SERVER_SOFTWARE").find_map(|software| {
        if contains(software, b"apache") {
            return Some(UpgradeRefusal::Apache);
        }
        let version = strip_prefix(software, b"lighttpd/").and_then(parse_version)?;
        (version < LIGHTTPD).then_some(UpgradeRefusal::OldLighttpd)
    })
}

/// Whether `text` contains `word`, which is in lower case, in any case.
fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// What follows `prefix`, which is in lower case, in any case.
fn strip_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Parses `1.4.74`, whatever follows. A number too large is as good as the largest.
fn parse_version(text: &[u8]) -> Option<(u32, u32, u32)> {
    let end = text.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.'));
    let mut numbers = text[..end.unwrap_or(text.len())].split(|byte| *byte == b'.').map(|number| {
        let number = parse_length(number).ok()?;
        Some(u32::try_from(number).unwrap_or(u32::MAX))
    });
    let mut next = || numbers.next().flatten();
    Some((next()?, next()?, next().unwrap_or(0)))
}

/// The parts of a list that is separated by commas (RFC 9110 section 5.6.1).
fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;
    use crate::wire::request::{RequestHead, RequestHeadBuilder};

    fn valid() -> RequestHeadBuilder {
        RequestHead::builder("GET", "/")
            .param("HTTP_CONNECTION", "keep-alive, Upgrade")
            .param("HTTP_UPGRADE", "websocket")
    }

    #[test]
    fn what_makes_an_upgrade_valid() {
        use UpgradeRefusal as No;
        type Params = &'static [(&'static str, &'static str)];
        let rows: &[(Params, Option<UpgradeRefusal>)] = &[
            (&[], None),
            (&[("HTTP_CONNECTION", "upgrade")], None),
            (&[("HTTP_CONNECTION", " ,UPGRADE\t, x")], None),
            (&[("HTTP_CONNECTION", "keep-alive")], Some(No::NoConnection)),
            (&[("HTTP_CONNECTION", "upgrades")], Some(No::NoConnection)),
            (&[("HTTP_CONNECTION", "")], Some(No::NoConnection)),
            (&[("SERVER_PROTOCOL", "HTTP/1.0")], Some(No::HttpVersion)),
            (&[("SERVER_PROTOCOL", "HTTP/2.0")], Some(No::HttpVersion)),
            (&[("SERVER_PROTOCOL", "HTTP/1.10")], Some(No::HttpVersion)),
            (&[("SERVER_PROTOCOL", "")], Some(No::HttpVersion)),
            (&[("HTTP_CONTENT_LENGTH", "0")], None),
            (&[("HTTP_CONTENT_LENGTH", "5")], Some(No::HasBody)),
            (&[("HTTP_CONTENT_LENGTH", "")], Some(No::HasBody)),
            (&[("HTTP_TRANSFER_ENCODING", "chunked")], Some(No::HasBody)),
            (&[("SERVER_SOFTWARE", "nginx/1.22.1")], None),
            (&[("SERVER_SOFTWARE", "Apache/2.4.62 (Debian)")], Some(No::Apache)),
            (&[("SERVER_SOFTWARE", "a front of APACHE")], Some(No::Apache)),
            (&[("SCRIPT_FILENAME", "proxy:scgi://127.0.0.1:4000/")], Some(No::Apache)),
            (&[("SCRIPT_FILENAME", "/srv/proxy:")], None),
            (&[("SERVER_SOFTWARE", "lighttpd/1.4.69")], Some(No::OldLighttpd)),
            (&[("SERVER_SOFTWARE", "lighttpd/1.4.73-devel")], Some(No::OldLighttpd)),
            (&[("SERVER_SOFTWARE", "Lighttpd/1.3")], Some(No::OldLighttpd)),
            (&[("SERVER_SOFTWARE", "lighttpd/1.4.74")], None),
            (&[("SERVER_SOFTWARE", "lighttpd/1.4.79")], None),
            (&[("SERVER_SOFTWARE", "lighttpd/1.5")], None),
            (&[("SERVER_SOFTWARE", "lighttpd/2.0.0")], None),
            (&[("SERVER_SOFTWARE", "lighttpd/99999999999999999999.1")], None),
            (&[("SERVER_SOFTWARE", "lighttpd")], None),
        ];
        for (params, expected) in rows {
            let head = params.iter().fold(valid(), |head, (name, value)| head.param(name, value));
            let head = head.build();
            assert_eq!(head.upgrade_refusal(), *expected, "{params:?}");
            assert_eq!(head.upgrade().is_some(), expected.is_none(), "{params:?}");
            let never = head.clone().with_upgrades(Upgrades::Never);
            assert_eq!(never.upgrade_refusal(), Some(No::Never), "{params:?}");
            let always = head.with_upgrades(Upgrades::Always).upgrade_refusal();
            let expected = expected.filter(|no| !matches!(no, No::Apache | No::OldLighttpd));
            assert_eq!(always, expected, "{params:?}");
        }
    }

    #[test]
    fn a_request_with_a_body_or_without_an_offer() {
        assert_eq!(
            valid().content_length(1).build().upgrade_refusal(),
            Some(UpgradeRefusal::HasBody)
        );
        for list in ["", " ", ",", " , "] {
            let head = valid().param("HTTP_UPGRADE", list).build();
            assert_eq!((head.upgrade(), head.upgrade_refusal()), (None, None), "{list:?}");
        }
        let head = RequestHead::builder("GET", "/").param("HTTP_CONNECTION", "upgrade").build();
        assert_eq!((head.upgrade(), head.upgrade_refusal()), (None, None));
        assert!(UpgradeRefusal::Apache.to_string().contains("Apache"));
    }

    #[test]
    fn the_protocols_that_are_offered() {
        let head = valid().param("HTTP_UPGRADE", "h2c, ,websocket/13").build();
        let offer = head.upgrade().expect("it is valid");
        assert!(offer.protocols().eq([&b"h2c"[..], b"websocket/13"]));
        assert!(offer.offers("H2C") && !offer.offers("websocket"));
        assert_eq!(format!("{offer:?}"), "UpgradeOffer(\"h2c, ,websocket/13\")");
    }
}

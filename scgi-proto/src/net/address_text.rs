//! Parses addresses.

use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;
use std::string::{String, ToString};

use crate::net::address::Address;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some((scheme, rest)) = split_scheme(text) {
            return from_url(scheme, rest);
        }
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("systemd", name)) if !name.is_empty() => Ok(Self::Systemd(name.into())),
            Some(("fd", number)) => from_number(number),
            Some(("tcp", address)) => from_host_and_port(address),
            Some(("unix" | "systemd", _)) => Err(AddressError::FORM),
            _ if text.contains('/') => Ok(Self::Unix(text.into())),
            _ => from_host_and_port(text),
        }
    }
}

/// The scheme of a URL and what follows its `://`.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    is_scheme.then_some((scheme, rest))
}

fn from_url(scheme: &str, rest: &str) -> Result<Address, AddressError> {
    let is = |known| scheme.eq_ignore_ascii_case(known);
    let is_path = rest.starts_with('/') || rest.starts_with('@');
    if is("unix") || (is("scgi") && is_path) {
        // Otherwise one slash was forgotten, and the first part of the path would be lost.
        return if is_path { Ok(Address::Unix(rest.into())) } else { Err(AddressError::SLASHES) };
    }
    if is("tcp") || is("scgi") {
        return from_host_and_port(&zone_of_url(rest.strip_suffix('/').unwrap_or(rest)));
    }
    Err(AddressError::SCHEME)
}

/// In a URL, the percent sign of a zone is written `%25` (RFC 6874).
fn zone_of_url(address: &str) -> String {
    if address.starts_with('[') { address.replacen("%25", "%", 1) } else { address.to_string() }
}

fn from_number(text: &str) -> Result<Address, AddressError> {
    // `parse` alone would take a sign.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddressError::FORM);
    }
    text.parse().map(Address::Fd).map_err(|_| AddressError::FORM)
}

fn from_host_and_port(text: &str) -> Result<Address, AddressError> {
    let (host, port) = text.rsplit_once(':').ok_or(AddressError::FORM)?;
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']').is_some_and(is_ipv6),
        None => !host.is_empty() && !host.contains(['/', '[', ']']),
    };
    if is_port && is_host { Ok(Address::Tcp(text.to_string())) } else { Err(AddressError::FORM) }
}

/// Whether it is an IPv6 address, perhaps with a zone.
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').map_or((text, None), |(ip, zone)| (ip, Some(zone)));
    address.parse::<Ipv6Addr>().is_ok() && zone != Some("")
}

/// The text is not an [`Address`]; its `Display` lists the forms of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressError(Reason);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Form,
    Scheme,
    Slashes,
}

impl AddressError {
    const FORM: Self = Self(Reason::Form);
    const SCHEME: Self = Self(Reason::Scheme);
    const SLASHES: Self = Self(Reason::Slashes);
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Reason::Form => {
                "an address is host:port, a path with a slash, unix:path, fd:0, systemd:name, or a \
                 URL: scgi://host:port, scgi:///path, tcp://host:port, unix:///path"
            }
            Reason::Scheme => {
                "the scheme of the address is not known; known are scgi://host:port, \
                 scgi:///path, tcp://host:port and unix:///path"
            }
            Reason::Slashes => {
                "a path in a URL begins with a third slash, as in unix:///run/app.sock"
            }
        })
    }
}

impl core::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Result<Address, AddressError> {
        Ok(Address::Tcp(text.into()))
    }

    fn unix(text: &str) -> Result<Address, AddressError> {
        Ok(Address::Unix(text.into()))
    }

    #[test]
    fn plain_forms() {
        for (text, expected) in [
            ("127.0.0.1:4000", tcp("127.0.0.1:4000")),
            ("tcp:127.0.0.1:4000", tcp("127.0.0.1:4000")),
            ("tcp:[::1]:4000", tcp("[::1]:4000")),
            ("[::1]:0", tcp("[::1]:0")),
            ("::1:4000", tcp("::1:4000")),
            ("[fe80::1%eth0]:4000", tcp("[fe80::1%eth0]:4000")),
            ("tcp:[fe80::1%2]:4000", tcp("[fe80::1%2]:4000")),
            ("tcp:fd:0", tcp("fd:0")),
            ("./a.sock", unix("./a.sock")),
            ("/run/a:1", unix("/run/a:1")),
            ("unix:a.sock", unix("a.sock")),
            ("unix:/a/b", unix("/a/b")),
            ("unix:@name", unix("@name")),
            ("unix:a://b", unix("a://b")),
            ("./a://b", unix("./a://b")),
            ("fd:0", Ok(Address::Fd(0))),
            ("fd:12", Ok(Address::Fd(12))),
            ("systemd:web", Ok(Address::Systemd("web".into()))),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in [
            "",
            ":",
            "unix:",
            "systemd:",
            "fd:",
            "fd:x",
            "fd:+1",
            "fd:-1",
            "fd:4294967296",
            "localhost",
            "a.sock",
            ":4000",
            "localhost:70000",
            "localhost:+80",
            "tcp:",
            "tcp:/run/a.sock",
            "tcp:/run/a:80",
            "[::1]",
            "[]:80",
            "[host]:80",
            "[::1:80",
            "::1]:80",
            "[fe80::1%]:80",
            "[127.0.0.1]:80",
        ] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::FORM), "{text}");
        }
    }

    #[test]
    fn urls() {
        for (text, expected) in [
            ("scgi://localhost:5000", tcp("localhost:5000")),
            ("scgi://localhost:5000/", tcp("localhost:5000")),
            ("SCGI://[::1]:5000", tcp("[::1]:5000")),
            ("scgi://[fe80::1%25eth0]:5000", tcp("[fe80::1%eth0]:5000")),
            ("scgi://[fe80::1%eth0]:5000", tcp("[fe80::1%eth0]:5000")),
            ("tcp://127.0.0.1:5000", tcp("127.0.0.1:5000")),
            ("scgi:///run/rtorrent.sock", unix("/run/rtorrent.sock")),
            ("unix:///run/app.sock", unix("/run/app.sock")),
            ("unix:////run/app.sock", unix("//run/app.sock")),
            ("unix://@name", unix("@name")),
            ("unix://run/app.sock", Err(AddressError::SLASHES)),
            ("unix://", Err(AddressError::SLASHES)),
            ("scgi://", Err(AddressError::FORM)),
            ("scgi://localhost", Err(AddressError::FORM)),
            ("scgi://localhost:5000/RPC2", Err(AddressError::FORM)),
            ("tcp:///run/app.sock", Err(AddressError::FORM)),
            ("http://localhost:80", Err(AddressError::SCHEME)),
            ("scgi+ssh://host:80", Err(AddressError::SCHEME)),
            ("fastcgi:///run/app.sock", Err(AddressError::SCHEME)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        let error = AddressError::SCHEME.to_string();
        assert!(
            ["scgi://", "tcp://", "unix://"].iter().all(|known| error.contains(known)),
            "{error}"
        );
    }

    #[test]
    fn what_is_printed_is_parsed_to_the_same() {
        let paths = ["/run/a.sock", "a", "//a", "///a", "x://y", "@name", "unix:a", "a b:1", "/"];
        let hosts =
            ["localhost:1", "[::1]:2", "[fe80::1%eth0]:3", "unix:4", "fd:5", "tcp:6", "systemd:7"];
        let addresses = paths.map(|path| Address::Unix(path.into())).into_iter();
        let addresses = addresses.chain(hosts.map(|host| Address::Tcp(host.into())));
        for address in addresses.chain([Address::Fd(7), Address::Systemd("a:b/c".into())]) {
            assert_eq!(address.to_string().parse(), Ok(address.clone()), "{address}");
        }
    }
}

//! The rule for Host: a web page whose name was made to resolve to this machine (DNS rebinding)
//! must not reach a gateway on loopback.

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::HeaderMap;
use hyper::Uri;
use hyper::header::HOST;
use hyper::http::uri::Authority;

/// A name of `--host`, or `*` for any.
pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let name = normal(text);
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    };
    if name == "*" || is_name(&name) || is_address(&name) {
        return Ok(name);
    }
    Err("a host is a name without a port, as in app.example.org, or * for any".into())
}

/// Which names the gateway answers to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    /// The name in the listen address.
    own: Option<String>,
    given: Vec<String>,
}

impl Hosts {
    /// `listen` is the host of the listen address; `given` are the names of `--host`.
    pub(crate) fn new(listen: Option<&str>, given: &[String]) -> Self {
        Self { own: listen.map(normal).filter(|name| !is_address(name)), given: given.to_vec() }
    }

    /// Whether Host is checked on connections that are not to a loopback address.
    pub(crate) fn are_given(&self) -> bool {
        !self.given.is_empty()
    }

    /// Whether a request for this host is answered; `is_loopback` says whether the connection is
    /// to a loopback address. A request without Host does not come from a browser.
    pub(crate) fn accept(&self, host: Option<&str>, is_loopback: bool) -> bool {
        let Some(host) = host else { return true };
        if !is_loopback && !self.are_given() {
            return true;
        }
        let (name, _) = split_port(host);
        let name = normal(name);
        let is_given = self.given.iter().any(|given| given == "*" || *given == name);
        let is_ours = is_address(&name)
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.own.as_deref() == Some(&name);
        is_given || is_ours
    }
}

/// Which host a request is for. The authority of the URI counts before Host (RFC 9112 section
/// 3.2.2). `Err` if Host is not a host.
pub(crate) fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Option<&'a str>, ()> {
    let header = headers.get(HOST).map(|value| value.to_str().map_err(drop)).transpose()?;
    if let Some(text) = header.filter(|text| !text.is_empty()) {
        let authority: Authority = text.parse().map_err(drop)?;
        if authority.as_str().contains('@') {
            return Err(());
        }
    }
    let authority = uri.authority().map(Authority::as_str);
    let authority = authority.map(|text| text.rsplit_once('@').map_or(text, |(_, host)| host));
    Ok(authority.or(header))
}

/// Host and port; the port is what follows the last colon outside brackets.
pub(crate) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, Some(port).filter(|port| !port.is_empty()))
        }
        _ => (host, None),
    }
}

/// In lower case and without the dot of the root.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_address(name: &str) -> bool {
    let v6 = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match v6 {
        Some(text) => text.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_on_loopback_and_elsewhere() {
        let none = Hosts::new(Some("127.0.0.1"), &[]);
        let own = Hosts::new(Some("App.lan"), &[]);
        let given = Hosts::new(None, &["app.example.org".into()]);
        let any = Hosts::new(None, &["*".into()]);
        for (hosts, host, on_loopback, elsewhere) in [
            (&none, Some("127.0.0.1:8080"), true, true),
            (&none, Some("192.0.2.1"), true, true),
            (&none, Some("[::1]:80"), true, true),
            (&none, Some("localhost"), true, true),
            (&none, Some("LOCALHOST.:80"), true, true),
            (&none, Some("app.localhost:1"), true, true),
            (&none, None, true, true),
            (&none, Some("evil.example"), false, true),
            (&none, Some("evil.example:8080"), false, true),
            (&none, Some("localhost.evil.example"), false, true),
            (&none, Some("evillocalhost"), false, true),
            (&none, Some("127.0.0.1.evil.example"), false, true),
            (&none, Some("127.1"), false, true),
            (&none, Some("2130706433"), false, true),
            (&none, Some(""), false, true),
            (&own, Some("app.LAN:8080"), true, true),
            (&own, Some("lan"), false, true),
            (&given, Some("App.example.org:443"), true, true),
            (&given, Some("192.0.2.1"), true, true),
            (&given, Some("evil.example"), false, false),
            (&any, Some("evil.example"), true, true),
        ] {
            assert_eq!(hosts.accept(host, true), on_loopback, "{host:?}, {hosts:?}");
            assert_eq!(hosts.accept(host, false), elsewhere, "{host:?}, {hosts:?}");
        }
    }

    #[test]
    fn the_host_of_a_request() {
        for (uri, host, expected) in [
            ("/", Some("a:80"), Ok(Some("a:80"))),
            ("/", None, Ok(None)),
            ("/", Some(""), Ok(Some(""))),
            ("http://evil.example/", Some("localhost"), Ok(Some("evil.example"))),
            ("http://u@a:1/", None, Ok(Some("a:1"))),
            ("/", Some("a b"), Err(())),
            ("/", Some("a/b"), Err(())),
            ("/", Some("u@a"), Err(())),
            ("/", Some("a,b"), Ok(Some("a,b"))),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(HOST, host.parse().expect("a value"));
            }
            let uri = uri.parse().expect("a URI");
            assert_eq!(host_of(&uri, &headers), expected, "{uri} {host:?}");
        }
    }

    #[test]
    fn names_on_the_command_line() {
        for (text, expected) in [
            ("App.example.org", Some("app.example.org")),
            ("a.", Some("a")),
            ("*", Some("*")),
            ("[::1]", Some("[::1]")),
            ("a:80", None),
            ("http://a", None),
            ("", None),
            ("*.example.org", None),
        ] {
            assert_eq!(host_name(text).ok().as_deref(), expected, "{text}");
        }
    }
}

//! The rule for requests that a page of another site makes: a plain form needs no permission to
//! POST here. As Go's `CrossOriginProtection`.

use hyper::header::{HeaderMap, ORIGIN, UPGRADE};
use hyper::{Method, Uri};

use super::host::split_port;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// An origin of `--allow-origin`.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    if Origin::parse(&text).is_none() {
        return Err("an origin is a scheme and a host, as in https://app.example.org".into());
    }
    Ok(text)
}

/// Why a request is taken for one of another site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CrossSite {
    /// The browser says so.
    Site(String),
    /// The page that sent it has another host.
    Origin(String),
}

/// Checks a request for `host`; `allowed` are the origins whose pages may send anything.
pub(crate) fn check(
    method: &Method,
    headers: &HeaderMap,
    host: Option<&str>,
    allowed: &[String],
) -> Result<(), CrossSite> {
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    // A WebSocket begins with a GET, needs no permission either, and carries what it likes.
    if is_safe && !headers.contains_key(UPGRADE) {
        return Ok(());
    }
    let origins: Vec<_> = headers.get_all(ORIGIN).iter().map(as_text).collect();
    let is_allowed = |origin: &String| allowed.iter().any(|a| a.eq_ignore_ascii_case(origin));
    if !origins.is_empty() && origins.iter().all(is_allowed) {
        return Ok(());
    }
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter().map(as_text).peekable();
    if sites.peek().is_some() {
        let foreign = sites.find(|site| !["same-origin", "none"].contains(&site.as_str()));
        return foreign.map_or(Ok(()), |site| Err(CrossSite::Site(site)));
    }
    let is_foreign = |origin: &String| {
        let origin = Origin::parse(origin);
        !origin.zip(host).is_some_and(|(origin, host)| origin.is_of(host))
    };
    origins.into_iter().find(is_foreign).map_or(Ok(()), |origin| Err(CrossSite::Origin(origin)))
}

fn as_text(value: &hyper::header::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Scheme, host and port of a page.
#[derive(Debug)]
struct Origin {
    host: String,
    port: u16,
}

impl Origin {
    /// `None` for anything else than `http[s]://host[:port]`, as for `null`.
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?;
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            // An extension of the browser: it has no port, and only --allow-origin can name it.
            _ => 0,
        };
        let authority = uri.authority()?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if !is_bare || text.ends_with('/') || authority.as_str().contains('@') {
            return None;
        }
        let (host, port) = split_port(authority.as_str());
        let port = port.map_or(Some(default_port), |port| port.parse().ok())?;
        Some(Self { host: host.to_ascii_lowercase(), port })
    }

    /// Whether Host names the same host and port. A Host without a port means that of the page's
    /// scheme: a front server with TLS passes `https` pages on to a gateway without it.
    fn is_of(&self, host: &str) -> bool {
        let (name, port) = split_port(host);
        let same_port = match port {
            Some(port) => port.parse() == Ok(self.port),
            None => matches!(self.port, 80 | 443),
        };
        same_port && self.host.eq_ignore_ascii_case(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn requests_of_this_and_of_other_sites() {
        type Pairs = &'static [(&'static str, &'static str)];
        const EVIL: (&str, &str) = ("origin", "https://evil.example");
        const OWN: (&str, &str) = ("origin", "http://app.lan:8080");
        let rows: &[(&str, Pairs, bool)] = &[
            // Not a browser.
            ("POST", &[], true),
            // Nothing changes by these.
            ("GET", &[EVIL, (SEC_FETCH_SITE, "cross-site")], true),
            ("HEAD", &[EVIL], true),
            ("OPTIONS", &[EVIL], true),
            // An upgrade is not a GET, whatever it is to.
            ("GET", &[EVIL, ("upgrade", "websocket")], false),
            ("GET", &[OWN, ("upgrade", "websocket")], true),
            ("GET", &[("upgrade", "h2c")], true),
            // The browser decides.
            ("POST", &[(SEC_FETCH_SITE, "same-origin")], true),
            ("POST", &[(SEC_FETCH_SITE, "none")], true),
            ("POST", &[(SEC_FETCH_SITE, "same-site")], false),
            ("POST", &[(SEC_FETCH_SITE, "cross-site")], false),
            ("POST", &[(SEC_FETCH_SITE, "")], false),
            ("DELETE", &[(SEC_FETCH_SITE, "cross-site")], false),
            ("get", &[(SEC_FETCH_SITE, "cross-site")], false),
            ("POST", &[(SEC_FETCH_SITE, "none"), (SEC_FETCH_SITE, "cross-site")], false),
            // Before Origin, which looks foreign behind a proxy that rewrites Host.
            ("POST", &[EVIL, (SEC_FETCH_SITE, "same-origin")], true),
            ("POST", &[OWN, (SEC_FETCH_SITE, "cross-site")], false),
            // An older browser.
            ("POST", &[OWN], true),
            ("POST", &[("origin", "HTTP://APP.LAN:8080")], true),
            ("POST", &[EVIL], false),
            ("POST", &[("origin", "null")], false),
            ("POST", &[("origin", "")], false),
            ("POST", &[("origin", "http://app.lan")], false),
            ("POST", &[("origin", "http://app.lan:80801")], false),
            ("POST", &[("origin", "http://app.lan:8080/")], false),
            ("POST", &[("origin", "http://x@app.lan:8080")], false),
            ("POST", &[OWN, EVIL], false),
            // Named by --allow-origin.
            ("POST", &[("origin", "https://friend.example")], true),
            ("POST", &[("origin", "https://friend.example"), (SEC_FETCH_SITE, "cross-site")], true),
            ("GET", &[("origin", "https://friend.example"), ("upgrade", "websocket")], true),
            ("POST", &[("origin", "http://friend.example")], false),
        ];
        let allowed = [origin("https://Friend.example/").expect("an origin")];
        for (method, pairs, passes) in rows {
            let method = method.parse().expect("a method");
            let result = check(&method, &headers(pairs), Some("app.lan:8080"), &allowed);
            assert_eq!(result.is_ok(), *passes, "{method} {pairs:?}");
        }
        let error = check(&Method::POST, &headers(&[EVIL]), Some("a"), &[]).expect_err("foreign");
        assert_eq!(error, CrossSite::Origin("https://evil.example".into()));
    }

    #[test]
    fn the_port_of_a_host_without_one() {
        for (origin, host, passes) in [
            ("https://a", "a", true),
            ("http://a", "a", true),
            ("https://a", "a:443", true),
            ("http://a", "a:443", false),
            ("http://a:443", "a:443", true),
            ("http://a:8080", "a", false),
            ("https://[::1]:8443", "[::1]:8443", true),
            ("https://b", "a", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
            let result = check(&Method::POST, &headers, Some(host), &[]);
            assert_eq!(result.is_ok(), passes, "{origin} for {host}");
        }
    }

    #[test]
    fn origins_on_the_command_line() {
        for text in ["https://a", "http://a:8080", "http://[::1]:1", "moz-extension://x"] {
            assert!(origin(text).is_ok(), "{text}");
        }
        for text in ["a", "a:80", "null", "https://a/b", "https://a?b", "https://u@a", "", "*"] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}

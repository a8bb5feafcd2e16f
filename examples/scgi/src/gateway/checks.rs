//! What a request must pass before it reaches the server: first its syntax, then who may ask.

use std::net::SocketAddr;

use hyper::http::request::Parts;
use hyper::{StatusCode, Version};
use scgi_proto::http::check_request;

use super::cross_site::{self, CrossSite};
use super::forwarded::{Trust, set_forwarded};
use super::host::{Hosts, host_of};
use super::refusal::{Refusal, of_convert};

/// The longest path and query, in bytes: half of the largest head, and four times what front
/// servers take by default.
const MAX_URI: usize = 32 * 1024;

/// The rules of the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    pub(crate) hosts: Hosts,
    pub(crate) origins: Vec<String>,
    pub(crate) trust: Trust,
    /// What `-p HTTPS` says.
    pub(crate) is_https: Option<bool>,
}

/// The connection that a request comes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connected {
    /// `None` on a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    /// Whether it is to a loopback address of this machine.
    pub(crate) is_loopback: bool,
}

impl Checks {
    /// Checks the head and makes it one for the server.
    pub(crate) fn apply(&self, parts: &mut Parts, connected: Connected) -> Result<(), Refusal> {
        check_request(parts).map_err(|error| of_convert(&error))?;
        if parts.uri.path_and_query().is_some_and(|path| path.as_str().len() > MAX_URI) {
            let text = format!("the path and query are over {MAX_URI} bytes");
            return Err(Refusal::new(StatusCode::URI_TOO_LONG, text));
        }
        let bad = |text: &str| Refusal::new(StatusCode::BAD_REQUEST, text);
        let host = host_of(&parts.uri, &parts.headers).map_err(|()| bad("host is not a host"))?;
        if host.is_none() && parts.version == Version::HTTP_11 {
            return Err(bad("an HTTP/1.1 request needs a host"));
        }
        if !self.hosts.accept(host, connected.is_loopback) {
            return Err(foreign_host(host.unwrap_or_default()));
        }
        cross_site::check(&parts.method, &parts.headers, host, &self.origins)
            .map_err(|found| from_other_site(&found))?;
        set_forwarded(parts, connected.peer, &self.trust, self.is_https);
        Ok(())
    }
}

fn foreign_host(host: &str) -> Refusal {
    let text = format!(
        "this gateway does not answer to the host {host:?}; the option --host NAME adds a name"
    );
    Refusal::new(StatusCode::FORBIDDEN, text)
}

fn from_other_site(found: &CrossSite) -> Refusal {
    let why = match found {
        CrossSite::Site(site) => format!("Sec-Fetch-Site is {site:?}"),
        CrossSite::Origin(origin) => format!("its origin is {origin:?}"),
    };
    let text = format!(
        "a page of another site sent this request ({why}); the option --allow-origin ORIGIN \
         accepts its requests"
    );
    Refusal::new(StatusCode::FORBIDDEN, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    #[test]
    fn statuses_of_what_does_not_pass() {
        let connected = Connected { peer: None, is_loopback: true };
        let checks = Checks::default();
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let post: Pairs<'_> = &[("host", "localhost"), ("sec-fetch-site", "cross-site")];
        let rows: &[(&str, &str, Version, Pairs<'_>, Option<u16>)] = &[
            ("GET", "/", Version::HTTP_11, &[("host", "localhost")], None),
            ("GET", "/", Version::HTTP_10, &[], None),
            ("GET", "http://localhost/", Version::HTTP_2, &[], None),
            ("OPTIONS", "*", Version::HTTP_11, &[("host", "[::1]:80")], None),
            ("GET", "/", Version::HTTP_11, &[], Some(400)),
            ("GET", "/", Version::HTTP_11, &[("host", "a b")], Some(400)),
            ("GET", "/%zz", Version::HTTP_11, &[("host", "evil.example")], Some(400)),
            ("CONNECT", "a:1", Version::HTTP_11, &[("host", "a:1")], Some(501)),
            ("GET", "/", Version::HTTP_11, &[("host", "evil.example")], Some(403)),
            ("GET", "http://evil.example/", Version::HTTP_2, &[], Some(403)),
            ("POST", "/", Version::HTTP_11, post, Some(403)),
        ];
        for (method, uri, version, pairs, expected) in rows {
            let builder = Request::builder().method(*method).uri(*uri).version(*version);
            let builder = pairs.iter().fold(builder, |b, (n, v)| b.header(*n, *v));
            let mut parts = builder.body(()).expect("a request").into_parts().0;
            let status = checks.apply(&mut parts, connected).err().map(|r| r.status.as_u16());
            assert_eq!(status, *expected, "{method} {uri} {pairs:?}");
        }
    }
}

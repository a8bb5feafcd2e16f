//! Finds out who the client is, and what the program learns about the hops before the gateway.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Scheme;
use scgi_proto::Network;
use scgi_proto::http::{remove_forwarded, remove_hop_by_hop};
use scgi_tokio::ClientAddress;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A front proxy of `--trust`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trusted {
    Network(Network),
    /// Anyone who can connect to the gateway's own Unix socket.
    Unix,
}

impl FromStr for Trusted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        text.parse().map(Self::Network).map_err(|error| format!("{error}, or `unix`"))
    }
}

/// Which peers are believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust(Vec<Trusted>);

impl Trust {
    pub(crate) fn new(trusted: &[Trusted]) -> Self {
        Self(trusted.to_vec())
    }

    fn of_address(&self, address: IpAddr) -> bool {
        let holds = |trusted: &Trusted| match trusted {
            Trusted::Network(network) => network.contains(address),
            Trusted::Unix => false,
        };
        self.0.iter().any(holds)
    }

    /// `None` is a peer on the Unix socket.
    fn of_peer(&self, peer: Option<SocketAddr>) -> bool {
        match peer {
            Some(peer) => self.of_address(peer.ip()),
            None => self.0.contains(&Trusted::Unix),
        }
    }
}

/// Removes the headers of the browser's connection and what it may not say, then sets ours: in
/// this order, as Connection can name any header. `is_https` is what the command line says.
pub(crate) fn set_forwarded(
    parts: &mut Parts,
    peer: Option<SocketAddr>,
    trust: &Trust,
    is_https: Option<bool>,
) {
    let headers = &mut parts.headers;
    remove_hop_by_hop(headers);
    if !trust.of_peer(peer) {
        remove_forwarded(headers);
    }
    let scheme = match is_https.or_else(|| forwarded_https(headers)) {
        Some(true) => Scheme::HTTPS,
        _ => Scheme::HTTP,
    };
    let hops = hops(headers, peer);
    let client = client(&hops, peer, trust);
    if let Ok(value) = HeaderValue::try_from(hops.join(", ")) {
        if !value.is_empty() {
            headers.insert(FOR, value);
        }
    }
    let proto = if scheme == Scheme::HTTPS { "https" } else { "http" };
    headers.insert(PROTO, HeaderValue::from_static(proto));
    parts.extensions.insert(scheme);
    if let Some(client) = client {
        parts.extensions.insert(client);
    }
}

/// What the nearest proxy said: the last value.
fn forwarded_https(headers: &HeaderMap) -> Option<bool> {
    let value = headers.get_all(PROTO).iter().next_back()?.to_str().ok()?;
    match value.rsplit(',').next().unwrap_or_default().trim() {
        scheme if scheme.eq_ignore_ascii_case("https") => Some(true),
        scheme if scheme.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

/// The addresses of X-Forwarded-For and the peer's.
fn hops(headers: &HeaderMap, peer: Option<SocketAddr>) -> Vec<String> {
    let values = headers.get_all(FOR).iter().filter_map(|value| value.to_str().ok());
    let hops = values.flat_map(|value| value.split(',')).map(|hop| hop.trim().to_owned());
    let mut hops: Vec<_> = hops.filter(|hop| !hop.is_empty()).collect();
    hops.extend(peer.map(|peer| peer.ip().to_canonical().to_string()));
    hops
}

/// The last address that is not a trusted proxy's; a hop that is not an address ends the search.
fn client(hops: &[String], peer: Option<SocketAddr>, trust: &Trust) -> Option<ClientAddress> {
    let mut client = None;
    for (index, hop) in hops.iter().enumerate().rev() {
        let is_peer = index + 1 == hops.len() && peer.is_some();
        let Some(address) = address(hop) else { break };
        let port = peer.filter(|_| is_peer).map(|peer| peer.port());
        client = Some(ClientAddress::new(address, port));
        if !trust.of_address(address) {
            break;
        }
    }
    client
}

/// `IP`, `[IP]`, or either with a port, as some proxies write it.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let with_port = || hop.parse().map(|address: SocketAddr| address.ip()).ok();
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    struct Seen {
        client: Option<String>,
        hops: Option<String>,
        proto: String,
    }

    fn seen(pairs: &[(&str, &str)], peer: Option<&str>, trust: &[&str]) -> Seen {
        let request = pairs.iter().fold(Request::get("/"), |b, (n, v)| b.header(*n, *v));
        let mut parts = request.body(()).expect("a request").into_parts().0;
        let trusted: Vec<_> = trust.iter().map(|text| text.parse().expect("a network")).collect();
        let peer = peer.map(|text| text.parse().expect("an address"));
        set_forwarded(&mut parts, peer, &Trust::new(&trusted), None);
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        let scheme = parts.extensions.get::<Scheme>().expect("a scheme").to_string();
        assert_eq!(text(&parts.headers[PROTO]), scheme);
        Seen {
            client: parts.extensions.get::<ClientAddress>().map(ToString::to_string),
            hops: parts.headers.get(FOR).map(text),
            proto: scheme,
        }
    }

    #[test]
    fn the_client_and_the_hops() {
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a str, &'a str, &'a str);
        let xff = "x-forwarded-for";
        let rows: &[Row<'_>] = &[
            (&[], &[], "10.0.0.1:5", "10.0.0.1", "http"),
            (&[(xff, "1.1.1.1")], &[], "10.0.0.1:5", "10.0.0.1", "http"),
            (&[("x_forwarded_for", "1.1.1.1")], &[], "10.0.0.1:5", "10.0.0.1", "http"),
            (
                &[("connection", "x-forwarded-for, x-forwarded-proto"), (xff, "1.1.1.1")],
                &[],
                "10.0.0.1:5",
                "10.0.0.1",
                "http",
            ),
            (&[("x-forwarded-proto", "https")], &[], "10.0.0.1:5", "10.0.0.1", "http"),
            (&[(xff, "1.1.1.1")], &["10.0.0.0/8"], "1.1.1.1", "1.1.1.1, 10.0.0.1", "http"),
            (
                &[(xff, "6.6.6.6"), (xff, "1.1.1.1:99, 10.0.0.2")],
                &["10.0.0.0/8"],
                "1.1.1.1",
                "6.6.6.6, 1.1.1.1:99, 10.0.0.2, 10.0.0.1",
                "http",
            ),
            (
                &[(xff, "[2001:db8::1]:9")],
                &["10.0.0.1"],
                "2001:db8::1",
                "[2001:db8::1]:9, 10.0.0.1",
                "http",
            ),
            // All of them are proxies: the first one.
            (&[(xff, "10.0.0.2")], &["10.0.0.0/8"], "10.0.0.2", "10.0.0.2, 10.0.0.1", "http"),
            (&[(xff, "unknown")], &["10.0.0.0/8"], "10.0.0.1:5", "unknown, 10.0.0.1", "http"),
            (
                &[("x-forwarded-proto", "http, HTTPS")],
                &["10.0.0.1"],
                "10.0.0.1:5",
                "10.0.0.1",
                "https",
            ),
            (&[("x-forwarded-proto", "gopher")], &["10.0.0.1"], "10.0.0.1:5", "10.0.0.1", "http"),
            // The Unix socket is something else than a network.
            (&[(xff, "1.1.1.1")], &["unix"], "10.0.0.1:5", "10.0.0.1", "http"),
        ];
        for (pairs, trust, client, hops, proto) in rows {
            let seen = seen(pairs, Some("10.0.0.1:5"), trust);
            assert_eq!(seen.client.as_deref(), Some(*client), "{pairs:?} {trust:?}");
            assert_eq!(seen.hops.as_deref(), Some(*hops), "{pairs:?} {trust:?}");
            assert_eq!(seen.proto, *proto, "{pairs:?} {trust:?}");
        }
    }

    #[test]
    fn a_peer_on_the_unix_socket() {
        let pairs = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https")];
        let unknown = seen(&pairs, None, &["0.0.0.0/0"]);
        assert_eq!((unknown.client, unknown.hops), (None, None));
        let believed = seen(&pairs, None, &["unix"]);
        assert_eq!(believed.client.as_deref(), Some("1.1.1.1"));
        assert_eq!(believed.hops.as_deref(), Some("1.1.1.1"));
        assert_eq!(believed.proto, "https");
    }

    #[test]
    fn what_https_says_on_the_command_line_counts_first() {
        let mut parts = Request::new(()).into_parts().0;
        set_forwarded(&mut parts, None, &Trust::default(), Some(true));
        assert_eq!(parts.headers[PROTO], "https");
        assert_eq!(parts.extensions.get(), Some(&Scheme::HTTPS));
    }
}

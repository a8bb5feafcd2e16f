//! The values that a converted request has in its `http` extensions.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use ::http::Extensions;
use ::http::uri::Scheme;

use crate::wire::request::params::Params;
use crate::wire::request::path::encode_path;

/// What a request carries beside its HTTP head: the one value that
/// [`request_to_http`](super::request_to_http) puts into the extensions.
///
/// # Examples
/// ```
/// use scgi_proto::RequestHead;
/// use scgi_proto::http::{RequestContext, request_to_http};
///
/// let head = RequestHead::builder("GET", "/").param("HTTPS", "on").param("X", "y").build();
/// let parts = request_to_http(head)?;
/// let context = parts.extensions.get::<RequestContext>().expect("always there");
/// assert_eq!(context.params().get_str("X"), Some("y"));
/// assert_eq!(context.scheme(), Some(http::uri::Scheme::HTTPS));
/// assert_eq!(context.client(), None);
/// # Ok::<(), scgi_proto::http::ConvertError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RequestContext {
    params: Params,
    client: Option<ClientAddress>,
    is_https: Option<bool>,
}

impl RequestContext {
    pub(super) fn new(
        params: Params,
        client: Option<ClientAddress>,
        is_https: Option<bool>,
    ) -> Self {
        Self { params, client, is_https }
    }

    /// All params of the request.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The browser's address, if the front server sends one: REMOTE_ADDR and REMOTE_PORT.
    #[must_use]
    pub const fn client(&self) -> Option<ClientAddress> {
        self.client
    }

    /// The scheme by which the browser came, if the front server sends it: HTTPS, else
    /// REQUEST_SCHEME.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        self.is_https.map(|is_https| if is_https { Scheme::HTTPS } else { Scheme::HTTP })
    }

    /// The path that leads to the program: SCRIPT_NAME, empty if it is absent. Under a prefix that
    /// [`strip_mount`](super::strip_mount) took off, the extension [`MountPoint`] replaces it.
    #[must_use]
    pub fn mount_point(&self) -> MountPoint {
        MountPoint::new(self.params.get("SCRIPT_NAME").unwrap_or_default())
    }
}

/// The client's address in the extensions of a request: one that a program put there, else that of
/// the [`RequestContext`].
pub(super) fn client_of(extensions: &Extensions) -> Option<ClientAddress> {
    let set = extensions.get::<ClientAddress>().copied();
    set.or_else(|| extensions.get::<RequestContext>()?.client())
}

/// The scheme in the extensions, likewise.
pub(super) fn scheme_of(extensions: &Extensions) -> Option<Scheme> {
    let set = extensions.get::<Scheme>().cloned();
    set.or_else(|| extensions.get::<RequestContext>()?.scheme())
}

/// The address of the front server's client: REMOTE_ADDR, and REMOTE_PORT where it is sent.
///
/// A browser on a Unix socket of the front server has none (nginx sends `unix:`). Behind another
/// proxy this is that proxy's address, unless the front server is configured to look
/// further (`set_real_ip_from` in nginx, `mod_remoteip` in Apache).
///
/// # Examples
/// ```
/// use scgi_proto::http::ClientAddress;
/// let client = ClientAddress::new([192, 0, 2, 1].into(), Some(50_000));
/// assert_eq!(client.to_string(), "192.0.2.1:50000");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress {
    ip: IpAddr,
    port: Option<u16>,
    /// Of a link-local IPv6 address: the interface.
    scope_id: u32,
}

impl ClientAddress {
    /// An address, for a request to a backend or a test.
    #[must_use]
    pub const fn new(ip: IpAddr, port: Option<u16>) -> Self {
        Self { ip, port, scope_id: 0 }
    }

    /// The IP address, without a zone.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The port, if the front server sends it.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The zone of a link-local IPv6 address (`fe80::1%2`) where it is a number; 0 is none.
    ///
    /// A zone that is a name, as Apache sends it (`fe80::1%eth0`), is dropped: the name is one of
    /// the front server's machine.
    #[must_use]
    pub const fn scope_id(&self) -> u32 {
        self.scope_id
    }

    /// All of it as one address, with port 0 for an unknown one.
    #[must_use]
    pub fn to_socket_addr(&self) -> SocketAddr {
        let port = self.port.unwrap_or(0);
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::from((ip, port)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.scope_id).into(),
        }
    }

    /// `None` if REMOTE_ADDR is absent or no IP address: nginx sends `unix:` for a client on a
    /// Unix socket.
    #[cfg(test)]
    pub(super) fn of(params: &Params) -> Option<Self> {
        Self::parse(params.get("REMOTE_ADDR"), params.get("REMOTE_PORT"))
    }

    /// The same of the values of both params.
    pub(super) fn parse(addr: Option<&[u8]>, port: Option<&[u8]>) -> Option<Self> {
        let addr = addr?;
        let port = port.and_then(parse_port);
        // Most are these, and the parser of the standard library takes three times as long.
        if let Some(ip) = parse_ipv4(addr) {
            return Some(Self { ip: ip.into(), port, scope_id: 0 });
        }
        let text = core::str::from_utf8(addr).ok()?;
        let text = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let (ip, scope_id) = parse_scoped(text)?;
        Some(Self { ip, port, scope_id })
    }
}

/// A port as `u16::from_str` parses it; of up to five digits, as all are, without it.
fn parse_port(port: &[u8]) -> Option<u16> {
    if matches!(port.len(), 1..=5) && port.iter().all(u8::is_ascii_digit) {
        let port = port.iter().fold(0, |port, digit| port * 10 + u32::from(digit - b'0'));
        return u16::try_from(port).ok();
    }
    core::str::from_utf8(port).ok()?.parse().ok()
}

/// Four numbers from 0 to 255 without leading zeros, as `Ipv4Addr::from_str` parses them.
fn parse_ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut rest = text;
    for (index, octet) in octets.iter_mut().enumerate() {
        let (first, behind) = rest.split_first().filter(|(byte, _)| byte.is_ascii_digit())?;
        let mut number = u32::from(first - b'0');
        rest = behind;
        while let Some((byte, behind)) = rest.split_first().filter(|(b, _)| b.is_ascii_digit()) {
            number = number * 10 + u32::from(byte - b'0');
            // A leading zero, and what is longer than three digits, too.
            if !(10..=255).contains(&number) {
                return None;
            }
            rest = behind;
        }
        *octet = u8::try_from(number).ok()?;
        if index < 3 {
            rest = rest.strip_prefix(b".")?;
        }
    }
    rest.is_empty().then(|| octets.into())
}

/// An address, and its zone where that is a number.
fn parse_scoped(text: &str) -> Option<(IpAddr, u32)> {
    match text.split_once('%') {
        None => Some((text.parse().ok()?, 0)),
        Some((ip, zone)) => {
            let ip: Ipv6Addr = ip.parse().ok()?;
            Some((ip.into(), zone.parse().unwrap_or(0)))
        }
    }
}

/// `IP` or `IP:PORT`, with `%ZONE` behind an IP that has one; an IPv6 address with its port in brackets.
impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(_) => self.to_socket_addr().fmt(f),
            None if self.scope_id == 0 => self.ip.fmt(f),
            None => write!(f, "{}%{}", self.ip, self.scope_id),
        }
    }
}

impl From<SocketAddr> for ClientAddress {
    fn from(address: SocketAddr) -> Self {
        let scope_id = match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(address) => address.scope_id(),
        };
        Self { ip: address.ip(), port: Some(address.port()), scope_id }
    }
}

/// The path that leads to the program: the prefix that [`strip_mount`](super::strip_mount) took
/// off, else SCRIPT_NAME.
///
/// Its text is percent-encoded and has no slash at the end, for links:
/// `format!("{mount}/login")`.
///
/// SCRIPT_NAME alone tells little: nginx sends what its configuration says, Apache and lighttpd
/// (mounted elsewhere than at `/`) the whole path.
///
/// # Examples
/// ```
/// use scgi_proto::http::MountPoint;
/// let mount = MountPoint::new("/my app/");
/// assert_eq!(mount.to_string(), "/my%20app");
/// assert_eq!(mount.as_bytes(), b"/my app");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct MountPoint {
    path: Vec<u8>,
}

impl MountPoint {
    /// A mount point from its decoded path.
    #[must_use]
    pub fn new(path: impl AsRef<[u8]>) -> Self {
        let mut path = path.as_ref();
        while let [rest @ .., b'/'] = path {
            path = rest;
        }
        Self { path: path.to_vec() }
    }

    /// The path, decoded, without a slash at the end.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.path
    }
}

impl fmt::Display for MountPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_path(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request::RequestHeadBuilder;

    #[test]
    fn addresses_and_ports_are_parsed_as_by_the_standard_library() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "256.0.0.1",
            "1.2.3.4.",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.00",
            "1..2.3",
            ".1.2.3",
            "1.2.3.4 ",
            "+1.2.3.4",
            "1.2.3.999",
            "1.2.3.1000",
            "",
            "10.20.30.40",
            "99999999999.1.1.1",
            "1.2.3.0",
            "00.1.1.1",
        ] {
            assert_eq!(parse_ipv4(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in ["0", "80", "0080", "00080", "65535", "65536", "+80", "-1", "", "8a", "99999"] {
            assert_eq!(parse_port(text.as_bytes()), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn client_addresses() {
        for (addr, port, expected) in [
            ("192.0.2.1", "4000", Some("192.0.2.1:4000")),
            ("192.0.2.1", "", Some("192.0.2.1")),
            ("192.0.2.1", "99999", Some("192.0.2.1")),
            ("::1", "4000", Some("[::1]:4000")),
            ("[::1]", "4000", Some("[::1]:4000")),
            ("::1", "", Some("::1")),
            ("fe80::1%eth0", "4000", Some("[fe80::1]:4000")),
            ("fe80::5054:ff:fe12:3456%ens3", "", Some("fe80::5054:ff:fe12:3456")),
            ("fe80::1%3", "4000", Some("[fe80::1%3]:4000")),
            ("[fe80::1%3]", "", Some("fe80::1%3")),
            ("fe80::1%", "4000", Some("[fe80::1]:4000")),
            ("fe80::1%4294967296", "", Some("fe80::1")),
            ("192.0.2.1%3", "4000", None),
            ("%eth0", "4000", None),
            ("unix:", "", None),
            ("", "4000", None),
            ("localhost", "4000", None),
        ] {
            let head = RequestHeadBuilder::default()
                .param("REMOTE_ADDR", addr)
                .param("REMOTE_PORT", port)
                .build();
            let client = ClientAddress::of(head.params());
            let text = client.map(|client| alloc::string::ToString::to_string(&client));
            assert_eq!(text.as_deref(), expected, "{addr} {port}");
            let again = client.map(|client| ClientAddress::from(client.to_socket_addr()));
            assert_eq!(again.map(|a| a.scope_id()), client.map(|c| c.scope_id()), "{addr}");
        }
    }
}

//! What a request carries beside its head, as `http` extensions.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

#[cfg(test)]
use crate::wire::params::Params;
use crate::wire::path::encode_path;

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
        let text = core::str::from_utf8(addr?).ok()?;
        let text = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let (ip, scope_id) = parse_scoped(text)?;
        let port = port.and_then(|port| core::str::from_utf8(port).ok()?.parse().ok());
        Some(Self { ip, port, scope_id })
    }
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

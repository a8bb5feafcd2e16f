//! Who may connect to a server.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use std::vec::Vec;

use crate::exchange::peer::Peer;

/// Who may connect: networks for TCP, user ids for Unix sockets. The default allows everyone;
/// once there is an entry, only who matches one. No entry matches [`Peer::Other`].
///
/// SCGI has no authentication: anyone who can connect can claim to be any user from any address.
///
/// # Examples
/// ```
/// use scgi_proto::{AllowList, Credentials, Peer};
/// let list = AllowList::default().with_network("10.1.0.0/16".parse()?).with_uid(33);
/// assert!(list.allows(&Peer::Tcp("10.1.2.3:50000".parse()?)));
/// assert!(!list.allows(&Peer::Tcp("10.2.2.3:50000".parse()?)));
/// assert!(list.allows(&Peer::Unix(Some(Credentials { uid: 33, gid: 0, pid: None }))));
/// assert!(!list.allows(&Peer::Unix(None)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    networks: Vec<Network>,
    uids: Vec<u32>,
}

impl AllowList {
    /// Allows peers on TCP whose address is in this network.
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.networks.push(network);
        self
    }

    /// Allows processes of this user on a Unix socket. Only Linux reports who they are; elsewhere
    /// this allows no one.
    #[must_use]
    pub fn with_uid(mut self, uid: u32) -> Self {
        self.uids.push(uid);
        self
    }

    /// Whether it has no entry and so allows everyone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.uids.is_empty()
    }

    /// Whether this peer may connect.
    #[must_use]
    pub fn allows(&self, peer: &Peer) -> bool {
        self.is_empty()
            || match peer {
                Peer::Tcp(address) => {
                    self.networks.iter().any(|network| network.contains(address.ip()))
                }
                Peer::Unix(Some(credentials)) => self.uids.contains(&credentials.uid),
                Peer::Unix(None) | Peer::Other => false,
            }
    }
}

/// A range of IP addresses: `10.1.0.0/16`, `2001:db8::/32`, or one address.
///
/// # Examples
/// ```
/// use scgi_proto::Network;
/// let network: Network = "192.0.2.0/24".parse()?;
/// assert!(network.contains("192.0.2.200".parse()?));
/// // An IPv4 address that came over an IPv6 socket.
/// assert!(network.contains("::ffff:192.0.2.200".parse()?));
/// assert!("192.0.2.0/33".parse::<Network>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    /// Leading bits that count.
    prefix: u32,
}

impl Network {
    /// Whether an address lies in this network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= self.prefix
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}

/// The network of this one address.
impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: bits(address) }
    }
}

const fn bits(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let Some(prefix) = prefix else { return Ok(address.into()) };
        match prefix.parse() {
            Ok(prefix) if prefix <= bits(address) => Ok(Self { address, prefix }),
            _ => Err(NetworkError),
        }
    }
}

/// The text is no [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkError;

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a network is an IP address, or one with a prefix length, as in 10.1.0.0/16")
    }
}

impl core::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::peer::Credentials;

    #[test]
    fn networks() {
        for (network, address, inside) in [
            ("10.1.0.0/16", "10.1.255.255", true),
            ("10.1.0.0/16", "10.2.0.0", false),
            ("10.1.0.0/16", "::ffff:10.1.0.1", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.0", false),
            ("192.0.2.1/32", "192.0.2.0", false),
            ("192.0.2.1/31", "192.0.2.0", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "::1", true),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("::1", "::1", true),
            ("::1/128", "::2", false),
        ] {
            let parsed: Network = network.parse().expect("a network");
            let contains = parsed.contains(address.parse().expect("an address"));
            assert_eq!(contains, inside, "{network} {address}");
        }
        for text in ["", "/", "10.1.0.0/", "10.1.0.0/-1", "10.1/16", "::/129", "10.1.0.0/33"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }

    #[test]
    fn an_entry_of_one_kind_refuses_the_other() {
        let tcp = Peer::Tcp("127.0.0.1:1".parse().expect("an address"));
        let root = Peer::Unix(Some(Credentials { uid: 0, gid: 0, pid: Some(1) }));
        let list = AllowList::default();
        assert!(list.is_empty() && list.allows(&tcp) && list.allows(&root));
        let list = AllowList::default().with_uid(0);
        assert!(!list.is_empty() && list.allows(&root) && !list.allows(&tcp));
        let network = "127.0.0.0/8".parse().expect("a network");
        let list = AllowList::default().with_network(network);
        assert!(!list.is_empty() && list.allows(&tcp) && !list.allows(&root));
    }
}

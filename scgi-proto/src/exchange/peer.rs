//! Who is at the other end of a connection.

use core::fmt;
use core::net::SocketAddr;

/// The program at the other end of a connection: the front server, not its client.
///
/// # Examples
/// ```
/// use scgi_proto::Peer;
/// let peer = Peer::Tcp("192.0.2.1:50000".parse()?);
/// assert_eq!(peer.to_string(), "192.0.2.1:50000");
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// One that connected over TCP.
    Tcp(SocketAddr),
    /// One that connected to a Unix socket; `None` where the system does not report who it is.
    Unix(Option<Credentials>),
    /// One whose stream comes from a listener of the program's own and is neither.
    Other,
}

/// `IP:PORT`, `uid 33, gid 33, pid 4000`, `unix`, or `other`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(Credentials { uid, gid, pid })) => {
                write!(f, "uid {uid}, gid {gid}")?;
                pid.map_or(Ok(()), |pid| write!(f, ", pid {pid}"))
            }
            Self::Unix(None) => f.write_str("unix"),
            Self::Other => f.write_str("other"),
        }
    }
}

/// The process that connected to a Unix socket, as it was when it did.
///
/// # Examples
/// ```
/// use scgi_proto::Credentials;
/// let credentials = Credentials { uid: 33, gid: 33, pid: Some(4000) };
/// assert_eq!(credentials.uid, 33);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The process id, where the system reports it.
    pub pid: Option<u32>,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_peer_as_text() {
        let credentials = Credentials { uid: 33, gid: 34, pid: Some(35) };
        for (peer, text) in [
            (Peer::Unix(Some(credentials)), "uid 33, gid 34, pid 35"),
            (Peer::Unix(Some(Credentials { pid: None, ..credentials })), "uid 33, gid 34"),
            (Peer::Unix(None), "unix"),
            (Peer::Other, "other"),
        ] {
            assert_eq!(peer.to_string(), text);
        }
    }
}

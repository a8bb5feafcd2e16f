//! Resolves a TCP address from its text.

use core::net::SocketAddr;
use std::io;
use std::net::ToSocketAddrs as _;
use std::vec::Vec;

use crate::net::address::Address;

impl Address {
    /// The socket addresses of a TCP address, in the order in which to try them.
    ///
    /// A host name is looked up, which may block for long
    /// ([`is_host_name`](Self::is_host_name)). The zone of an IPv6 address, as in
    /// `[fe80::1%eth0]:4000`, is the name or the number of a network interface of this machine.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if it is not a TCP address; others from the system, for
    /// example if there is no such host or interface. There is at least one address otherwise.
    ///
    /// # Examples
    /// ```
    /// use scgi_proto::Address;
    /// let address: Address = "127.0.0.1:4000".parse()?;
    /// assert_eq!(address.resolve()?, ["127.0.0.1:4000".parse()?]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let Self::Tcp(address) = self else { return Err(io::ErrorKind::Unsupported.into()) };
        if let Ok(address) = address.parse() {
            return Ok([address].into());
        }
        let found: Vec<_> = match zoned(address) {
            // `std` looks for a host with the brackets in its name.
            Some((host, port)) => (host, port).to_socket_addrs()?.collect(),
            None => address.as_str().to_socket_addrs()?.collect(),
        };
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(found)
    }
}

/// The parts of `[address%zone]:port`.
fn zoned(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[')?.strip_suffix(']')?;
    Some((host, port.parse().ok()?))
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    fn resolve(text: &str) -> io::Result<Vec<SocketAddr>> {
        text.parse::<Address>().expect("an address").resolve()
    }

    #[test]
    fn addresses_are_taken_as_they_are() {
        assert_eq!(resolve("[::1]:80").expect("an address"), ["[::1]:80".parse().unwrap()]);
        assert_eq!(resolve("::1:80").expect("an address"), ["[::1]:80".parse().unwrap()]);
        assert!(resolve("localhost:80").is_ok_and(|found| !found.is_empty()));
        let error = resolve("unix:a").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_zone_is_an_interface() {
        // The loopback interface is the first of every network namespace.
        for text in ["[fe80::1%lo]:80", "[fe80::1%1]:80"] {
            let found = resolve(text).expect("an interface");
            let [SocketAddr::V6(address)] = found[..] else { panic!("{found:?}") };
            assert_eq!((address.scope_id(), address.port()), (1, 80), "{text}");
        }
        assert!(resolve("[fe80::1%no-such-if]:80").is_err());
    }
}

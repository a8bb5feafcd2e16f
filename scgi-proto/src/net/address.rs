//! Where an SCGI server listens: one type for TCP and Unix sockets.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::io;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};

/// The address of an SCGI server.
///
/// | text | address |
/// |---|---|
/// | `host:port`, `tcp:host:port`, `tcp://host:port`, `scgi://host:port` | TCP; an IPv6 address has brackets around it and may have a zone: `[fe80::1%eth0]:4000` |
/// | any text with a `/`, `unix:PATH`, `unix:///PATH`, `scgi:///PATH` | a Unix socket |
/// | `unix:@NAME` | an abstract Unix socket (Linux) |
/// | `fd:N` | a listening socket that the parent process passed as descriptor N, for servers |
/// | `systemd:NAME` | a listening socket that systemd passed by this name, for servers built with the feature `systemd` |
///
/// Every address that was parsed is printed as a text that is parsed to the same address.
///
/// # Examples
/// ```
/// use scgi_proto::Address;
/// assert_eq!("localhost:4000".parse(), Ok(Address::Tcp("localhost:4000".into())));
/// assert_eq!("/run/app.sock".parse(), Ok(Address::Unix("/run/app.sock".into())));
/// assert_eq!("scgi:///run/app.sock".parse(), Ok(Address::Unix("/run/app.sock".into())));
/// assert_eq!("fd:0".parse(), Ok(Address::Fd(0)));
/// assert_eq!("unix:app.sock".parse::<Address>()?.to_string(), "unix:app.sock");
/// assert!("4000".parse::<Address>().is_err());
/// # Ok::<(), scgi_proto::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A host name or IP address with a port, to be resolved.
    Tcp(String),
    /// The path of a Unix socket; one that begins with `@` is abstract.
    Unix(PathBuf),
    /// The number of a descriptor: a listening socket that the parent process passed.
    Fd(u32),
    /// The name of a socket that systemd passed to this process.
    Systemd(String),
}

impl Address {
    /// Whether it may be reached from other machines: a TCP address that is not known to be
    /// loopback.
    #[must_use]
    pub fn is_open_to_network(&self) -> bool {
        let Self::Tcp(address) = self else { return false };
        match address.parse::<SocketAddr>() {
            Ok(address) => !address.ip().to_canonical().is_loopback(),
            Err(_) => !address.starts_with("localhost:"),
        }
    }

    /// The address of TCP, if it is written as numbers.
    ///
    /// # Examples
    /// ```
    /// use scgi_proto::Address;
    /// let loopback = "127.0.0.1:4000".parse::<Address>()?;
    /// assert_eq!(loopback.socket_address(), Some(([127, 0, 0, 1], 4000).into()));
    /// assert_eq!("localhost:4000".parse::<Address>()?.socket_address(), None);
    /// # Ok::<(), scgi_proto::AddressError>(())
    /// ```
    #[must_use]
    pub fn socket_address(&self) -> Option<SocketAddr> {
        let Self::Tcp(address) = self else { return None };
        address.parse().ok()
    }

    /// Whether it is a host name, which must be resolved first: that may take long, and blocks.
    ///
    /// # Examples
    /// ```
    /// use scgi_proto::Address;
    /// assert!("localhost:4000".parse::<Address>()?.is_host_name());
    /// assert!(!"[::1]:4000".parse::<Address>()?.is_host_name());
    /// assert!(!"[fe80::1%eth0]:4000".parse::<Address>()?.is_host_name());
    /// assert!(!"unix:app.sock".parse::<Address>()?.is_host_name());
    /// # Ok::<(), scgi_proto::AddressError>(())
    /// ```
    #[must_use]
    pub fn is_host_name(&self) -> bool {
        let Self::Tcp(address) = self else { return false };
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        !host.starts_with('[') && host.parse::<IpAddr>().is_err()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A host that is called `unix` or `fd`.
            Self::Tcp(address) if address.parse().as_ref() != Ok(self) => {
                write!(f, "tcp:{address}")
            }
            Self::Tcp(address) => f.write_str(address),
            // After `unix:` alone, the two slashes would be those of a URL.
            Self::Unix(path) if begins_with_two_slashes(path) => {
                write!(f, "unix://{}", path.display())
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Fd(number) => write!(f, "fd:{number}"),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

fn begins_with_two_slashes(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(b"//")
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address.to_string())
    }
}

/// What can be used where an [`Address`] is needed: an address, a text that is parsed to one, a
/// [`SocketAddr`], or a [`Path`], which is always that of a Unix socket; and references to them.
///
/// # Examples
/// ```
/// use scgi_proto::{Address, ToAddress};
/// use std::path::Path;
///
/// assert_eq!("localhost:4000".to_address()?, Address::Tcp("localhost:4000".into()));
/// assert_eq!(Path::new("app.sock").to_address()?, Address::Unix("app.sock".into()));
/// // A text without a slash or a port may be either.
/// assert_eq!("app.sock".to_address().unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ToAddress {
    /// The address.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] with an [`AddressError`](crate::AddressError) if the text cannot be parsed.
    fn to_address(&self) -> io::Result<Address>;

    /// The address, if it is one already and need not be made: connecting then allocates nothing
    /// for it.
    fn as_address(&self) -> Option<&Address> {
        None
    }
}

impl ToAddress for Address {
    fn to_address(&self) -> io::Result<Address> {
        Ok(self.clone())
    }

    fn as_address(&self) -> Option<&Address> {
        Some(self)
    }
}

impl ToAddress for str {
    fn to_address(&self) -> io::Result<Address> {
        self.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }
}

impl ToAddress for String {
    fn to_address(&self) -> io::Result<Address> {
        self.as_str().to_address()
    }
}

impl ToAddress for SocketAddr {
    fn to_address(&self) -> io::Result<Address> {
        Ok((*self).into())
    }
}

impl ToAddress for Path {
    fn to_address(&self) -> io::Result<Address> {
        // A name that begins with `@` would be an abstract socket.
        let is_abstract = self.as_os_str().as_encoded_bytes().starts_with(b"@");
        Ok(Address::Unix(if is_abstract { Self::new(".").join(self) } else { self.into() }))
    }
}

impl ToAddress for PathBuf {
    fn to_address(&self) -> io::Result<Address> {
        self.as_path().to_address()
    }
}

impl<A: ToAddress + ?Sized> ToAddress for &A {
    fn to_address(&self) -> io::Result<Address> {
        (**self).to_address()
    }

    fn as_address(&self) -> Option<&Address> {
        (**self).as_address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_parameter() -> io::Result<()> {
        let unix = |path: &str| Address::Unix(path.into());
        let tcp = Address::Tcp("127.0.0.1:4000".into());
        let socket_address = SocketAddr::from(([127, 0, 0, 1], 4000));
        assert_eq!("/run/app.sock".to_address()?, unix("/run/app.sock"));
        assert_eq!(String::from("127.0.0.1:4000").to_address()?, tcp);
        assert_eq!(socket_address.to_address()?, tcp);
        assert_eq!(ToAddress::to_address(&&tcp)?, tcp);
        for path in ["app.sock", "127.0.0.1:4000", "tcp:host:80"] {
            assert_eq!(Path::new(path).to_address()?, unix(path));
            assert_eq!(PathBuf::from(path).to_address()?, unix(path));
        }
        assert_eq!(Path::new("@app").to_address()?, unix("./@app"));
        let error = "4000".to_address().expect_err("neither a port of a host nor a path");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "4000".parse::<Address>().unwrap_err().to_string());
        Ok(())
    }

    #[test]
    fn open_to_the_network() {
        for (text, open) in [
            ("127.0.0.1:4000", false),
            ("127.9.9.9:4000", false),
            ("[::1]:4000", false),
            ("[::ffff:127.0.0.1]:4000", false),
            ("localhost:4000", false),
            ("/run/a.sock", false),
            ("systemd:web", false),
            ("fd:0", false),
            ("0.0.0.0:4000", true),
            ("[::]:4000", true),
            ("[fe80::1%eth0]:4000", true),
            ("192.0.2.1:4000", true),
            ("example.org:4000", true),
        ] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.is_open_to_network(), open, "{text}");
        }
    }

    #[test]
    fn host_names() {
        for (text, is_host_name) in [
            ("127.0.0.1:4000", false),
            ("[::1]:4000", false),
            ("::1:4000", false),
            ("[fe80::1%2]:4000", false),
            ("[fe80::1%eth0]:4000", false),
            ("/run/a.sock", false),
            ("localhost:4000", true),
            ("tcp:unix:1", true),
        ] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.is_host_name(), is_host_name, "{text}");
        }
    }
}

//! Where an SCGI server listens: one type for TCP and Unix sockets.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use std::path::PathBuf;
use std::string::{String, ToString};

/// The address of an SCGI server.
///
/// As text: `host:port` or `tcp:host:port` for TCP; `unix:PATH`, or any text with a `/`, for a
/// Unix socket. `unix:@name` is an abstract address (Linux). `systemd:NAME` is a socket that
/// systemd has bound for this service, for servers built with the feature `systemd`.
///
/// # Examples
/// ```
/// use scgi_proto::Address;
/// assert_eq!("localhost:4000".parse(), Ok(Address::Tcp("localhost:4000".into())));
/// assert_eq!("/run/app.sock".parse(), Ok(Address::Unix("/run/app.sock".into())));
/// assert_eq!("unix:app.sock".parse::<Address>()?.to_string(), "unix:app.sock");
/// assert!("4000".parse::<Address>().is_err());
/// # Ok::<(), scgi_proto::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host name or IP address with a port, to be resolved.
    Tcp(String),
    /// The path of a Unix socket; one that begins with `@` is abstract.
    Unix(PathBuf),
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

    /// Whether it is a host name, which has to be resolved first: that may take long, and blocks.
    ///
    /// # Examples
    /// ```
    /// use scgi_proto::Address;
    /// assert!("localhost:4000".parse::<Address>()?.is_host_name());
    /// assert!(!"[::1]:4000".parse::<Address>()?.is_host_name());
    /// assert!(!"unix:app.sock".parse::<Address>()?.is_host_name());
    /// # Ok::<(), scgi_proto::AddressError>(())
    /// ```
    #[must_use]
    pub fn is_host_name(&self) -> bool {
        let Self::Tcp(address) = self else { return false };
        address.parse::<SocketAddr>().is_err()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(AddressError) } else { Ok(Self::Unix(path.into())) };
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            return if name.is_empty() {
                Err(AddressError)
            } else {
                Ok(Self::Systemd(name.into()))
            };
        }
        let (tcp, explicit) = match text.strip_prefix("tcp:") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if !explicit && tcp.contains('/') {
            return Ok(Self::Unix(tcp.into()));
        }
        match tcp.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(tcp.to_string()))
            }
            _ => Err(AddressError),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address.to_string())
    }
}

/// The text is no [`Address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressError;

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address is host:port, tcp:host:port, a path with a slash, unix:path, or systemd:name")
    }
}

impl core::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let tcp = |text: &str| Ok(Address::Tcp(text.into()));
        let unix = |text: &str| Ok(Address::Unix(text.into()));
        for (text, expected) in [
            ("127.0.0.1:4000", tcp("127.0.0.1:4000")),
            ("tcp:127.0.0.1:4000", tcp("127.0.0.1:4000")),
            ("tcp:[::1]:4000", tcp("[::1]:4000")),
            ("[::1]:0", tcp("[::1]:0")),
            ("./a.sock", unix("./a.sock")),
            ("/run/a:1", unix("/run/a:1")),
            ("unix:a.sock", unix("a.sock")),
            ("unix:/a/b", unix("/a/b")),
            ("unix:@name", unix("@name")),
            ("systemd:web", Ok(Address::Systemd("web".into()))),
            ("systemd:", Err(AddressError)),
            ("", Err(AddressError)),
            ("unix:", Err(AddressError)),
            ("localhost", Err(AddressError)),
            ("a.sock", Err(AddressError)),
            (":4000", Err(AddressError)),
            ("localhost:70000", Err(AddressError)),
            ("tcp:/run/a.sock", Err(AddressError)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
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
            ("0.0.0.0:4000", true),
            ("[::]:4000", true),
            ("192.0.2.1:4000", true),
            ("example.org:4000", true),
        ] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.is_open_to_network(), open, "{text}");
        }
    }
}

//! Where an SCGI server listens: one type for TCP and Unix sockets.

use core::fmt;
use core::str::FromStr;
use std::path::PathBuf;
use std::string::{String, ToString};

/// The address of an SCGI server.
///
/// As text: `host:port` or `tcp:host:port` for TCP; `unix:PATH`, or any text with a `/`, for a
/// Unix socket. `unix:@name` is an abstract address (Linux).
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
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(AddressError) } else { Ok(Self::Unix(path.into())) };
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
        }
    }
}

impl From<core::net::SocketAddr> for Address {
    fn from(address: core::net::SocketAddr) -> Self {
        Self::Tcp(address.to_string())
    }
}

/// The text is no [`Address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressError;

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address is host:port, tcp:host:port, a path with a slash, or unix:path")
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
}

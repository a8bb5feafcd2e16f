//! A listener of a socket that a parent process made, whichever way it was passed.

use std::format;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::net::bound::Bound;

/// A listener of a socket that was passed as descriptor `number`.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if it is not a listening stream socket.
pub(super) fn listener(socket: OwnedFd, number: u32) -> io::Result<Bound> {
    let invalid = |text: &str| {
        let text = format!("descriptor {number} is {text}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    match sockopt::socket_type(&socket) {
        Ok(SocketType::STREAM) => {}
        Ok(_) => return Err(invalid("not a stream socket (ListenStream= of systemd)")),
        Err(_) => {
            return Err(invalid(
                "not a socket; start this program with spawn-fcgi, bin-path of lighttpd, or \
                 systemd",
            ));
        }
    }
    if rustix::net::getpeername(&socket).is_ok() {
        return Err(invalid(
            "an accepted connection, not a listening socket; say Accept=no in the socket unit of \
             systemd, or `wait` in inetd.conf",
        ));
    }
    if !is_listening(&socket) {
        return Err(invalid("a socket that does not listen"));
    }
    match rustix::net::getsockname(&socket)?.address_family() {
        AddressFamily::UNIX => Ok(Bound::Unix(UnixListener::from(socket), None)),
        AddressFamily::INET | AddressFamily::INET6 => Ok(Bound::Tcp(TcpListener::from(socket))),
        _ => Err(invalid("a socket of neither TCP nor Unix")),
    }
}

#[cfg(not(target_vendor = "apple"))]
fn is_listening(socket: &OwnedFd) -> bool {
    sockopt::socket_acceptconn(socket).unwrap_or(true)
}

/// The system does not say.
#[cfg(target_vendor = "apple")]
fn is_listening(_: &OwnedFd) -> bool {
    true
}

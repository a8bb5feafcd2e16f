//! Listening sockets that a parent process has passed as descriptors: `fd:N`.

use std::format;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;

use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::net::bind::Bound;

/// Takes over descriptor `number`.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if it is not a listening stream socket;
/// [`io::ErrorKind::Unsupported`] if it cannot be taken without `unsafe` here.
pub(super) fn take(number: u32) -> io::Result<Bound> {
    if number == 0 {
        // Descriptor 0 stays open beside this one.
        return listener(io::stdin().as_fd().try_clone_to_owned()?, 0);
    }
    #[cfg(feature = "systemd")]
    if let Some(taken) = crate::net::passed::take_number(number) {
        return taken;
    }
    listener(duplicate(number)?, number)
}

/// Another descriptor of the same socket, which `std` cannot make from a number without `unsafe`.
#[cfg(target_os = "linux")]
fn duplicate(number: u32) -> io::Result<OwnedFd> {
    use rustix::io::Errno;
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let copied = i32::try_from(number).map_err(|_| Errno::BADF).and_then(|number| {
        // What a debugger does to another process. The system makes the descriptor.
        let process = pidfd_open(getpid(), PidfdFlags::empty())?;
        pidfd_getfd(process, number, PidfdGetfdFlags::empty())
    });
    copied.map_err(|error| match error {
        Errno::BADF => {
            let text = format!("descriptor {number} is not open: no program passed a socket there");
            io::Error::new(io::ErrorKind::NotFound, text)
        }
        // Linux before 5.6, or a sandbox.
        _ => unsupported(number),
    })
}

#[cfg(not(target_os = "linux"))]
fn duplicate(number: u32) -> io::Result<OwnedFd> {
    Err(unsupported(number))
}

fn unsupported(number: u32) -> io::Error {
    let text = format!(
        "descriptor {number} cannot be taken over safely on this system; pass the socket as \
         descriptor 0 (fd:0), or with LISTEN_FDS"
    );
    io::Error::new(io::ErrorKind::Unsupported, text)
}

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

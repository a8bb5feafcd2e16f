//! Binding listeners: the same for every adapter.

use std::io;
use std::net::TcpListener;

use crate::net::address::{Address, ToAddress};
use crate::net::bound::Bound;
use crate::net::options::BindOptions;
#[cfg(unix)]
use crate::net::{inherited, unix};

/// Binds `address` with default options; see [`bind_with`].
///
/// # Errors
/// As [`bind_with`].
///
/// # Examples
/// ```
/// use scgi_proto::{Bound, bind};
/// let Bound::Tcp(listener) = bind("127.0.0.1:0")? else { panic!() };
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bind(address: impl ToAddress) -> io::Result<Bound> {
    bind_with(address, &BindOptions::default())
}

/// Binds `address` and listens. This may block: a host name is looked up, and the start of
/// another server in the same folder is waited for, up to a second.
///
/// # Unix sockets
/// The socket is bound at its path, so that the system knows it by that name.
///
/// - A stale socket file is replaced: one that no process has bound. A socket in use is refused,
///   also if it does not accept or does not listen yet. A file that is not a socket is never
///   touched. The question disturbs no server: it is a connect of a datagram socket.
/// - Of several programs that start at the same time, one wins. While it starts, each holds the
///   lock of the folder (flock). If it cannot have that lock, it starts without it and logs a
///   warning.
/// - On Linux, the file never has wider rights than those asked for. Other systems make the file
///   with the rights that the umask leaves and change them before the socket listens. No one can
///   connect before that.
/// - At the end, the path has to lead to this socket. Some file systems make the file but do not
///   connect it to the socket.
///
/// # Errors
/// - [`io::ErrorKind::AddrInUse`] if another server uses that address, or took it meanwhile.
/// - [`io::ErrorKind::AlreadyExists`] if there is a file that is not a socket.
/// - [`io::ErrorKind::AddrNotAvailable`] if the path does not lead to the socket.
/// - [`io::ErrorKind::InvalidInput`] if a descriptor is not a listening socket, for example an
///   accepted connection (`Accept=yes` of systemd).
/// - [`io::ErrorKind::NotFound`] if systemd passed no socket of that name.
/// - [`io::ErrorKind::Unsupported`] for a Unix socket or a descriptor where there are none.
/// - Others from the system. Errors of a Unix socket begin with its path.
pub fn bind_with(address: impl ToAddress, options: &BindOptions) -> io::Result<Bound> {
    bind_or_wait(&address.to_address()?, options, true)
}

/// As [`bind_with`], but it never waits: for asynchronous programs.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if it would have to wait; then call [`bind_with`] on a thread
/// that may block. Others as of [`bind_with`].
///
/// # Examples
/// ```
/// use scgi_proto::{BindOptions, try_bind_with};
/// // It has to be looked up.
/// let error = try_bind_with("localhost:0", &BindOptions::default()).unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
/// ```
pub fn try_bind_with(address: impl ToAddress, options: &BindOptions) -> io::Result<Bound> {
    let address = address.to_address()?;
    if address.is_host_name() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    bind_or_wait(&address, options, false)
}

#[cfg(unix)]
fn bind_or_wait(address: &Address, options: &BindOptions, may_wait: bool) -> io::Result<Bound> {
    match address {
        Address::Tcp(_) => {
            let listener = TcpListener::bind(&address.resolve()?[..])?;
            // It listens already, with the short queue of `std`.
            rustix::net::listen(&listener, options.backlog())?;
            Ok(Bound::Tcp(listener))
        }
        Address::Unix(path) => unix::bind(path, options, may_wait),
        Address::Fd(number) => inherited::take(*number),
        #[cfg(feature = "systemd")]
        Address::Systemd(name) => crate::net::passed::take_named(name),
        #[cfg(not(feature = "systemd"))]
        Address::Systemd(_) => {
            let text = "sockets of systemd need the feature `systemd`";
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        }
    }
}

#[cfg(not(unix))]
fn bind_or_wait(address: &Address, options: &BindOptions, _: bool) -> io::Result<Bound> {
    match address {
        Address::Tcp(_) => {
            let listener = TcpListener::bind(&address.resolve()?[..])?;
            // It listens already, with the short queue of `std`.
            socket2::SockRef::from(&listener).listen(options.backlog())?;
            Ok(Bound::Tcp(listener))
        }
        Address::Unix(_) | Address::Fd(_) | Address::Systemd(_) => {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

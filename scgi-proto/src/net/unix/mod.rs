//! Binding a Unix socket at its path.

pub(super) mod file;
mod lock;
mod probe;
mod rights;

use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::string::String;
use std::thread;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

pub use file::SocketFile;
use lock::FolderLock;
use probe::Occupant;
use rights::Rights;

use crate::net::bound::Bound;
use crate::net::options::BindOptions;

/// The bytes of a path that the system accepts for a socket.
const MAX_PATH: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// How often a stale file is removed before the path counts as in use: others may put new ones
/// there.
const TRIES: usize = 16;

/// Without the lock, how long another program has to replace the file of this one by mistake
/// before that is checked. It takes some microseconds from its look at the stale file.
const SETTLING: Duration = Duration::from_millis(20);

/// Binds a Unix socket, by name or abstract, and listens.
///
/// # Errors
/// As [`bind_with`](crate::bind_with); [`io::ErrorKind::WouldBlock`] if it may not wait but has
/// to.
pub(super) fn bind(path: &Path, options: &BindOptions, may_wait: bool) -> io::Result<Bound> {
    if is_abstract(path) {
        let listener = UnixListener::bind_addr(&unix_address(path)?)?;
        rustix::net::listen(&listener, options.backlog())?;
        return Ok(Bound::Unix(listener, None));
    }
    bind_file(path, options, may_wait).map_err(|error| {
        let text: String = std::format!("{}: {error}", path.display());
        io::Error::new(error.kind(), text)
    })
}

fn bind_file(path: &Path, options: &BindOptions, may_wait: bool) -> io::Result<Bound> {
    unix_address(path).map_err(advised)?;
    let address = SocketAddrUnix::new(path)?;
    let rights = Rights::new(options);
    let lock = match may_wait {
        true => FolderLock::wait(path),
        false => Some(FolderLock::try_now(path).ok_or(io::ErrorKind::WouldBlock)?),
    };
    let socket = new_socket()?;
    rights.narrow(&socket)?;
    replace_stale(path, || Ok(rustix::net::bind(&socket, &address)?))?;
    // From here on, it is removed if something fails.
    let file = SocketFile::made_at(path)?;
    rights.widen(path, &file)?;
    rustix::net::listen(&socket, options.backlog())?;
    if lock.is_none() {
        thread::sleep(SETTLING);
    }
    check_reachable(path, &file)?;
    Ok(Bound::Unix(UnixListener::from(socket), Some(file)))
}

fn new_socket() -> io::Result<OwnedFd> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        use rustix::net::SocketFlags;
        let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
        Ok(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        Ok(socket)
    }
}

/// Binds, and removes a stale socket file that is in the way.
fn replace_stale(path: &Path, mut bind: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    for _ in 0..TRIES {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => probe::remove_stale(path)?,
            bound => return bound.map_err(advised),
        }
    }
    Err(probe::in_use())
}

/// Checks that whoever connects to the path reaches this socket.
fn check_reachable(path: &Path, file: &SocketFile) -> io::Result<()> {
    let lost = || {
        let text = "another program has replaced the file of this server meanwhile; start one of \
                    them at a time, or choose another path";
        io::Error::new(io::ErrorKind::AddrInUse, text)
    };
    match probe::occupant(path)? {
        // Only the rights say whom to ask: perhaps this process may not connect to itself.
        Occupant::StreamSocket | Occupant::Unknown if file.is_there() => Ok(()),
        Occupant::Nobody if file.is_there() => {
            let text = "the file was made, but connecting to it does not reach this server: this \
                        file system cannot hold sockets; choose a path on another one, such as /run";
            Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text))
        }
        _ => Err(lost()),
    }
}

/// An error in making a socket's file, with what to do about it.
fn advised(error: io::Error) -> io::Error {
    let too_long;
    let advice = match Errno::from_io_error(&error) {
        Some(Errno::ACCESS) => "the user of this process may not create files in that folder",
        Some(Errno::NOENT) => "that folder does not exist; create it first",
        Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
            "sockets cannot be made there; choose a path on another file system, such as /run"
        }
        // Found by `std`.
        None if error.kind() == io::ErrorKind::InvalidInput => {
            too_long = std::format!("choose a path of at most {MAX_PATH} bytes");
            &too_long
        }
        _ => return error,
    };
    io::Error::new(error.kind(), std::format!("{error}: {advice}"))
}

/// Whether the address is in Linux's abstract namespace: `@name`.
fn is_abstract(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    cfg!(target_os = "linux") && path.as_os_str().as_bytes().starts_with(b"@")
}

/// The socket address of a path, which may be abstract.
///
/// # Errors
/// If the path is too long for one.
pub fn unix_address(path: &Path) -> io::Result<std::os::unix::net::SocketAddr> {
    use std::os::unix::net::SocketAddr;
    #[cfg(target_os = "linux")]
    if is_abstract(path) {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        return SocketAddr::from_abstract_name(&path.as_os_str().as_bytes()[1..]);
    }
    SocketAddr::from_pathname(path)
}

// Miri knows no Unix sockets.
#[cfg(all(test, not(miri)))]
mod tests;

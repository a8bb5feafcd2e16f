//! Binding listeners: the one piece of I/O that all adapters share.
//!
//! It stands here because the rules of socket files are the same for every runtime and would
//! otherwise stand three times.

use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::{
    fs::{FileTypeExt, MetadataExt},
    net::{UnixListener, UnixStream},
};
use std::path::{Path, PathBuf};
use std::string::String;

use crate::address::Address;

/// A bound listener of the standard library, for an adapter to take over.
#[derive(Debug)]
pub enum Bound {
    /// A TCP listener.
    Tcp(TcpListener),
    /// A listener on a Unix socket, and its file unless the address is abstract.
    #[cfg(unix)]
    Unix(UnixListener, Option<SocketFile>),
}

/// Binds `address`; a host name is resolved, which may block.
///
/// The file of a Unix socket on which nobody answers any more is replaced. One on which somebody
/// answers is refused, and a file that is no socket is never touched.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] if another server listens there;
/// [`io::ErrorKind::AlreadyExists`] if the path is no socket;
/// [`io::ErrorKind::Unsupported`] for a Unix socket where there are none; others from the system.
///
/// # Examples
/// ```
/// use scgi_proto::{Address, Bound, bind};
/// let Bound::Tcp(listener) = bind(&"127.0.0.1:0".parse()?)? else { panic!() };
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bind(address: &Address) -> io::Result<Bound> {
    match address {
        Address::Tcp(address) => TcpListener::bind(address.as_str()).map(Bound::Tcp),
        #[cfg(unix)]
        Address::Unix(path) => bind_unix(path),
        #[cfg(not(unix))]
        Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(unix)]
fn bind_unix(path: &Path) -> io::Result<Bound> {
    if is_abstract(path) {
        let listener = UnixListener::bind_addr(&unix_address(path)?)?;
        return Ok(Bound::Unix(listener, None));
    }
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
    .map_err(|error| at(path, &error))
    .and_then(|listener| Ok(Bound::Unix(listener, Some(SocketFile::of(path)?))))
}

/// Whether the address is in Linux's abstract namespace: `@name`.
#[cfg(unix)]
fn is_abstract(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    cfg!(target_os = "linux") && path.as_os_str().as_bytes().starts_with(b"@")
}

/// The socket address of a path, which may be abstract.
///
/// # Errors
/// If the path is too long for one.
#[cfg(unix)]
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

/// Removes a socket on which nobody answers.
#[cfg(unix)]
fn remove_stale(path: &Path) -> io::Result<()> {
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        let text = std::format!("{} exists and is no socket; it is not touched", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => Err(at(path, &error)),
        Ok(_) => {
            let text = std::format!("another server listens on {}", path.display());
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
    }
}

/// An error with the path it is about.
#[cfg(unix)]
fn at(path: &Path, error: &io::Error) -> io::Error {
    let text: String = std::format!("{}: {error}", path.display());
    io::Error::new(error.kind(), text)
}

/// The file of a bound Unix socket, removed when dropped if it is still the same file.
#[cfg(unix)]
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

#[cfg(unix)]
impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_path_buf(), inode: Self::inode(path)? })
    }

    fn inode(path: &Path) -> io::Result<(u64, u64)> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another server may have taken the place; then the file is not ours to remove.
        if Self::inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

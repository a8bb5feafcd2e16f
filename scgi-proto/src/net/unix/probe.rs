//! Finds out whether a program uses a path, without disturbing that program.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::io::Errno;

use super::file::FileId;

/// Who is bound at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occupant {
    /// A stream socket, whether it listens or not.
    StreamSocket,
    /// A socket of another kind.
    OtherSocket,
    /// No socket of a running process.
    Nobody,
    /// This process may not ask.
    Unknown,
    /// The file is not there.
    NoFile,
}

/// Asks who is bound at `path`.
///
/// It connects a datagram socket, which a stream socket cannot accept: the server there is not
/// disturbed, and a full backlog does not delay the answer.
pub(super) fn occupant(path: &Path) -> io::Result<Occupant> {
    let Err(error) = UnixDatagram::unbound()?.connect(path) else {
        return Ok(Occupant::OtherSocket);
    };
    match Errno::from_io_error(&error) {
        Some(Errno::PROTOTYPE) => Ok(Occupant::StreamSocket),
        Some(Errno::CONNREFUSED) => Ok(Occupant::Nobody),
        Some(Errno::ACCESS | Errno::PERM) => Ok(Occupant::Unknown),
        Some(Errno::NOENT) => Ok(Occupant::NoFile),
        _ => Err(error),
    }
}

/// Removes a socket file that no process is bound to.
///
/// # Errors
/// If it is in use, or not a socket.
pub(super) fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() {
        let text = "there is a file that is not a socket, and it is not touched; remove it, or \
                    choose another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match occupant(path)? {
        Occupant::Nobody => {}
        Occupant::NoFile => return Ok(()),
        Occupant::StreamSocket | Occupant::OtherSocket => return Err(in_use()),
        Occupant::Unknown => {
            let text = "there is a socket of another user, and this one may not ask whether a \
                        server uses it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
    }
    remove_unchanged(path, FileId::of(&metadata))
}

/// Removes the file if it is the one that was looked at: a program that starts without the lock
/// may have replaced it.
fn remove_unchanged(path: &Path, seen: FileId) -> io::Result<()> {
    let removed = FileId::at(path).and_then(|id| match id == seen {
        true => std::fs::remove_file(path),
        false => Ok(()),
    });
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The path belongs to a running server.
pub(super) fn in_use() -> io::Error {
    let text = "another server listens there; stop it first, or choose another path";
    io::Error::new(io::ErrorKind::AddrInUse, text)
}

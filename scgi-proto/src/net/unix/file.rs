//! The file of a bound Unix socket.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// What tells a file from another one at the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// The file at a path; symbolic links are not followed.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        std::fs::symlink_metadata(path).map(|metadata| Self::of(&metadata))
    }
}

/// The file of a bound Unix socket, removed when dropped if it is still the same file.
///
/// Drop it before the listener: as long as the socket is bound, no starting server takes the file
/// for a stale one and replaces it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    id: FileId,
}

impl SocketFile {
    /// The file that was just made at a path.
    ///
    /// # Errors
    /// If there is none or another one already.
    pub(super) fn made_at(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        // A second name would mean that it is the socket of another service: anyone who may write
        // to the folder can put a link to it there.
        if !metadata.file_type().is_socket() || metadata.nlink() > 1 {
            let text = "another program has replaced the file of this server meanwhile";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        Ok(Self { path: path.to_path_buf(), id: FileId::of(&metadata) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn id(&self) -> FileId {
        self.id
    }

    /// Whether it is still at its path.
    pub(super) fn is_there(&self) -> bool {
        FileId::at(&self.path).is_ok_and(|id| id == self.id)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another server may have taken the place; then the file is not ours to remove.
        if self.is_there() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

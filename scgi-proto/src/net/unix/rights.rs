//! Sets owner, group and mode of a socket's file.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::file::SocketFile;
use crate::net::options::BindOptions;

/// The rights that a program asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    /// `None` if the umask decides.
    mode: Option<u32>,
    owner: Option<u32>,
    group: Option<u32>,
}

impl Rights {
    pub(super) fn new(options: &BindOptions) -> Self {
        let BindOptions { mut mode, owner, group, .. } = *options;
        if mode.is_none() && (owner.is_some() || group.is_some()) {
            // Narrow until the owner is set, it must be widened to what the umask leaves.
            mode = umask().map(|umask| 0o777 & !umask);
        }
        Self { mode, owner, group }
    }

    fn changes_owner(&self) -> bool {
        self.owner.is_some() || self.group.is_some()
    }

    /// Sets the mode with which the file will be made: never a wider one than that asked for,
    /// and none at all as long as the owner is another one.
    ///
    /// Linux takes it from the socket, less the umask. Other systems have no such thing.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn narrow(&self, socket: &OwnedFd) -> io::Result<()> {
        let Some(mode) = self.mode else { return Ok(()) };
        let mode = if self.changes_owner() { 0 } else { mode & 0o777 };
        Ok(rustix::fs::fchmod(socket, rustix::fs::Mode::from_raw_mode(mode))?)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
    pub(super) fn narrow(&self, _: &OwnedFd) -> io::Result<()> {
        Ok(())
    }

    /// Sets the owner of the file and then its mode; symbolic links are not followed.
    pub(super) fn widen(&self, path: &Path, file: &SocketFile) -> io::Result<()> {
        if self.mode.is_none() && !self.changes_owner() {
            return Ok(());
        }
        self.apply(path, file)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn apply(&self, path: &Path, file: &SocketFile) -> io::Result<()> {
        use std::fs::{File, Permissions};
        use std::os::fd::AsRawFd as _;
        use std::os::unix::fs::PermissionsExt as _;

        use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Whatever happens to the path from here on, this is the file that is changed.
        let opened = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        if super::file::FileId::of(&opened.metadata()?) != file.id() {
            return Err(super::probe::in_use());
        }
        if self.changes_owner() {
            let (owner, group) = (self.owner.map(Uid::from_raw), self.group.map(Gid::from_raw));
            rustix::fs::chownat(&opened, "", owner, group, AtFlags::EMPTY_PATH)?;
        }
        let Some(mode) = self.mode else { return Ok(()) };
        if opened.metadata()?.permissions().mode() & 0o7777 == mode {
            return Ok(());
        }
        // fchmod does not take a descriptor of this kind, but chmod takes its name in /proc.
        let name = std::format!("/proc/self/fd/{}", opened.as_raw_fd());
        match std::fs::set_permissions(name, Permissions::from_mode(mode)) {
            // There is no /proc in some jails. Only there, a user who may write to the folder
            // could put a symbolic link in the way in this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::set_permissions(path, Permissions::from_mode(mode))
            }
            set => set,
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn apply(&self, path: &Path, file: &SocketFile) -> io::Result<()> {
        use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid};

        // Between this and the changes, only who may write to the folder could put another file
        // there; a symbolic link is not followed.
        if !file.is_there() {
            return Err(super::probe::in_use());
        }
        if self.changes_owner() {
            let (owner, group) = (self.owner.map(Uid::from_raw), self.group.map(Gid::from_raw));
            rustix::fs::chownat(CWD, path, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if let Some(mode) = self.mode.and_then(|mode| mode.try_into().ok()) {
            let mode = Mode::from_raw_mode(mode);
            rustix::fs::chmodat(CWD, path, mode, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }
}

/// The bits that this process takes from the mode of new files, where the system says so.
/// (umask(2) would have to change them to tell.)
fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(umask.trim(), 8).ok()
}

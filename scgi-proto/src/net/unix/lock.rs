//! Locks a folder, so that only one program at a time replaces a stale socket in it.

use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::Instant;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// The longest wait for the lock. Anyone who may read the folder can hold it, so it must not decide
/// whether a server starts; a server that starts holds it for less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the lock is tried meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// The lock of a folder, held until it is dropped.
#[derive(Debug)]
pub(super) struct FolderLock {
    /// The system frees the lock when this is closed.
    _folder: OwnedFd,
}

impl FolderLock {
    /// Takes the lock of the folder of `path` if it is free.
    pub(super) fn try_now(path: &Path) -> Option<Self> {
        let folder = open_folder(path).ok()?;
        try_lock(&folder).ok()?;
        Some(Self { _folder: folder })
    }

    /// Waits for the lock of the folder of `path` for a bounded time. `None` if it cannot be
    /// had; that is logged.
    pub(super) fn wait(path: &Path) -> Option<Self> {
        let folder = open_folder(path).map_err(|error| warn(path, &error)).ok()?;
        let begun = Instant::now();
        loop {
            match try_lock(&folder) {
                Ok(()) => return Some(Self { _folder: folder }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE => thread::sleep(PAUSE),
                Err(error) => {
                    warn(path, &error.into());
                    return None;
                }
            }
        }
    }
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

fn try_lock(folder: &OwnedFd) -> rustix::io::Result<()> {
    rustix::fs::flock(folder, FlockOperation::NonBlockingLockExclusive)
}

/// Reports that a server starts without the lock.
#[cfg(feature = "tracing")]
fn warn(path: &Path, error: &io::Error) {
    // A folder that does not exist is the error of the bind itself.
    if error.kind() != io::ErrorKind::NotFound {
        tracing::warn!(
            target: "scgi",
            path = %path.display(),
            %error,
            "starting without the lock of the folder: do not start two servers on this path at the same time"
        );
    }
}

#[cfg(not(feature = "tracing"))]
fn warn(_: &Path, _: &io::Error) {}

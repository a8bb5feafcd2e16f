//! Three backends behind one front server, which spreads the requests and goes round a backend
//! that is gone: so they can be restarted one by one without a failed request.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::fs::{Permissions, set_permissions};
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;

use tempfile::TempDir;

use crate::front::Front;
use crate::process::{Running, free_port, scratch_dir};

/// How long the configurations leave a backend alone that failed once (`fail_timeout`, `retry`),
/// and a little more: restarting the next one before that would leave none.
const LEFT_ALONE: Duration = Duration::from_millis(1200);

/// Where a backend listens.
#[derive(Debug, Clone)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Place {
    fn accepts(&self) -> bool {
        match self {
            Self::Tcp(address) => TcpStream::connect(address).is_ok(),
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }
}

/// A front server and its three backends, two on TCP and one on a Unix socket; all of them end
/// with the value.
#[derive(Debug)]
pub struct Fleet {
    // Declared first, so that it ends first.
    front: Front,
    backends: Vec<Backend>,
    _dir: TempDir,
}

/// Makes the command that starts a backend on an address.
type Start = dyn Fn(&str) -> Command;

struct Backend {
    place: Place,
    process: Option<Running>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Backend {
    /// Starts it and waits until it accepts connections.
    fn start(&mut self, start: &Start) -> io::Result<()> {
        let mut process = Running::spawn(&mut start(&self.place.to_string()))?;
        process.wait_until(|| self.place.accepts())?;
        if let Place::Unix(path) = &self.place {
            // The front server may run as another user.
            set_permissions(path, Permissions::from_mode(0o777))?;
        }
        self.process = Some(process);
        Ok(())
    }
}

impl Fleet {
    /// Starts three backends and a front server: [`Front::nginx_fleet`] or
    /// [`Front::apache_fleet`].
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start(
        backend: &Start,
        front: fn([SocketAddr; 2], &Path) -> io::Result<Front>,
    ) -> io::Result<Self> {
        let dir = scratch_dir()?;
        let unix = dir.path().join("backend.sock");
        let tcp = || io::Result::Ok(SocketAddr::from(([127, 0, 0, 1], free_port()?)));
        let tcp = [tcp()?, tcp()?];
        let places = [Place::Tcp(tcp[0]), Place::Tcp(tcp[1]), Place::Unix(unix.clone())];
        let mut backends = Vec::new();
        for place in places {
            let mut one = Backend { place, process: None };
            one.start(backend)?;
            backends.push(one);
        }
        Ok(Self { front: front(tcp, &unix)?, backends, _dir: dir })
    }

    /// Where the front server listens.
    #[must_use]
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Restarts the backends one by one: each finishes what it has, ends, is started again, and is
    /// back in the front server's choice before the next. Returns how each of them ended.
    ///
    /// # Errors
    /// When one does not end or does not start again.
    pub fn restart(&mut self, start: &Start) -> io::Result<Vec<ExitStatus>> {
        let mut ends = Vec::new();
        for backend in &mut self.backends {
            if let Some(process) = backend.process.take() {
                ends.push(process.stop()?);
            }
            backend.start(start)?;
            thread::sleep(LEFT_ALONE);
        }
        Ok(ends)
    }

    /// Kills one backend without warning; [`revive`](Self::revive) starts it again.
    ///
    /// # Errors
    /// When the system refuses.
    ///
    /// # Panics
    /// If there is no such backend.
    pub fn kill(&mut self, index: usize) -> io::Result<()> {
        self.backends[index].process.take().map_or(Ok(()), Running::kill)
    }

    /// Starts a backend that was killed, and waits until it is back in the front server's choice.
    ///
    /// # Errors
    /// When it does not start.
    ///
    /// # Panics
    /// If there is no such backend.
    pub fn revive(&mut self, index: usize, start: &Start) -> io::Result<()> {
        self.backends[index].start(start)?;
        thread::sleep(LEFT_ALONE);
        Ok(())
    }
}

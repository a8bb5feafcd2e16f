//! Starting real servers for as long as a value lives, and finding out whether they are installed.

use core::sync::atomic::{AtomicU16, Ordering};
use core::time::Duration;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Set to `1` where a missing program must fail the test instead of skipping it.
pub const REQUIRE_VAR: &str = "SCGI_REQUIRE_PEERS";

/// Names the Python interpreter that has the packages `scgi` and `flup`; `python3` when not set.
pub const PYTHON_VAR: &str = "SCGI_PEERS_PYTHON";

/// Long enough for a loaded CI machine; all of these servers start within a second.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Apache gives its own workers a few seconds before it stops them the hard way.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Whether a test that needs `program` may run.
///
/// `program` is the name of an executable, or `perl MODULE` or `python MODULE`. When it is missing the answer is
/// `false`, and standard error says so past the test runner's capture: a skipped test must not look like a passed
/// one.
///
/// # Panics
/// If the program is missing and [`REQUIRE_VAR`] is `1`, as it is in CI.
#[must_use]
pub fn required(program: &str) -> bool {
    if is_installed(program) {
        return true;
    }
    let must = env::var_os(REQUIRE_VAR).is_some_and(|value| value == "1");
    assert!(
        !must,
        "{program} is not installed, and {REQUIRE_VAR}=1 does not allow to skip this test"
    );
    // Not `eprintln!`, which the test runner swallows. Nothing is left to do if standard error is closed.
    let _ = writeln!(io::stderr(), "SKIPPED: {program} is not installed");
    false
}

fn is_installed(program: &str) -> bool {
    match program.split_once(' ') {
        Some(("perl", module)) => succeeds("perl".as_ref(), &[&format!("-M{module}"), "-e1"]),
        // -I: a folder of that name where the tests run is not taken for a module.
        Some(("python", module)) => {
            succeeds(&peers_python(), &["-I", "-c", &format!("import {module}")])
        }
        _ => find_program(program).is_ok(),
    }
}

fn succeeds(program: &OsStr, args: &[&str]) -> bool {
    let quiet =
        |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet(Command::new(program).args(args)).is_ok_and(|status| status.success())
}

pub(crate) fn peers_python() -> std::ffi::OsString {
    env::var_os(PYTHON_VAR).unwrap_or_else(|| "python3".into())
}

/// Looks for an executable in `PATH` and, because a plain user's `PATH` often lacks them, in the `sbin` folders.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] with the name of the program.
pub fn find_program(name: &str) -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(sbin)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name} is not installed")))
}

/// A fresh folder that a server running as another user can enter, removed when the value is dropped.
///
/// # Errors
/// When the folder cannot be made.
pub fn scratch_dir() -> io::Result<TempDir> {
    let dir = tempfile::Builder::new().prefix("scgi-").tempdir()?;
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
    Ok(dir)
}

/// A port of 127.0.0.1 on which nothing listens.
///
/// The servers take a number, not a socket, so another program could get in between. These ports lie below the
/// range from which the kernel serves everyone who asks for "any port", and no two calls of a process get the same.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] when no port is free.
pub fn free_port() -> io::Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);

    // Test programs that run at the same time start at different places.
    let offset = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (offset + turn) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port"))
}

/// A program that is stopped, and waited for, when the value is dropped.
///
/// It is not put into a process group of its own: so Ctrl-C on a test run ends the servers too.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    output: Option<PathBuf>,
}

impl Running {
    /// Starts a program whose output goes where the command says.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let explain = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot start {name}: {error}"))
        };
        let child = command.stdin(Stdio::null()).spawn().map_err(explain)?;
        Ok(Self { child, name, output: None })
    }

    /// Starts a program in the folder `dir`, its output going to the file `output.log` there.
    pub(crate) fn spawn_in(dir: &Path, command: &mut Command) -> io::Result<Self> {
        let path = dir.join("output.log");
        let output = File::create(&path)?;
        command.current_dir(dir).stdout(output.try_clone()?).stderr(output);
        let mut running = Self::spawn(command)?;
        running.output = Some(path);
        Ok(running)
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` says yes.
    ///
    /// # Errors
    /// When the program ends before that or takes more than 20 seconds; the text holds what it printed.
    pub fn wait_until(&mut self, ready: impl Fn() -> bool) -> io::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            // In this order: a program that found its port taken must not pass for the one that took it.
            let is_ready = ready();
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failure(&format!("ended early ({status})")));
            }
            if is_ready {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.failure("did not get ready in time"));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn failure(&self, what: &str) -> io::Error {
        let output = self.output.as_deref().map(read_lossy).unwrap_or_default();
        io::Error::other(format!("{} {what}\n{output}", self.name))
    }

    /// Asks the program to end and waits for that; returns how it ended.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stop(mut self) -> io::Result<ExitStatus> {
        self.end()
    }

    /// Ends the program without warning.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Asks the program to end, waits for it, and uses force when it does not react.
    fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL_INTERVAL);
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("cannot stop {}: {error}", self.name);
        }
    }
}

/// The text of a log file that may not exist yet and may hold any byte.
pub(crate) fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

//! Reports the state of a service to systemd.

use core::time::Duration;
use std::env;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::net::unix::unix_address;

/// Reports the state of the service to systemd (`Type=notify`); without systemd it does nothing.
///
/// A report that cannot be sent immediately is dropped: a server never waits for anyone who reads
/// them.
///
/// # Examples
/// ```
/// use scgi_proto::systemd::Notifier;
/// let notifier = Notifier::from_env();
/// notifier.ready();
/// if let Some(interval) = notifier.interval() {
///     // `alive` at least this often.
///     # let _ = interval;
/// }
/// notifier.stopping();
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Notifier {
    watchdog: Option<Duration>,
}

impl Notifier {
    /// What the environment says about this process.
    #[must_use]
    pub fn from_env() -> Self {
        let is_meant = env::var("WATCHDOG_PID")
            .map_or(true, |pid| pid.parse().is_ok_and(|pid: u32| pid == std::process::id()));
        let watchdog = env::var("WATCHDOG_USEC").ok().and_then(|micros| micros.parse().ok());
        let watchdog = watchdog.filter(|micros| is_meant && *micros > 0);
        Self { watchdog: watchdog.map(Duration::from_micros) }
    }

    /// The service accepts connections.
    pub fn ready(&self) {
        self.report("READY=1");
    }

    /// The service finishes the requests in progress, and then ends.
    pub fn stopping(&self) {
        self.report("STOPPING=1");
    }

    /// The service still works. With `WatchdogSec=`, systemd restarts a service that does not
    /// report this.
    pub fn alive(&self) {
        self.report("WATCHDOG=1");
    }

    /// How often to report [`alive`](Self::alive): half the time that the unit allows, as systemd
    /// advises; `None` if it has no watchdog.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 2)
    }

    #[expect(clippy::unused_self, reason = "made from the environment first")]
    fn report(&self, state: &str) {
        // The queue is full if no one reads there; the server continues all the same.
        let _ = send(state);
    }
}

fn send(state: &str) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&unix_address(Path::new(&path))?)?;
    socket.send(state.as_bytes()).map(drop)
}

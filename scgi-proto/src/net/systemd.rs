//! What systemd gives a service, and what it wants to be told.
//!
//! Sockets that systemd has bound are addresses of their own: `systemd:NAME`, where the name is
//! `FileDescriptorName=` of the socket unit (by default the name of that unit, as in
//! `app.socket`). [`bind_with`](crate::bind_with) takes them over.

use core::time::Duration;
use std::format;
use std::io;
use std::string::String;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::vec::Vec;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::net::bind::Bound;

/// The sockets that were passed, until each is taken.
struct Sockets {
    names: Vec<String>,
    sockets: ListenFd,
}

fn sockets() -> io::Result<&'static Mutex<Sockets>> {
    static SOCKETS: OnceLock<Result<Mutex<Sockets>, String>> = OnceLock::new();
    let found = SOCKETS.get_or_init(|| {
        // Names first: taking the sockets marks them as taken.
        let names = sd_notify::listen_fds_with_names().map_err(|error| format!("{error}"))?;
        let names = names.map(|(_, name)| name).collect();
        Ok(Mutex::new(Sockets { names, sockets: ListenFd::from_env() }))
    });
    found.as_ref().map_err(|error| io::Error::other(error.clone()))
}

/// Takes over the socket with this name.
///
/// # Errors
/// [`io::ErrorKind::NotFound`], with the names that were passed.
pub(crate) fn bind(name: &str) -> io::Result<Bound> {
    let mut passed = sockets()?.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(place) = passed.names.iter().position(|passed| passed == name) else {
        let text = format!(
            "systemd passed no socket named {name}, but {:?}; is the socket unit started, and does \
             it say FileDescriptorName={name}?",
            passed.names
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    };
    // The wrong kind is refused and stays where it is.
    let bound = match passed.sockets.take_unix_listener(place) {
        Ok(listener) => listener.map(|listener| Bound::Unix(listener, None)),
        Err(_) => passed.sockets.take_tcp_listener(place)?.map(Bound::Tcp),
    };
    bound.ok_or_else(|| {
        let text = format!("the socket {name} of systemd is in use already");
        io::Error::new(io::ErrorKind::AddrInUse, text)
    })
}

/// Tells systemd how the service is (`Type=notify`); nothing happens without systemd.
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
    /// What the environment says of this process.
    #[must_use]
    pub fn from_env() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled() }
    }

    /// The service accepts connections.
    pub fn ready(&self) {
        self.tell(NotifyState::Ready);
    }

    /// The service finishes what runs, and then ends.
    pub fn stopping(&self) {
        self.tell(NotifyState::Stopping);
    }

    /// The service still works; `WatchdogSec=` without this, and systemd restarts it.
    pub fn alive(&self) {
        self.tell(NotifyState::Watchdog);
    }

    /// How often to say [`alive`](Self::alive): half the time that the unit allows, as systemd
    /// advises; `None` if it has no watchdog.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 2)
    }

    #[expect(clippy::unused_self, reason = "made from the environment first")]
    fn tell(&self, state: NotifyState<'_>) {
        // Whoever starts the program by hand has no systemd to tell.
        let _ = sd_notify::notify(&[state]);
    }
}

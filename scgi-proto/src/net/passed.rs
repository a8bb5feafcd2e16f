//! Sockets that a parent process passed with LISTEN_FDS: systemd, and others that do as it does.
//!
//! They are addresses of their own: `systemd:NAME`, where the name is `FileDescriptorName=` of the
//! socket unit (by default the name of that unit, as in `app.socket`), or `fd:N` with their
//! number.

use std::env;
use std::format;
use std::io;
use std::os::fd::OwnedFd;
use std::string::{String, ToString};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::vec::Vec;

use listenfd::ListenFd;

use crate::net::adopted::listener;
use crate::net::bound::Bound;

/// The sockets that were passed, until each is taken.
struct Passed {
    sockets: Vec<Socket>,
    /// The number of the first one.
    first: u32,
    descriptors: ListenFd,
    /// Why there are none although LISTEN_FDS is set.
    is_for_another: bool,
}

struct Socket {
    /// `None` if LISTEN_FDNAMES has none for it.
    name: Option<String>,
    is_taken: bool,
}

fn passed() -> &'static Mutex<Passed> {
    static PASSED: OnceLock<Mutex<Passed>> = OnceLock::new();
    PASSED.get_or_init(|| Mutex::new(Passed::from_env()))
}

/// Takes over the first socket with this name that is free.
///
/// # Errors
/// [`io::ErrorKind::NotFound`], with the names that were passed.
pub(super) fn take_named(name: &str) -> io::Result<Bound> {
    let mut passed = passed().lock().unwrap_or_else(PoisonError::into_inner);
    let place = passed.find(name)?;
    passed.take(place)
}

/// Takes over the socket with this number; `None` if no such one was passed with LISTEN_FDS.
pub(super) fn take_number(number: u32) -> Option<io::Result<Bound>> {
    let mut passed = passed().lock().unwrap_or_else(PoisonError::into_inner);
    let place = usize::try_from(number.checked_sub(passed.first)?).ok()?;
    (place < passed.sockets.len()).then(|| passed.take(place))
}

impl Passed {
    fn from_env() -> Self {
        let count = env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<usize>().ok());
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        // 3, unless an extension of systemfd says otherwise.
        let first = env::var("LISTEN_FDS_FIRST_FD").ok().and_then(|first| first.parse().ok());
        // Takes them if LISTEN_PID is that of this process, or is not set. It removes both
        // variables, so that a child does not take them too.
        let descriptors = ListenFd::from_env();
        let mut names = names.split(':').filter(|_| !names.is_empty()).map(ToString::to_string);
        let sockets = (0..descriptors.len())
            .map(|_| Socket { name: names.next(), is_taken: false })
            .collect();
        let is_for_another = descriptors.len() == 0 && count.is_some_and(|count| count > 0);
        Self { sockets, first: first.unwrap_or(3), descriptors, is_for_another }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        let is_named = |socket: &Socket| socket.name.as_deref() == Some(name);
        let free = self.sockets.iter().position(|socket| is_named(socket) && !socket.is_taken);
        if let Some(place) = free.or_else(|| self.sockets.iter().position(is_named)) {
            return Ok(place);
        }
        let text = match &self.sockets[..] {
            // Who passes one socket need not name it.
            [Socket { name: None, .. }] => return Ok(0),
            [] if self.is_for_another => {
                "LISTEN_PID is that of another process, so the sockets of LISTEN_FDS are not for \
                 this one"
                    .to_string()
            }
            [_, ..] if self.sockets.iter().all(|socket| socket.name.is_none()) => format!(
                "{} sockets were passed without names (LISTEN_FDNAMES); choose one by its number: \
                 fd:{} is the first",
                self.sockets.len(),
                self.first
            ),
            sockets => {
                let names = sockets.iter().filter_map(|socket| socket.name.as_ref());
                format!(
                    "systemd passed no socket named {name}, but {:?}; is the socket unit started, \
                     and does it say FileDescriptorName={name}?",
                    names.collect::<Vec<_>>()
                )
            }
        };
        Err(io::Error::new(io::ErrorKind::NotFound, text))
    }

    fn take(&mut self, place: usize) -> io::Result<Bound> {
        let number = self.first + u32::try_from(place).unwrap_or_default();
        // The wrong kind is refused and stays where it is.
        let socket = match self.descriptors.take_unix_listener(place) {
            Ok(socket) => socket.map(OwnedFd::from),
            Err(_) => match self.descriptors.take_tcp_listener(place) {
                Ok(socket) => socket.map(OwnedFd::from),
                Err(error) => return Err(error),
            },
        };
        self.sockets[place].is_taken = true;
        let socket = socket.ok_or_else(|| {
            let text = match &self.sockets[place].name {
                Some(name) => format!("the socket {name} of systemd is in use already"),
                None => format!("the socket passed as descriptor {number} is in use already"),
            };
            io::Error::new(io::ErrorKind::AddrInUse, text)
        })?;
        listener(socket, number)
    }
}

//! The configuration and the summary of a server, the same for every adapter: whose `Serve` holds [`ServerConfig`],
//! lets connections in by them, and returns a [`Summary`].

use core::time::Duration;
use std::boxed::Box;
use std::io;

use crate::driver::Admission;
use crate::driver::counters::Registry;
use crate::exchange::peer::Peer;
use crate::exchange::server::config::ConnectionConfig;
#[cfg(all(feature = "systemd", unix))]
use crate::net::systemd::Notifier;
use crate::server::allow_list::AllowList;

/// Time for what runs to finish after the shutdown signal, by default: less than the 90 s after
/// which systemd kills a service.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(30);

/// What a program sets before its server runs.
///
/// # Examples
/// ```
/// use scgi_proto::Peer;
/// use scgi_proto::server::ServerConfig;
///
/// let mut settings = ServerConfig::new(256);
/// settings.allow_list = settings.allow_list.with_network("10.0.0.0/8".parse()?);
/// assert_eq!(settings.max_connections(Some(1024), 4), 192); // as descriptors allow
/// let peer = |address: &str| address.parse().map(Peer::Tcp);
/// let (near, far) = (peer("10.1.2.3:4000")?, peer("192.0.2.7:4000")?);
/// assert!(settings.admit(|| Ok(near)).is_some());
/// assert!(settings.admit(|| Ok(far)).is_none());
/// let counters = settings.registry.counters();
/// assert_eq!((counters.accepted(), counters.denied()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The bounds, rules and deadlines of each connection.
    pub config: ConnectionConfig,
    max_connections: usize,
    /// Time for what runs to finish after the shutdown signal: 30 s by default.
    pub shutdown_deadline: Duration,
    /// The connections, and what is counted of them.
    pub registry: Registry,
    /// Who may connect: by default everyone.
    pub allow_list: AllowList,
    /// Whether the peer is wanted although everyone may connect.
    pub asks_peer: bool,
    /// Tells systemd how the server is.
    #[cfg(all(feature = "systemd", unix))]
    pub notifier: Option<Notifier>,
}

impl ServerConfig {
    /// The defaults, with as many connections at once as the adapter can well serve.
    #[must_use]
    pub fn new(max_connections: usize) -> Self {
        Self {
            config: ConnectionConfig::default(),
            max_connections,
            shutdown_deadline: SHUTDOWN_DEADLINE,
            registry: Registry::default(),
            allow_list: AllowList::default(),
            asks_peer: false,
            #[cfg(all(feature = "systemd", unix))]
            notifier: None,
        }
    }

    /// Sets how many connections are served at once.
    ///
    /// # Panics
    /// If that is 0.
    pub fn set_max_connections(&mut self, count: usize) {
        assert!(count > 0, "a server needs at least one connection");
        self.max_connections = count;
    }

    /// Connections served at once: no more than `descriptors` allow, where each connection
    /// takes `each` and a quarter is left to the program itself.
    ///
    /// A server that runs out of descriptors cannot accept, and its program can open no file.
    ///
    /// # Examples
    /// ```
    /// use scgi_proto::server::ServerConfig;
    /// assert_eq!(ServerConfig::new(4096).max_connections(Some(1024), 1), 768);
    /// assert_eq!(ServerConfig::new(256).max_connections(Some(1024), 1), 256);
    /// assert_eq!(ServerConfig::new(256).max_connections(None, 1), 256);
    /// assert_eq!(ServerConfig::new(256).max_connections(Some(0), 1), 1);
    /// ```
    #[must_use]
    pub fn max_connections(&self, descriptors: Option<u64>, each: u64) -> usize {
        let room = descriptors.map_or(usize::MAX, |descriptors| room(descriptors, each));
        self.max_connections.min(room)
    }

    /// How many connections a server may hold that is about to stop, those that wait included.
    pub(super) fn max_held(&self, descriptors: Option<u64>) -> usize {
        descriptors.map_or(usize::MAX, |descriptors| room(descriptors, 1))
    }

    /// Lets a connection in and counts it, unless its peer may not connect. `peer` is asked only
    /// if it must be.
    pub fn admit(&self, peer: impl FnOnce() -> io::Result<Peer>) -> Option<Admission> {
        if !self.asks_peer && self.allow_list.is_empty() {
            return Some(Admission { counted: self.registry.accept(), peer: None });
        }
        // A peer that broke the connection already is not served.
        let peer = peer().ok()?;
        if !self.allow_list.allows(&peer) {
            self.registry.deny(&peer);
            return None;
        }
        Some(Admission { counted: self.registry.accept(), peer: Some(Box::new(peer)) })
    }
}

/// How many connections descriptors allow, if each takes so many. A quarter is the program's own.
fn room(descriptors: u64, each: u64) -> usize {
    let room = (descriptors - descriptors / 4) / each.max(1);
    usize::try_from(room).unwrap_or(usize::MAX).max(1)
}

/// What a server did, reported when it has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Connections that were served, or at least begun.
    pub served: u64,
    /// Those that finished after the shutdown signal.
    pub finished: u64,
    /// Those that were aborted at the shutdown deadline.
    pub aborted: u64,
    /// Connections that were accepted after the shutdown signal, but got no place before the
    /// deadline. They were closed without an answer, and are not in `served`.
    pub without_place: u64,
    /// The time from the shutdown signal to the end of the server: how long it has waited for
    /// connections in progress.
    pub waited: Duration,
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn connections_are_bounded_by_what_is_set_and_by_descriptors() {
        let mut settings = ServerConfig::new(256);
        assert_eq!(settings.max_connections(None, 1), 256);
        settings.set_max_connections(1000);
        assert_eq!(settings.max_connections(None, 1), 1000);
        assert_eq!(settings.max_connections(Some(1024), 1), 768);
        assert_eq!(settings.max_connections(Some(1024), 2), 384);
        assert_eq!(settings.max_connections(Some(0), 1), 1);
    }

    #[test]
    fn the_peer_is_asked_for_only_where_it_matters() {
        let peer = || Peer::Tcp("192.0.2.1:80".parse().expect("an address"));
        let mut settings = ServerConfig::new(1);
        let admitted = settings.admit(|| panic!("nobody wants to know")).expect("everyone may");
        assert!(admitted.peer.is_none());
        settings.asks_peer = true;
        let admitted = settings.admit(|| Ok(peer())).expect("everyone may");
        assert_eq!(admitted.peer.map(|peer| peer.to_string()), Some(peer().to_string()));
        assert!(settings.admit(|| Err(io::ErrorKind::NotConnected.into())).is_none());
        settings.allow_list = AllowList::default().with_uid(1);
        assert!(settings.admit(|| Ok(peer())).is_none());
        let counters = settings.registry.counters();
        assert_eq!((counters.accepted(), counters.denied()), (2, 1));
    }
}

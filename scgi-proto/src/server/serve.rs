//! A server about to run: what a program sets, once for all runtimes.

use core::fmt;
use core::future::{Future, IntoFuture, pending};
use core::pin::Pin;
use core::time::Duration;
use std::boxed::Box;
use std::io;

use super::accept::{Signal, run};
use super::allow_list::AllowList;
use super::config::{ServerConfig, Summary};
use super::runtime::{Acceptor, RequestHandler, Runtime};
use crate::driver::Counters;
use crate::exchange::server::config::ConnectionConfig;
use crate::net::address::Address;
#[cfg(all(feature = "systemd", unix))]
use crate::net::systemd::Notifier;
use crate::wire::limits::Limits;

/// How many connections are served at the same time, by default: more than a front server keeps
/// open to one backend, and few enough that their memory stays within some tens of MiB.
const MAX_CONNECTIONS: usize = 4096;

/// A server about to run: set what differs from the defaults, then `.await` it.
///
/// It accepts connections until the shutdown signal, if there is one
/// ([`with_graceful_shutdown`](Self::with_graceful_shutdown)). Errors of single connections and of
/// accepting never end it.
///
/// # Errors
/// The runtime cannot use the listener.
///
/// # Cancel safety
/// Dropping the future closes the listener and aborts all connections: their handlers are dropped
/// the next time the runtime polls their tasks, which is immediately.
#[must_use = "a server runs when it is awaited"]
pub struct Serve<R, L, H> {
    runtime: R,
    listener: L,
    handler: H,
    config: ServerConfig,
    signal: Signal,
}

impl<R, L, H> Serve<R, L, H> {
    /// A server with the defaults.
    pub fn new(runtime: R, listener: L, handler: H) -> Self {
        let config = ServerConfig::new(MAX_CONNECTIONS);
        Self { runtime, listener, handler, config, signal: Box::pin(pending()) }
    }

    /// What the server counts, to be read while it runs.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.config.registry.counters()
    }

    /// The address it listens on, with the port that was chosen for port 0. A listener
    /// has it as `local_address`.
    ///
    /// # Errors
    /// If the system does not say, or the listener has no address.
    pub fn local_addr(&self) -> io::Result<Address>
    where
        L: Acceptor,
    {
        self.listener.address().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Replaces the bounds, rules and deadlines of each connection.
    pub fn with_config(mut self, config: ConnectionConfig) -> Self {
        self.config.config = config;
        self
    }

    /// Replaces the bounds on requests.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.config.config = self.config.config.with_limits(limits);
        self
    }

    /// How many connections are served at the same time: 4096 by default, but never more than three
    /// quarters of the descriptors that the process may open. The rest wait in the listen backlog,
    /// unless a connection that has sent no complete head for 100 ms can be closed for them: the
    /// oldest goes first.
    ///
    /// # Panics
    /// If it is 0.
    pub fn with_max_connections(mut self, count: usize) -> Self {
        self.config.set_max_connections(count);
        self
    }

    /// Closes connections of peers that are not on the list, before anything is read. By default
    /// everyone may connect.
    pub fn with_allow_list(mut self, list: AllowList) -> Self {
        self.config.allow_list = list;
        self
    }

    /// Names the peer in every request ([`Request::peer`](crate::Request::peer)). This costs a system
    /// call for each connection. Tower services always get it.
    pub fn with_peers(mut self) -> Self {
        self.config.asks_peer = true;
        self
    }

    /// Reports to systemd when the server accepts connections, when it stops, and (with
    /// `WatchdogSec=`) that it is still alive: for services with `Type=notify`.
    #[cfg(all(feature = "systemd", unix))]
    pub fn with_systemd(mut self) -> Self {
        self.config.notifier = Some(Notifier::from_env());
        self
    }

    /// Stops when `signal` completes: the server accepts the connections that wait, closes its
    /// listener, and finishes the requests.
    ///
    /// Connections beyond [`with_max_connections`](Self::with_max_connections) are accepted too, as
    /// closing the listener would reset them, and start as places become free. A socket that another
    /// process holds as well (one of systemd) is an exception: the server takes only as many
    /// connections from it as it has places for.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.signal = Box::pin(signal);
        self
    }

    /// Time for requests to finish after the signal: 30 s by default. The rest is aborted. The server
    /// returns then, even if a handler blocks its thread, unless that is the only thread.
    pub fn with_shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.config.shutdown_deadline = deadline;
        self
    }
}

impl<R, L: fmt::Debug, H> fmt::Debug for Serve<R, L, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<R, L, H> IntoFuture for Serve<R, L, H>
where
    R: Runtime,
    L: Acceptor + 'static,
    H: RequestHandler,
{
    type Output = io::Result<Summary>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<Summary>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { runtime, listener, handler, config, signal } = self;
        Box::pin(run(runtime, listener, handler, config, signal))
    }
}

//! What servers on every runtime share, for those who write an adapter: the accept loop, its
//! configuration, and who may connect.
//!
//! [`Serve`] is a whole server over a small [`Runtime`]: it accepts, lets in, makes room, answers in
//! place or in a task, backs off, and stops. An adapter defines only its runtime, its listener
//! ([`Acceptor`]) and its handlers ([`RequestHandler`]).

mod accept;
mod allow_list;
mod backoff;
mod config;
mod connections;
mod running;
mod runtime;
mod serve;
mod stop;
mod task_set;
mod upgraded;
#[cfg(all(feature = "systemd", unix))]
mod watchdog;

pub use allow_list::{AllowList, Network, NetworkError};
pub use backoff::Backoff;
pub use config::{ServerConfig, Summary};
pub use runtime::{AcceptedStream, Acceptor, RequestHandler, Runtime};
pub use serve::Serve;
#[cfg(all(feature = "systemd", unix))]
pub use watchdog::Watchdog;

use crate::driver::trace::Trace;
use crate::net::address::Address;

/// Warns of an address on which others than this machine can connect.
pub fn trace_listening(address: &Address) {
    if address.is_open_to_network() {
        Trace::open_to_network(address);
    }
}

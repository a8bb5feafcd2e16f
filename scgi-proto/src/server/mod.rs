//! What servers on every runtime share: their configuration, counters and trace.

mod allow_list;
mod backoff;
mod config;
#[cfg(all(feature = "systemd", unix))]
mod watchdog;

pub use allow_list::{AllowList, Network, NetworkError};
pub use backoff::Backoff;
pub use config::{ServerConfig, Summary};
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

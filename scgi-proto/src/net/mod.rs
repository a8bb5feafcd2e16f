//! The only module that touches the system: addresses, binding, sockets, systemd.

pub(crate) mod address;
pub(crate) mod address_text;
#[cfg(unix)]
mod adopted;
pub(crate) mod bind;
pub(crate) mod bound;
#[cfg(feature = "server")]
pub(crate) mod descriptors;
#[cfg(unix)]
mod inherited;
pub(crate) mod options;
#[cfg(all(feature = "systemd", unix))]
mod passed;
mod resolve;
pub mod socket;
#[cfg(all(feature = "systemd", unix))]
pub mod systemd;
#[cfg(unix)]
pub(crate) mod unix;

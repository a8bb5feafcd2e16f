//! The only module that touches the system: addresses, binding, sockets, systemd.

pub(crate) mod address;
pub(crate) mod bind;
#[cfg(all(feature = "socket", unix))]
pub mod socket;
#[cfg(all(feature = "systemd", unix))]
pub mod systemd;

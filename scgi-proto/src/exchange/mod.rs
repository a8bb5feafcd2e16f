//! One request and its response, as state machines for both ends: what follows what, what to read,
//! write or wait for now, and how long.

pub(crate) mod buffers;
pub(crate) mod client;
pub(crate) mod client_config;
mod client_deadlines;
pub(crate) mod config;
pub(crate) mod deadlines;
pub(crate) mod decode_buffer;
pub(crate) mod flow;
pub(crate) mod pace;
pub(crate) mod peer;
pub(crate) mod reply;
pub(crate) mod server;
pub(crate) mod timeout;
mod upgrade;
pub(crate) mod write_buffer;

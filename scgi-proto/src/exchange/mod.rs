//! One request and its response, as state machines for both ends: what follows what, what to read,
//! write or wait for now, and how long.

pub(crate) mod buffers;
pub(crate) mod client;
pub(crate) mod decode_buffer;
mod nanos;
pub(crate) mod peer;
pub(crate) mod server;
pub(crate) mod timeout;
pub(crate) mod write_buffer;

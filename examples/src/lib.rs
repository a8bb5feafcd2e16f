//! Shared by the examples.

pub mod backend_peer;
pub mod front;
pub mod http;
pub mod process;

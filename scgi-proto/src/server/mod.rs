//! What servers on every runtime share: their configuration, counters and trace.

pub(crate) mod config;
pub(crate) mod counters;
pub mod trace;

pub use config::{Admission, Backoff, ServerConfig, Summary};

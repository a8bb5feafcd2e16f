//! The drivers over a scripted stream and a clock that is set by hand: no runtime, no socket, and
//! no waiting.
#![cfg(feature = "std")]

mod body;
mod client;
mod client_flow;
mod model;
mod script;
mod server;

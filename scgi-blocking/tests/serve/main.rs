//! `serve` over real sockets.

mod deadlines;
mod harness;
mod requests;
mod shutdown;

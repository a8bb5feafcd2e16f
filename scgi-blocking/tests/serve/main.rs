//! `serve` over real sockets.

mod deadlines;
mod harness;
mod pool;
mod requests;
mod shutdown;

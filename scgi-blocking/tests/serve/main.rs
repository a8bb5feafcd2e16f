//! `serve` over real sockets.

mod deadlines;
mod harness;
mod limits;
mod pool;
mod requests;
mod shutdown;

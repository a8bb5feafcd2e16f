//! `serve` over real sockets.

mod bad_stops;
mod deadlines;
mod harness;
mod limits;
mod pool;
mod requests;
mod shutdown;

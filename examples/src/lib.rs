//! Shared by the examples.

pub mod backend_peer;
pub mod behind;
pub mod fleet;
pub mod front;
mod hello;
pub mod http;
mod page;
pub mod process;

use std::error::Error;

pub use hello::{HelloArgs, hello};
pub use page::page;
use scgi_proto::Address;

/// Any error: what the programs end with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The one argument of a program: an address. Ends the process if it is wrong.
#[must_use]
pub fn address() -> Address {
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Args {
        /// host:port, tcp:host:port, a path with a slash, or unix:PATH
        #[arg(value_name = "ADDR")]
        address: Address,
    }
    Args::parse().address
}

/// The README's examples, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

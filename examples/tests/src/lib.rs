//! What the tests and the measuring programs share: front servers, foreign SCGI servers, a browser
//! and processes.

pub mod backend_peer;
pub mod behind;
pub mod checked_peers;
pub mod fleet;
pub mod front;
mod hello;
pub mod http;
pub mod process;
pub mod programs;
pub mod websocket;

use std::error::Error;

pub use hello::{HelloArgs, hello};
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

/// The examples of the README and of the core's guides, so that they compile and run here, where
/// every runtime is at hand.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../scgi-proto/src/guide/adapters.md")]
    struct Adapters;
    #[doc = include_str!("../../../scgi-proto/src/guide/streaming.md")]
    struct Streaming;
    #[doc = include_str!("../../../scgi-proto/src/guide/errors.md")]
    struct Errors;
    #[doc = include_str!("../../../scgi-proto/src/guide/deploying.md")]
    struct Deploying;
    #[doc = include_str!("../../../scgi-proto/src/guide/security.md")]
    struct Security;
    #[doc = include_str!("../../../scgi-proto/src/guide/event_loop.md")]
    struct EventLoop;
    #[doc = include_str!("../../../scgi-proto/src/guide/testing.md")]
    struct Testing;
    #[doc = include_str!("../../../scgi-proto/src/guide/deploy_axum.md")]
    struct DeployAxum;
    #[doc = include_str!("../../../scgi-proto/src/guide/upgrades.md")]
    struct Upgrades;
    #[doc = include_str!("../../../scgi-proto/README.md")]
    struct ProtoReadme;
    #[doc = include_str!("../../../scgi-tokio/README.md")]
    struct TokioReadme;
    #[doc = include_str!("../../../scgi-async-std/README.md")]
    struct AsyncStdReadme;
    #[doc = include_str!("../../../scgi-blocking/README.md")]
    struct BlockingReadme;
}

//! The runtimes that `echo` and `request` can use.
//!
//! The seam for the next one: a variant here, an arm in each `match`, and a file beside
//! `on_tokio.rs` with the same two functions. Raw bytes use no adapter and go out on tokio.

use clap::ValueEnum;
use scgi_proto::BoxError;

use crate::capture::Capture;
use crate::echo::{EchoArgs, Stopped};
#[cfg(feature = "runtimes")]
use crate::on_futures;
use crate::plan::Plan;
use crate::reply::Reply;
use crate::{on_blocking, on_tokio};

/// What runs a server or a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    #[default]
    Tokio,
    #[cfg(feature = "runtimes")]
    AsyncStd,
    #[cfg(feature = "runtimes")]
    Smol,
    Blocking,
}

impl Runtime {
    /// Serves until SIGTERM or SIGINT.
    pub(crate) fn echo(self, args: &EchoArgs) -> Result<Stopped, BoxError> {
        match self {
            Self::Tokio => on_tokio::echo(args),
            #[cfg(feature = "runtimes")]
            Self::AsyncStd => on_futures::async_std::echo(args),
            #[cfg(feature = "runtimes")]
            Self::Smol => on_futures::smol::echo(args),
            Self::Blocking => on_blocking::echo(args),
        }
    }

    /// Sends one request and hands what comes to `reply`. Blocks until it is over.
    pub(crate) fn exchange(
        self,
        plan: &Plan,
        capture: Option<Capture>,
        reply: &mut Reply,
    ) -> Result<(), BoxError> {
        match self {
            Self::Tokio => on_tokio::exchange(plan, capture, reply),
            #[cfg(feature = "runtimes")]
            Self::AsyncStd => on_futures::async_std::exchange(plan, capture, reply),
            #[cfg(feature = "runtimes")]
            Self::Smol => on_futures::smol::exchange(plan, capture, reply),
            Self::Blocking => on_blocking::exchange(plan, capture, reply),
        }
    }
}

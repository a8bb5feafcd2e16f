//! tokio, as the server of the core wants a runtime.

use std::future::Future;

use scgi_proto::server::Runtime;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

use crate::transport::Clock;

/// The tokio runtime in which a server runs.
#[derive(Debug, Clone, Copy)]
pub struct Tokio;

impl Runtime for Tokio {
    type Clock = Clock;

    fn clock(&self) -> Clock {
        Clock::since(Instant::now())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn is_multi_threaded(&self) -> bool {
        Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread
    }
}

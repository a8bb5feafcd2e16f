//! The bounds of a client's waits, and when each wait ends.

use core::time::Duration;

use super::config::ClientConfig;
use crate::exchange::nanos::Nanos;
use crate::exchange::timeout::Timeout;

#[derive(Debug, Clone, Copy)]
pub(super) struct ClientTimeouts {
    pub(super) head: Nanos,
    pub(super) body: Nanos,
    pub(super) write: Nanos,
}

impl ClientTimeouts {
    pub(super) fn new(config: &ClientConfig) -> Self {
        Self {
            head: Nanos::new(config.head_timeout),
            body: Nanos::new(config.body_timeout),
            write: Nanos::new(config.write_timeout),
        }
    }
}

/// At most one thing is waited for at a time, beside the end of the whole call.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientDeadlines {
    /// What is waited for, and until when.
    pub(super) wait: Option<(Timeout, Nanos)>,
    pub(super) call: Nanos,
}

impl ClientDeadlines {
    pub(super) fn new(config: &ClientConfig, now: Duration) -> Self {
        Self { wait: None, call: Nanos::new(config.call_timeout).after(now) }
    }

    /// The server took bytes of the request.
    pub(super) fn handle_taken(&mut self) {
        self.wait = None;
    }

    /// Bytes of the response came. Those of its head renew nothing.
    pub(super) fn handle_received(&mut self) {
        if matches!(self.wait, Some((Timeout::ResponseBody, _))) {
            self.wait = None;
        }
    }

    /// The head of the response or some of its body was handed out.
    pub(super) fn handle_event(&mut self) {
        self.wait = None;
    }

    /// Nothing is waited for any more.
    pub(super) fn clear(&mut self) {
        *self = Self { wait: None, call: Nanos::NEVER };
    }

    pub(super) fn next(&self) -> Nanos {
        self.wait.map_or(self.call, |(_, wait)| wait.min(self.call))
    }
}

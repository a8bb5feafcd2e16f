//! What a server's connections may take: bounds, rules and time, with the reason of each default.

use core::time::Duration;

use crate::wire::limits::Limits;
use crate::wire::policy::Policy;

/// How the server side of a connection behaves; one value for all connections of a server.
///
/// The defaults are meant for production behind a front server. A duration of `Duration::MAX`
/// switches a deadline off.
///
/// # Examples
/// ```
/// use core::time::Duration;
/// use scgi_proto::{ConnectionConfig, Limits};
/// let config = ConnectionConfig::default()
///     .with_limits(Limits::default().with_body(1 << 20))
///     .with_head_timeout(Duration::from_secs(2));
/// # let _ = config;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionConfig {
    pub(crate) limits: Limits,
    pub(crate) policy: Policy,
    pub(crate) head_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) drain_limit: u64,
    pub(crate) ignore_client_abort: bool,
}

impl ConnectionConfig {
    /// Bounds on the request.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How strictly the request is read.
    #[must_use]
    pub const fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Time from accept to a complete head: 10 s by default.
    ///
    /// Front servers connect when they have the head and send it at once, so 10 s covers a
    /// loaded machine. Bytes do not renew it: a slow sender cannot hold a place.
    #[must_use]
    pub const fn with_head_timeout(mut self, timeout: Duration) -> Self {
        self.head_timeout = timeout;
        self
    }

    /// What [`with_head_timeout`](Self::with_head_timeout) set.
    #[must_use]
    pub const fn head_timeout(&self) -> Duration {
        self.head_timeout
    }

    /// Time without a byte of a body that is being waited for: 60 s by default.
    ///
    /// Apache and lighttpd pass an upload on as slowly as it comes; 60 s is what nginx and
    /// Apache allow the browser.
    #[must_use]
    pub const fn with_body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// Time in which the peer must take some byte of the response: 60 s by default, the pause
    /// that front servers allow a browser.
    #[must_use]
    pub const fn with_write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Time for the whole request: off by default, because streams may last.
    #[must_use]
    pub const fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Time for reading away what the peer still sends after an early reply: 5 s by default.
    ///
    /// A close with unread input can reset the connection and lose the reply; a peer that got
    /// the reply closes within milliseconds.
    #[must_use]
    pub const fn with_drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Bytes that are read away after an early reply: 64 MiB by default, what a front server on
    /// the same machine sends in less than the time above.
    #[must_use]
    pub const fn with_drain_limit(mut self, bytes: u64) -> Self {
        self.drain_limit = bytes;
        self
    }

    /// Whether a handler runs to its end although the peer is gone: no by default.
    ///
    /// By default an async handler that waits is cancelled (its future dropped) when the peer has
    /// closed, as nginx does when its browser goes away. No front server ends only its own side
    /// and waits for the reply, so the end of input after the request counts as gone; with
    /// `true` a client that does so gets its reply.
    ///
    /// A blocking handler cannot be cancelled: it learns of it when it writes.
    #[must_use]
    pub const fn with_ignore_client_abort(mut self, ignore_client_abort: bool) -> Self {
        self.ignore_client_abort = ignore_client_abort;
        self
    }
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            policy: Policy::default(),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            request_timeout: Duration::MAX,
            drain_timeout: Duration::from_secs(5),
            drain_limit: 64 * 1024 * 1024,
            ignore_client_abort: false,
        }
    }
}

//! What a server's connections may take: bounds, rules and time, with the reason of each default.

use core::time::Duration;

use super::pace::PerByte;
use super::timers::Timeouts;
use crate::exchange::nanos::Nanos;
use crate::wire::limits::Limits;
use crate::wire::request::policy::Policy;

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
///     .with_limits(Limits::default().with_max_body_len(1 << 20))
///     .with_head_timeout(Duration::from_secs(2));
/// # let _ = config;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionConfig {
    pub(crate) limits: Limits,
    pub(crate) policy: Policy,
    head_timeout: Duration,
    /// In the form in which each connection copies them.
    pub(super) head: Nanos,
    pub(super) request: Nanos,
    pub(super) rate_grace: Nanos,
    pub(super) timeouts: Timeouts,
    pub(crate) ignore_client_abort: bool,
    pub(super) upgraded_writes_may_wait: bool,
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
        self.head = Nanos::new(timeout);
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
    /// Zero means that a body is not waited for: what has not come when the program asks for it is
    /// late.
    #[must_use]
    pub const fn with_body_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.body = Nanos::new(timeout);
        self
    }

    /// How long a program may hold the body of a request without reading it: off by default, as
    /// some programs have reasons to wait. Then the answer is 503, or the connection breaks if the
    /// response has begun.
    ///
    /// Unread bytes may hide that the client has left (the guide [`flow`](crate::guide::flow) says
    /// where). If such clients could fill a server, set this. A thread cannot be interrupted: on
    /// `scgi-blocking`, the deadline is judged when the handler reads, writes or returns.
    #[must_use]
    pub const fn with_unread_body_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.unread = Nanos::new(timeout);
        self
    }

    /// Time in which the peer must take some byte of the response: 60 s by default, the pause
    /// that front servers allow a browser.
    ///
    /// A byte is taken when it has left the system's send buffer, whether or not the system has
    /// reported room in it.
    #[must_use]
    pub const fn with_write_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.write = Nanos::new(timeout);
        self
    }

    /// Whether the [write timeout](Self::with_write_timeout) holds after an upgrade, to a WebSocket
    /// for example: yes by default, so that a peer that never reads does not keep a place. It counts
    /// only while the program waits to write. No other deadline holds after an upgrade.
    #[must_use]
    pub const fn with_upgraded_write_timeout(mut self, holds: bool) -> Self {
        self.upgraded_writes_may_wait = !holds;
        self
    }

    /// Bytes a second that a request's body must have at least: 240 by default, as little as a
    /// bad phone network carries; 0 is off. A peer that sends a byte from time to time, to hold a
    /// place, is answered with 408.
    ///
    /// Only time in which the program waits for the body counts, beyond the
    /// [grace period](Self::with_rate_grace). Bytes that come early count ahead, up to the
    /// [body timeout](Self::with_body_timeout): after a fast start, an upload may pause as long as
    /// without a minimum.
    #[must_use]
    pub const fn with_min_body_rate(mut self, bytes_per_second: u32) -> Self {
        self.timeouts.body_per_byte = PerByte::at(bytes_per_second);
        self
    }

    /// Bytes a second of a response that the peer must take at least: 240 by default; 0 is off. If
    /// it takes fewer, the connection breaks.
    ///
    /// Only time in which bytes wait for the peer counts, beyond the
    /// [grace period](Self::with_rate_grace): a stream that has nothing to send is not slow. Bytes
    /// that were taken early count ahead, up to the [write timeout](Self::with_write_timeout).
    #[must_use]
    pub const fn with_min_write_rate(mut self, bytes_per_second: u32) -> Self {
        self.timeouts.write_per_byte = PerByte::at(bytes_per_second);
        self
    }

    /// Time that a peer may keep the program waiting before the minimum rates hold: 10 s by
    /// default, so that a lost packet or a slow start of TCP does no harm.
    #[must_use]
    pub const fn with_rate_grace(mut self, grace: Duration) -> Self {
        self.rate_grace = Nanos::new(grace);
        self
    }

    /// Time for the whole request: off by default, because streams may last.
    #[must_use]
    pub const fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request = Nanos::new(timeout);
        self
    }

    /// Time for draining what the peer still sends after an early response: 5 s by default.
    ///
    /// A close with unread input can reset the connection and lose the response; a peer that got
    /// the response closes within milliseconds.
    #[must_use]
    pub const fn with_drain_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.drain = Nanos::new(timeout);
        self
    }

    /// Bytes that are drained after an early response, and while such a response waits for a peer that
    /// sends first: 64 MiB by default, what a front server on the same machine sends in less than
    /// the time above. As many again are read and thrown away while the program works, of what it
    /// can no longer ask for.
    #[must_use]
    pub const fn with_max_drain_len(mut self, bytes: u64) -> Self {
        self.timeouts.max_drain_len = bytes;
        self
    }

    /// Whether a handler runs to its end although the peer is gone: no by default.
    ///
    /// By default an async handler that waits is cancelled (its future dropped) when the peer has
    /// closed, as nginx does when its browser goes away. No front server ends only its own side
    /// and waits for the response, so the end of input after the request counts as gone; with
    /// `true` a client that does so gets its response.
    ///
    /// A blocking handler cannot be cancelled: it learns of it when it writes.
    #[must_use]
    pub const fn with_ignore_client_abort(mut self, ignore_client_abort: bool) -> Self {
        self.ignore_client_abort = ignore_client_abort;
        self
    }
}

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes a second, as in Kestrel, the server of ASP.NET.
const MIN_RATE: u32 = 240;

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            policy: Policy::default(),
            head_timeout: HEAD_TIMEOUT,
            head: Nanos::new(HEAD_TIMEOUT),
            request: Nanos::NEVER,
            rate_grace: Nanos::new(Duration::from_secs(10)),
            timeouts: Timeouts {
                body: Nanos::new(Duration::from_secs(60)),
                unread: Nanos::NEVER,
                write: Nanos::new(Duration::from_secs(60)),
                drain: Nanos::new(Duration::from_secs(5)),
                max_drain_len: 64 * 1024 * 1024,
                body_per_byte: PerByte::at(MIN_RATE),
                write_per_byte: PerByte::at(MIN_RATE),
            },
            ignore_client_abort: false,
            upgraded_writes_may_wait: false,
        }
    }
}

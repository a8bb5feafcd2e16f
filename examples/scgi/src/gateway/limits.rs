//! The limits and deadlines of the browser's side.

use std::time::Duration;

/// What a connection of a browser may take.
#[derive(Debug, Clone)]
pub(crate) struct BrowserLimits {
    /// From accept, or from the first byte of a later request, to its complete head.
    pub(crate) head_timeout: Duration,
    /// Between two requests.
    pub(crate) idle_timeout: Duration,
    /// Without a byte of a body that is waited for.
    pub(crate) body_timeout: Duration,
    /// Without the browser taking a byte of the response.
    pub(crate) write_timeout: Duration,
    pub(crate) max_body: Option<u64>,
}

/// How long the rest of an upload is drained that the server did not want: as nginx's
/// `lingering_time` and `lingering_timeout`.
pub(crate) const DRAIN_TIME: Duration = Duration::from_secs(30);
/// As above, without a byte.
pub(crate) const DRAIN_IDLE: Duration = Duration::from_secs(5);

/// How often a connection with a request in progress is checked: whether the browser has left.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// An upload that the server has not taken for this long, while the browser takes nothing of the
/// response, is drained: such a browser sends all of it before it reads.
pub(crate) const STUCK: Duration = Duration::from_secs(1);

/// So long a new connection is safe from being closed for another one: its head may be on the way.
pub(crate) const HEAD_GRACE: Duration = Duration::from_millis(100);

/// So long a connection without a request stays open when the gateway stops.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(1);

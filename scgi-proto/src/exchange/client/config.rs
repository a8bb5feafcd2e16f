//! How long a client waits and how large a response may be, with the reason for each default.

use core::time::Duration;

use crate::wire::limits::Limits;

/// How a client behaves: the bounds on a response, and the deadlines of a call. It is the same on
/// every runtime.
///
/// Each deadline ends the call with its own [`Timeout`](crate::Timeout). A duration of
/// `Duration::MAX` switches a deadline off. [`ClientExchange`](crate::ClientExchange) has a table
/// that shows which deadline runs when.
///
/// A server that takes one byte of the request a second, or sends one byte of the body a second,
/// keeps a call alive. Only [`with_call_timeout`](Self::with_call_timeout) bounds that.
///
/// # Examples
/// ```
/// use core::time::Duration;
/// use scgi_proto::ClientConfig;
/// let config = ClientConfig::default()
///     .with_connect_timeout(Duration::from_secs(2))
///     .with_call_timeout(Duration::from_secs(30));
/// assert_eq!(config.head_timeout(), Duration::from_secs(60));
/// # let _ = config;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConfig {
    pub(crate) limits: Limits,
    pub(crate) connect_timeout: Duration,
    pub(crate) head_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) call_timeout: Duration,
}

impl ClientConfig {
    /// Bounds on the head of the response.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Time for connecting: 10 s by default. It covers the look-up of a name and all addresses of
    /// that name together.
    ///
    /// A server on the same machine or network takes milliseconds; 10 s covers one that restarts.
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Time from the end of the request to the complete head of the response: 60 s by default, as
    /// front servers have it.
    ///
    /// It begins when the whole request was handed to the system. The system may still hold bytes
    /// in its send buffer. Bytes of the head do not renew it.
    #[must_use]
    pub const fn with_head_timeout(mut self, timeout: Duration) -> Self {
        self.head_timeout = timeout;
        self
    }

    /// Time without a byte of the response's body: 60 s by default, as front servers have it.
    ///
    /// A byte of the request that the server takes meanwhile renews it, too.
    #[must_use]
    pub const fn with_body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// Time in which the server must take some byte of the request: 60 s by default, as front
    /// servers have it.
    ///
    /// A byte in the system's send buffer counts as taken. The deadline does not run while the
    /// program's own source of the body is waited for.
    #[must_use]
    pub const fn with_write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Time for the whole call, from connecting to the end of the response's body: off by default,
    /// because uploads and streams may last.
    #[must_use]
    pub const fn with_call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// The bounds on the head of the response.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// What [`with_connect_timeout`](Self::with_connect_timeout) set.
    #[must_use]
    pub const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// What [`with_head_timeout`](Self::with_head_timeout) set.
    #[must_use]
    pub const fn head_timeout(&self) -> Duration {
        self.head_timeout
    }

    /// What [`with_body_timeout`](Self::with_body_timeout) set.
    #[must_use]
    pub const fn body_timeout(&self) -> Duration {
        self.body_timeout
    }

    /// What [`with_write_timeout`](Self::with_write_timeout) set.
    #[must_use]
    pub const fn write_timeout(&self) -> Duration {
        self.write_timeout
    }

    /// What [`with_call_timeout`](Self::with_call_timeout) set.
    #[must_use]
    pub const fn call_timeout(&self) -> Duration {
        self.call_timeout
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            connect_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            call_timeout: Duration::MAX,
        }
    }
}

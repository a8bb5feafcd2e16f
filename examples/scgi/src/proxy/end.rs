//! How an exchange can end.

use std::io;

/// The two programs that the proxy stands between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Front,
    Backend,
}

/// How the connections ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The backend could not be reached; the reason.
    NoConnection(String),
    /// Both ended their output. If the backend took no more before the front server had sent all,
    /// then why.
    Closed { not_taken: Option<io::Error> },
    /// One of them broke off.
    Broken { by: Peer, error: io::Error },
}

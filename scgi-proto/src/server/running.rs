//! What all connections of a running server share.

use super::config::ServerConfig;
use crate::shutdown::Shutdown;

/// What all connections of a server share.
pub(super) struct Server<R, H> {
    pub(super) runtime: R,
    pub(super) handler: H,
    pub(super) config: ServerConfig,
    /// What upgraded connections wait for, which may be in any task.
    pub(super) cut: Shutdown,
}

//! The options for binding a listener.

/// How a listener is bound.
///
/// # Examples
/// ```
/// use scgi_proto::BindOptions;
/// // Only the front server's group may connect.
/// let options = BindOptions::default().with_mode(0o660).with_group(33);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindOptions {
    pub(super) mode: Option<u32>,
    pub(super) owner: Option<u32>,
    pub(super) group: Option<u32>,
    backlog: i32,
}

impl BindOptions {
    /// Permission bits of a Unix socket's file, as in `0o660`; by default those that the umask
    /// leaves. Anyone who may write to the file may connect.
    #[must_use]
    pub const fn with_mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// User id that owns a Unix socket's file; by default the process's.
    #[must_use]
    pub const fn with_owner(mut self, uid: u32) -> Self {
        self.owner = Some(uid);
        self
    }

    /// Group id of a Unix socket's file; by default the process's.
    #[must_use]
    pub const fn with_group(mut self, gid: u32) -> Self {
        self.group = Some(gid);
        self
    }

    /// Connections that may wait to be accepted: 4096 by default, what Linux allows
    /// (`somaxconn`). A front server's burst waits here instead of failing. A socket that another
    /// process passed keeps the length that it has.
    #[must_use]
    pub const fn with_backlog(mut self, connections: i32) -> Self {
        self.backlog = connections;
        self
    }

    /// The length that [`with_backlog`](Self::with_backlog) set.
    #[must_use]
    pub const fn backlog(&self) -> i32 {
        self.backlog
    }
}

impl Default for BindOptions {
    fn default() -> Self {
        Self { mode: None, owner: None, group: None, backlog: 4096 }
    }
}

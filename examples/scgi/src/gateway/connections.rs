//! Counts all connections, and chooses which one is closed for another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::connection::Connection;

/// Between two tries to make room.
const RETRY: Duration = Duration::from_millis(50);

/// The open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    open: Mutex<Open>,
    closed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    connections: HashMap<u64, Arc<Connection>>,
}

/// The place of one connection, given back with the value.
#[derive(Debug)]
pub(crate) struct Place {
    id: u64,
    all: Arc<Connections>,
}

impl Connections {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, open: Mutex::default(), closed: Notify::new() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for one more. The connection that has been without a request for
    /// the longest time makes room.
    pub(crate) async fn room(&self) {
        loop {
            {
                let open = self.open();
                if open.connections.len() < self.max {
                    return;
                }
                let now = Instant::now();
                let idle = open
                    .connections
                    .values()
                    .filter_map(|connection| Some((connection.evictable_since(now)?, connection)));
                if let Some((_, connection)) = idle.min_by_key(|(since, _)| *since) {
                    connection.evict();
                }
            }
            // Over time, others become old enough to go.
            let _ = timeout(RETRY, self.closed.notified()).await;
        }
    }

    pub(crate) fn add(self: &Arc<Self>, connection: &Arc<Connection>) -> Place {
        let mut open = self.open();
        open.last += 1;
        let id = open.last;
        open.connections.insert(id, Arc::clone(connection));
        Place { id, all: Arc::clone(self) }
    }

    /// Requests in progress.
    pub(crate) fn in_progress(&self) -> usize {
        self.open().connections.values().map(|connection| connection.in_progress()).sum()
    }

    /// Ends every connection; responses in progress are cut visibly.
    pub(crate) fn abort(&self) {
        for connection in self.open().connections.values() {
            connection.evict();
        }
    }

    /// Waits until all are closed.
    pub(crate) async fn all_closed(&self) {
        while !self.open().connections.is_empty() {
            let _ = timeout(RETRY, self.closed.notified()).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.open().connections.remove(&self.id);
        self.all.closed.notify_one();
    }
}

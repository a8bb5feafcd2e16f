//! Connections that have left their thread after a 101.

use std::sync::Arc;

use super::{Pool, Worker};

/// The place of an upgraded connection, given up when it is dropped.
#[derive(Debug)]
pub(crate) struct UpgradedPlace {
    pool: Arc<Pool>,
    has_begun: bool,
}

impl Worker {
    /// Takes a place for the connection of this thread, before its 101 is sent. `None` if all are
    /// taken.
    pub(crate) fn reserve_upgraded(&self) -> Option<UpgradedPlace> {
        let is_reserved = self.pool.lock().state.reserve_upgraded();
        is_reserved.then(|| UpgradedPlace { pool: Arc::clone(&self.pool), has_begun: false })
    }
}

impl UpgradedPlace {
    /// The 101 was sent: the connection leaves the thread. It is counted here from now on, and no
    /// longer there.
    pub(crate) fn begin(&mut self, worker: &Worker) {
        self.has_begun = true;
        self.pool.lock().state.begin_upgraded(worker.place);
    }
}

impl Drop for UpgradedPlace {
    fn drop(&mut self) {
        self.pool.lock().state.end_upgraded(self.has_begun);
        self.pool.watch.notify_all();
    }
}

//! Stopping: take what waits, close the listener, and finish what runs until the deadline.

use core::future::Future;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;

use super::config::Summary;
use super::connections::Connections;
use super::running::Server;
use super::runtime::{Acceptor, RequestHandler, Runtime};
use super::task_set::HandOver;
#[cfg(all(feature = "systemd", unix))]
use super::watchdog::Watchdog;
use crate::driver::{Clock, PendingConnection};
use crate::net::descriptors;

/// How long aborted connections may take to end. One whose thread is blocked does not end at all.
const ABORT_GRACE: Duration = Duration::from_millis(200);

/// A server after the shutdown signal.
///
/// Closing a listener resets the connections that wait there. So the server first accepts until
/// none waits, also beyond its cap, and starts them as places become free.
pub(super) struct Stopping<R: Runtime, L: Acceptor, H, A, F> {
    connections: Connections<R, H, A, F>,
    /// `None` once it is closed.
    listener: Option<L>,
    /// Accepted connections that wait for a place.
    waiting: VecDeque<L::Stream>,
    /// How many connections the server may hold, those that wait included.
    room: usize,
    /// At zero when the signal came.
    clock: R::Clock,
    deadline: Duration,
    /// Connections that ran when the signal came, and those that were started before.
    running: u64,
    started: u64,
    /// Set at the deadline: what is left is aborted.
    summary: Option<Summary>,
    #[cfg(all(feature = "systemd", unix))]
    watchdog: Option<Watchdog<R::Clock>>,
}

impl<R, L, H, A, F> Stopping<R, L, H, A, F>
where
    R: Runtime,
    L: Acceptor,
    H: RequestHandler,
    A: Fn(PendingConnection<L::Stream, R::Clock>, BytesMut, Arc<Server<R, H>>) -> F,
    F: Future<Output = Option<HandOver>> + Send + 'static,
{
    pub(super) fn new(connections: Connections<R, H, A, F>, listener: L) -> Self {
        let Server { runtime, config, .. } = &*connections.server;
        let room = if listener.is_inherited() {
            // The next process takes the rest.
            connections.max
        } else {
            config.max_held(descriptors::limit())
        };
        let stopping = Self {
            room,
            listener: Some(listener),
            waiting: VecDeque::new(),
            clock: runtime.clock(),
            deadline: config.shutdown_deadline,
            running: connections.tasks.len() as u64,
            started: connections.started,
            summary: None,
            #[cfg(all(feature = "systemd", unix))]
            watchdog: config.notifier.map(|notifier| Watchdog::stopping(notifier, runtime.clock())),
            connections,
        };
        // Only now: requests that end at this signal have to be counted first.
        stopping.connections.server.config.registry.begin_shutdown();
        stopping
    }

    /// Ready when all connections have ended, or soon after the deadline.
    pub(super) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Summary> {
        #[cfg(all(feature = "systemd", unix))]
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.poll(cx);
        }
        loop {
            if let Some(summary) = self.summary {
                let ended = self.connections.tasks.poll_below(1, cx);
                return if ended.is_ready() || self.poll_deadline(cx).is_ready() {
                    Poll::Ready(Summary { waited: self.clock.now(), ..summary })
                } else {
                    Poll::Pending
                };
            }
            self.accept_waiting(cx);
            self.start_waiting(cx);
            let has_more = self.listener.is_some() || !self.waiting.is_empty();
            // Asked in any case: the task must be woken when one ends.
            let ended = self.connections.tasks.poll_below(1, cx).is_ready();
            if ended && !has_more {
                return Poll::Ready(self.summary());
            }
            if self.poll_deadline(cx).is_pending() {
                return Poll::Pending;
            }
            self.abort();
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.clock.now() < self.deadline {
            if self.clock.poll_until(cx, self.deadline).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Accepts what waits, and closes the listener once nothing does.
    fn accept_waiting(&mut self, cx: &Context<'_>) {
        while let Some(listener) = &mut self.listener {
            let held = self.connections.tasks.len() + self.waiting.len();
            if held >= self.room && listener.is_inherited() {
                self.listener = None;
            } else if held >= self.room {
                // More as connections end.
                return;
            } else {
                match listener.try_accept() {
                    Ok(Some(stream)) => self.waiting.push_back(stream),
                    Err(error) if is_peers_fault(&error) => {}
                    Err(error) if held > 0 && descriptors::are_used_up(&error) => {
                        let registry = &self.connections.server.config.registry;
                        if registry.poll_evictable(cx).is_ready() {
                            let _ = registry.evict_oldest();
                        }
                        return;
                    }
                    Ok(None) | Err(_) => self.listener = None,
                }
            }
        }
    }

    /// Starts connections as long as there are places for them.
    fn start_waiting(&mut self, cx: &mut Context<'_>) {
        while !self.waiting.is_empty()
            && self.clock.now() < self.deadline
            && self.connections.poll_place(cx).is_ready()
        {
            if let Some(stream) = self.waiting.pop_front() {
                self.connections.start(stream, cx);
            }
        }
    }

    fn abort(&mut self) {
        self.summary = Some(self.summary());
        self.listener = None;
        self.waiting.clear();
        self.connections.tasks.abort();
        self.deadline = self.clock.now().saturating_add(ABORT_GRACE);
    }

    fn summary(&self) -> Summary {
        let aborted = self.connections.tasks.len() as u64;
        let served = self.connections.started;
        Summary {
            served,
            finished: (self.running + (served - self.started)).saturating_sub(aborted),
            aborted,
            without_place: self.waiting.len() as u64,
            waited: self.clock.now(),
        }
    }
}

/// Whether only this one connection could not be accepted, because its client took it back.
fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

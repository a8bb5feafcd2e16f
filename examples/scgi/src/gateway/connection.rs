//! Tracks what a browser's connection is doing, and when it must end.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::Version;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::download::Response;
use super::limits::{BrowserLimits, HEAD_GRACE, STOP_GRACE, STUCK, TICK};
use super::stream::Stream;
use super::upload::Upload;

/// Why the gateway ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// No complete head in time.
    Head,
    /// No request in time.
    Idle,
    /// The browser has closed its side while its request was in progress.
    Left,
    /// Its tunnel is over.
    Tunnel,
    /// Another connection needed its place, or the gateway stops.
    Evicted,
}

/// A connection as its parts share it: the socket, the requests, and the watch.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) limits: Arc<BrowserLimits>,
    accepted: Instant,
    state: Mutex<State>,
    /// The close that follows must not look like the end of a response.
    reset: AtomicBool,
    changed: Notify,
    /// What follows upgrades.
    tunnels: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct State {
    /// Requests in progress.
    open: Vec<Arc<Exchange>>,
    /// When the last request ended, or the connection was accepted.
    idle_since: Instant,
    /// When the first byte of the next head came.
    head_since: Option<Instant>,
    /// Requests so far.
    served: u64,
    is_http2: bool,
    /// Whether all of the connection is a tunnel.
    is_tunnel: bool,
    /// Since when the browser takes nothing of what the gateway writes.
    blocked_since: Option<Instant>,
    evicted: bool,
    /// When the gateway was asked to stop.
    stops_since: Option<Instant>,
}

/// A request in progress: its two bodies.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) upload: Arc<Upload>,
    pub(crate) response: Arc<Response>,
}

impl Connection {
    pub(crate) fn new(stream: Stream, limits: Arc<BrowserLimits>) -> Self {
        let now = Instant::now();
        let state = State {
            open: Vec::new(),
            idle_since: now,
            // The first head counts from accept, so that silence and the detection of the HTTP
            // version are covered.
            head_since: Some(now),
            served: 0,
            is_http2: false,
            is_tunnel: false,
            blocked_since: None,
            evicted: false,
            stops_since: None,
        };
        Self {
            stream,
            limits,
            accepted: now,
            state: Mutex::new(state),
            reset: AtomicBool::new(false),
            changed: Notify::new(),
            tunnels: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came from the browser.
    pub(crate) fn received(&self) {
        let mut state = self.state();
        // Frames of HTTP/2 come between requests, too, and are not heads.
        if state.open.is_empty() && !state.is_http2 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
            self.changed.notify_one();
        }
    }

    /// The browser took bytes, or nothing waits for it; else it makes the gateway wait.
    pub(crate) fn write_blocked(&self, is_blocked: bool) {
        let mut state = self.state();
        if state.blocked_since.is_some() == is_blocked {
            return;
        }
        let now = Instant::now();
        state.blocked_since = is_blocked.then_some(now);
        // A connection whose response is read slowly is not idle.
        state.idle_since = now;
    }

    /// Whether the browser makes the gateway wait.
    pub(crate) fn is_write_blocked(&self) -> bool {
        self.state().blocked_since.is_some()
    }

    /// A head is complete.
    pub(crate) fn begin(&self, version: Version, exchange: Arc<Exchange>) {
        let mut state = self.state();
        state.head_since = None;
        state.served += 1;
        state.is_http2 = version == Version::HTTP_2;
        state.open.push(exchange);
        self.changed.notify_one();
    }

    /// Starts what follows an upgrade. `takes_all` says that it leaves nothing of the connection for
    /// other requests, as in HTTP/1.
    pub(crate) fn start_tunnel(
        &self,
        takes_all: bool,
        tunnel: impl Future<Output = ()> + Send + 'static,
    ) {
        self.state().is_tunnel |= takes_all;
        let mut tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended.
        while tunnels.try_join_next().is_some() {}
        tunnels.spawn(tunnel);
    }

    /// Whether all of the connection is a tunnel.
    pub(crate) fn is_tunnel(&self) -> bool {
        self.state().is_tunnel
    }

    /// Ends the tunnels that are still open.
    pub(crate) async fn end_tunnels(&self) {
        let mut tunnels =
            std::mem::take(&mut *self.tunnels.lock().unwrap_or_else(PoisonError::into_inner));
        tunnels.shutdown().await;
    }

    /// The response has ended.
    pub(crate) fn end(&self, response: &Arc<Response>) {
        let mut state = self.state();
        state.open.retain(|open| !Arc::ptr_eq(&open.response, response));
        state.idle_since = Instant::now();
        self.changed.notify_one();
    }

    /// How many requests are in progress.
    pub(crate) fn in_progress(&self) -> usize {
        self.state().open.len()
    }

    /// Since when it has no request; `None` if it has one, or is so young that its head may be on
    /// the way.
    pub(crate) fn evictable_since(&self, now: Instant) -> Option<Instant> {
        let state = self.state();
        let is_young = now.duration_since(self.accepted) < HEAD_GRACE;
        // One that is blocked has the end of a response still to be written.
        let is_idle = state.open.is_empty() && state.blocked_since.is_none();
        (is_idle && !is_young && !state.evicted).then_some(state.idle_since)
    }

    /// Makes [`watch`](Self::watch) end.
    pub(crate) fn evict(&self) {
        self.state().evicted = true;
        self.changed.notify_one();
    }

    /// The gateway stops: without a request, the connection ends soon.
    pub(crate) fn stop(&self) {
        self.state().stops_since = Some(Instant::now());
        self.changed.notify_one();
    }

    /// Makes the close a reset, where the transport has it.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    pub(crate) fn wants_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    /// Waits until the connection must be ended.
    pub(crate) async fn watch(&self) -> Ended {
        loop {
            let until = match self.check() {
                Ok(until) => until,
                Err(ended) => return ended,
            };
            let sleep = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// When to check again, or why it must end now.
    fn check(&self) -> Result<Option<Instant>, Ended> {
        let now = Instant::now();
        let (open, blocked_since, is_http2) = {
            let state = self.state();
            if state.evicted {
                return Err(Ended::Evicted);
            }
            if state.is_tunnel {
                // Neither silence nor a half-close ends it.
                return if state.open.is_empty() { Err(Ended::Tunnel) } else { Ok(None) };
            }
            if state.open.is_empty() && state.blocked_since.is_none() {
                let deadline = state.deadline(&self.limits);
                return match deadline {
                    Some((deadline, ended)) if now >= deadline => Err(ended),
                    deadline => Ok(deadline.map(|(deadline, _)| deadline)),
                };
            }
            (state.open.clone(), state.blocked_since, state.is_http2)
        };
        if self.stream.has_left() {
            return Err(Ended::Left);
        }
        for exchange in open {
            exchange.drain_if_stuck(now, blocked_since);
            // In HTTP/1 the deadline of the socket says the same, and sees each byte.
            if is_http2 {
                exchange.response.cut_if_not_taken(now, self.limits.write_timeout);
            }
        }
        Ok(Some(now + TICK))
    }
}

impl State {
    /// Where no request is in progress.
    fn deadline(&self, limits: &BrowserLimits) -> Option<(Instant, Ended)> {
        let (since, limit, ended) = match self.head_since {
            Some(since) => (since, limits.head_timeout, Ended::Head),
            None => (self.idle_since, limits.idle_timeout, Ended::Idle),
        };
        let deadline = since.checked_add(limit).map(|deadline| (deadline, ended));
        let stop = self.stops_since.map(|since| (since + STOP_GRACE, Ended::Evicted));
        [deadline, stop].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}

impl Exchange {
    /// Drains the upload if the browser does not read the response before all of it is sent.
    fn drain_if_stuck(&self, now: Instant, blocked_since: Option<Instant>) {
        let is_stuck = |since: Instant| now.duration_since(since) >= STUCK;
        if self.response.has_begun() && blocked_since.is_some_and(is_stuck) {
            self.upload.drain_if_stuck(now);
        }
    }
}

//! What the threads of a server tell each other: how many work, and that it stops.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Stops a server; made by [`Serve::shutdown_handle`](crate::Serve::shutdown_handle).
///
/// # Examples
/// ```
/// use scgi_blocking::{Listener, Request, Response, serve};
///
/// let listener = Listener::bind(&"127.0.0.1:0".parse()?)?;
/// let server = serve(listener, |_: Request| Response::new("hello"));
/// let shutdown = server.shutdown_handle();
/// let running = std::thread::spawn(|| server.run());
/// shutdown.stop();
/// let summary = running.join().expect("no panic")?;
/// assert_eq!(summary.served, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Shutdown {
    pub(crate) control: Arc<Control>,
}

impl Shutdown {
    /// Makes the server stop accepting and finish what runs. It does not wait for that.
    pub fn stop(&self) {
        self.control.stop();
    }
}

#[derive(Debug, Default)]
pub(crate) struct Control {
    stopping: AtomicBool,
    /// Threads that run, and how many of them have a connection.
    workers: AtomicUsize,
    busy: AtomicUsize,
    served: AtomicU64,
    /// Somebody makes room, or is about to.
    full: AtomicBool,
    end: Mutex<End>,
    changed: Condvar,
}

/// How a server ends; all zero until it does.
#[derive(Debug, Default)]
struct End {
    finished: u64,
    aborting: bool,
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, End> {
        // No code that can panic runs under the lock.
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        let end = self.lock();
        self.stopping.store(true, Ordering::SeqCst);
        drop(end);
        self.changed.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Waits until the server is to stop, at most for a time.
    pub(crate) fn wait_for_stop(&self, timeout: Option<Duration>) {
        self.wait(timeout, || self.is_stopping());
    }

    /// Until the server is to stop: calls `make_room` while it is full, as often as that says,
    /// and the other function at its interval.
    pub(crate) fn watch(
        &self,
        mut alive: Option<(Duration, impl Fn())>,
        make_room: impl Fn() -> Duration,
    ) {
        let mut next = Instant::now();
        while !self.is_stopping() {
            if let Some((interval, alive)) = &mut alive {
                if next <= Instant::now() {
                    alive();
                    next = Instant::now() + *interval;
                }
            }
            let left = alive.as_ref().map(|_| next.saturating_duration_since(Instant::now()));
            if self.is_full() {
                let pause = make_room();
                self.wait_for_stop(Some(left.map_or(pause, |left| left.min(pause))));
            } else {
                self.wait(left, || self.is_stopping() || self.full.load(Ordering::SeqCst));
            }
        }
    }

    /// Says that every thread has a connection and none can be added.
    pub(crate) fn set_full(&self) {
        if !self.full.swap(true, Ordering::SeqCst) {
            drop(self.lock());
            self.changed.notify_all();
        }
    }

    /// Whether that is still so.
    pub(crate) fn is_full(&self) -> bool {
        let full = self.busy.load(Ordering::SeqCst) >= self.workers.load(Ordering::SeqCst);
        self.full.store(full, Ordering::SeqCst);
        full
    }

    /// Waits until no thread waits for a connection; gives whether that came in time.
    pub(crate) fn wait_for_accepts(&self, timeout: Duration) -> bool {
        let done = || self.workers.load(Ordering::SeqCst) <= self.busy.load(Ordering::SeqCst);
        self.wait(Some(timeout), done)
    }

    /// Waits until no thread runs; gives whether that came in time.
    pub(crate) fn wait_for_workers(&self, timeout: Duration) -> bool {
        self.wait(Some(timeout), || self.workers.load(Ordering::SeqCst) == 0)
    }

    fn wait(&self, timeout: Option<Duration>, done: impl Fn() -> bool) -> bool {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut end = self.lock();
        while !done() {
            end = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    let woken = self.changed.wait_timeout(end, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(end).unwrap_or_else(PoisonError::into_inner),
            };
        }
        true
    }

    /// Counts a thread that is about to be made, unless there are `max`.
    pub(crate) fn add_worker(self: &Arc<Self>, max: usize) -> Option<Worker> {
        let more = |count| (count < max).then_some(count + 1);
        self.workers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Worker { control: Arc::clone(self) })
    }

    /// Counts a connection; gives whether every thread has one now.
    pub(crate) fn begin(&self) -> (Busy<'_>, bool) {
        self.served.fetch_add(1, Ordering::Relaxed);
        let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        (Busy { control: self }, busy == self.workers.load(Ordering::SeqCst))
    }

    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    pub(crate) fn finished(&self) -> u64 {
        self.lock().finished
    }

    /// From now on no connection counts as finished; gives how many there are.
    pub(crate) fn abort(&self) -> usize {
        let mut end = self.lock();
        end.aborting = true;
        self.busy.load(Ordering::SeqCst)
    }
}

/// A thread, for as long as it runs.
#[derive(Debug)]
pub(crate) struct Worker {
    control: Arc<Control>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let end = self.control.lock();
        self.control.workers.fetch_sub(1, Ordering::SeqCst);
        drop(end);
        self.control.changed.notify_all();
    }
}

/// A connection, for as long as it is served.
#[derive(Debug)]
pub(crate) struct Busy<'a> {
    control: &'a Control,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if !self.control.is_stopping() {
            self.control.busy.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        let mut end = self.control.lock();
        self.control.busy.fetch_sub(1, Ordering::SeqCst);
        if !end.aborting {
            end.finished += 1;
        }
    }
}

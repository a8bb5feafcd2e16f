//! What the threads of a server tell each other: how many there are, and that it stops.

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

/// What a server's threads share beside the program's part.
///
/// A thread is *up* while it accepts or has a connection, and *busy* while it has one. Threads
/// beyond those that are wanted rest: see [`Crew`](crate::crew::Crew).
#[derive(Debug, Default)]
pub(crate) struct Control {
    stopping: AtomicBool,
    /// Threads that run, how many of them are up, and how many of those are busy.
    workers: AtomicUsize,
    up: AtomicUsize,
    busy: AtomicUsize,
    /// How many should be up.
    wanted: AtomicUsize,
    served: AtomicU64,
    /// The thread that watches the others sleeps until a connection comes.
    dozing: AtomicBool,
    end: Mutex<End>,
    changed: Condvar,
    /// Threads that rest wait here until more are wanted.
    called: Condvar,
    turns: Mutex<Vec<Arc<Turns>>>,
}

/// How a server ends; all zero until it does.
#[derive(Debug, Default)]
struct End {
    finished: u64,
    aborting: bool,
}

/// How often a thread has begun and ended a connection, both together: odd while it is busy.
pub(crate) type Turns = AtomicU64;

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
        self.called.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Waits until the server is to stop, at most for a time.
    pub(crate) fn wait_for_stop(&self, timeout: Option<Duration>) {
        self.wait(timeout, || self.is_stopping());
    }

    /// Waits until another connection begins than the `served` that were looked at, or the server
    /// is to stop, at most for a time.
    pub(crate) fn doze(&self, served: u64, timeout: Option<Duration>) {
        self.dozing.store(true, Ordering::SeqCst);
        // One that began since the look, or before that store, wakes nobody.
        self.wait(timeout, || self.is_stopping() || self.served() != served);
        self.dozing.store(false, Ordering::SeqCst);
    }

    /// Waits until no thread waits for a connection; gives whether that came in time.
    pub(crate) fn wait_for_accepts(&self, timeout: Duration) -> bool {
        self.wait(Some(timeout), || self.workers() <= self.busy())
    }

    /// Waits until no thread runs; gives whether that came in time.
    pub(crate) fn wait_for_workers(&self, timeout: Duration) -> bool {
        self.wait(Some(timeout), || self.workers() == 0)
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

    /// Counts a thread that is about to be made, unless there are `max`. It is up.
    pub(crate) fn add_worker(self: &Arc<Self>, max: usize) -> Option<Worker> {
        let more = |count| (count < max).then_some(count + 1);
        self.workers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        self.up.fetch_add(1, Ordering::SeqCst);
        let turns = Arc::<Turns>::default();
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&turns));
        Some(Worker { control: Arc::clone(self), turns })
    }

    /// The turns of every thread that was made, in that order.
    pub(crate) fn turns(&self) -> MutexGuard<'_, Vec<Arc<Turns>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how many threads should be up, and gets up as many as rest; gives how many have to be
    /// made for it.
    pub(crate) fn want(&self, count: usize) -> usize {
        self.wanted.store(count, Ordering::SeqCst);
        let missing = count.saturating_sub(self.up.load(Ordering::SeqCst));
        if missing == 0 {
            return 0;
        }
        // Under the lock, as one that is about to rest might miss the call.
        let end = self.lock();
        let resting = self.workers().saturating_sub(self.up.load(Ordering::SeqCst));
        drop(end);
        for _ in 0..missing.min(resting) {
            self.called.notify_one();
        }
        missing.saturating_sub(resting)
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Ordering::SeqCst)
    }

    pub(crate) fn up(&self) -> usize {
        self.up.load(Ordering::SeqCst)
    }

    pub(crate) fn busy(&self) -> usize {
        self.busy.load(Ordering::SeqCst)
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
        self.busy()
    }
}

/// A thread, for as long as it runs.
#[derive(Debug)]
pub(crate) struct Worker {
    control: Arc<Control>,
    turns: Arc<Turns>,
}

impl Worker {
    /// Rests while more threads are up than are wanted.
    pub(crate) fn rest(&self) {
        let control = &*self.control;
        let beyond = |up| (up > control.wanted.load(Ordering::SeqCst)).then(|| up - 1);
        if control.up.fetch_update(Ordering::SeqCst, Ordering::SeqCst, beyond).is_err() {
            return;
        }
        let mut end = control.lock();
        while !control.is_stopping() && !self.get_up() {
            end = control.called.wait(end).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn get_up(&self) -> bool {
        let control = &*self.control;
        let missing = |up| (up < control.wanted.load(Ordering::SeqCst)).then_some(up + 1);
        control.up.fetch_update(Ordering::SeqCst, Ordering::SeqCst, missing).is_ok()
    }

    /// Counts a connection.
    pub(crate) fn begin(&self) -> Busy<'_> {
        let control = &*self.control;
        control.busy.fetch_add(1, Ordering::SeqCst);
        self.turns.fetch_add(1, Ordering::SeqCst);
        control.served.fetch_add(1, Ordering::SeqCst);
        if control.dozing.load(Ordering::SeqCst) && control.dozing.swap(false, Ordering::SeqCst) {
            drop(control.lock());
            control.changed.notify_all();
        }
        Busy { worker: self }
    }
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
    worker: &'a Worker,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let Worker { control, turns } = self.worker;
        turns.fetch_add(1, Ordering::SeqCst);
        if !control.is_stopping() {
            control.busy.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        let mut end = control.lock();
        control.busy.fetch_sub(1, Ordering::SeqCst);
        if !end.aborting {
            end.finished += 1;
        }
    }
}

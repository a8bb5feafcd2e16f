//! The threads of a server: who accepts, who works, who rests, and how many are wanted.
//!
//! Each thread accepts a connection, answers it, and accepts again. It waits in accept(2) itself,
//! where the system wakes one thread for each connection. The rule: **while fewer threads are busy
//! than there may be, no connection waits longer than 5 ms for a thread**.
//!
//! - [`rule`] decides how many threads are wanted, and [`state`] knows what each of them does.
//!   Both are plain values: [`model`] drives them through thousands of schedules in virtual time.
//! - This file puts the state under a lock, and lets threads wait.
//! - [`watch`] is the thread that runs [`Serve::run`](crate::Serve::run). It looks while no thread is
//!   free, and sleeps otherwise. It also makes threads, makes room on a full server, and reports to
//!   systemd.
//! - [`work`] is what the other threads do, and [`stop`] is how accepting ends.
//! - [`upgraded`] counts the connections that have left these threads after a 101.

mod asleep;
#[cfg(test)]
mod model;
mod rule;
mod state;
mod stop;
mod upgraded;
mod watch;
mod work;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::stream::Stream;
use rule::Seen;
use state::{Missing, Next, Phase, State, ThreadNote};
pub(crate) use upgraded::UpgradedPlace;
pub(crate) use watch::run;

/// Stops a server; made by [`Serve::shutdown_handle`](crate::Serve::shutdown_handle).
///
/// # Examples
/// ```
/// use scgi_blocking::{Listener, Request, Response, serve};
///
/// let listener = Listener::bind("127.0.0.1:0")?;
/// let server = serve(listener, |_: Request| Response::new("hello"));
/// let shutdown = server.shutdown_handle();
/// let running = std::thread::spawn(|| server.run());
/// shutdown.stop();
/// let summary = running.join().expect("no panic")?;
/// assert_eq!(summary.served, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    pub(crate) pool: Arc<Pool>,
}

impl Shutdown {
    /// Makes the server stop accepting and finish what runs. It does not wait for that.
    pub fn stop(&self) {
        self.pool.stop();
    }
}

/// What the threads of a server share, beside the program's part.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    inner: Mutex<Inner>,
    /// The watcher waits here.
    watch: Condvar,
    /// Threads that rest wait here.
    rest: Condvar,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// A thread has asked the watcher for a look.
    is_asked: bool,
    /// What was accepted at the end and has no thread yet.
    left_over: VecDeque<Stream>,
}

impl Default for Inner {
    fn default() -> Self {
        // Until the server runs, it can only be stopped.
        Self { state: State::new(1, 1, 0), is_asked: false, left_over: VecDeque::new() }
    }
}

/// What a thread is to do.
#[derive(Debug)]
enum Task {
    Accept,
    /// Answer this connection, which was accepted at the end.
    Serve(Stream),
    Leave,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how many threads there may be, and how many upgraded connections. There is none yet.
    fn set_size(&self, processors: usize, max: usize, max_upgraded: usize) {
        let mut inner = self.lock();
        let phase = inner.state.phase();
        inner.state = State::new(processors, max, max_upgraded);
        inner.state.advance(phase);
    }

    fn stop(&self) {
        self.advance(Phase::Taking);
        self.watch.notify_all();
    }

    /// Moves to a later phase, without waking a thread.
    fn advance(&self, phase: Phase) {
        self.lock().state.advance(phase);
    }

    /// Begins a look: returns the threads that may be asleep, which the caller checks, and
    /// whether no thread is free.
    fn begin_look(&self, now: Duration) -> (Option<Vec<u32>>, bool) {
        let mut inner = self.lock();
        inner.is_asked = false;
        (inner.state.sample(now), inner.state.accepting() == 0)
    }

    fn look(&self, now: Duration, seen: &Seen) {
        self.lock().state.look(now, seen);
    }

    /// How long until the next look.
    fn pause(&self, now: Duration) -> Option<Duration> {
        self.lock().state.pause(now)
    }

    /// Waits until it is time for a look, or the server is to stop.
    fn wait_for_look(&self, pause: Option<Duration>) {
        self.wait_until(pause, |inner| inner.is_asked || inner.state.phase() > Phase::Running);
    }

    /// Notes that a thread could not be made; returns whether that is to be logged.
    fn spawn_failed(&self, now: Duration) -> bool {
        self.lock().state.spawn_failed(now)
    }

    fn has_no_place(&self, now: Duration) -> bool {
        self.lock().state.has_no_place(now)
    }

    fn is_stopping(&self) -> bool {
        self.lock().state.phase() > Phase::Running
    }

    /// Waits until `done`, at most for a time; returns whether it came in time.
    fn wait_until(&self, timeout: Option<Duration>, done: impl Fn(&Inner) -> bool) -> bool {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut inner = self.lock();
        while !done(&inner) {
            inner = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    let woken = self.watch.wait_timeout(inner, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.watch.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
        true
    }

    /// Waits until the server is to stop, at most for a time.
    fn wait_for_stop(&self, timeout: Duration) {
        self.wait_until(Some(timeout), |inner| inner.state.phase() > Phase::Running);
    }

    /// Calls threads that rest; returns how many more must be made.
    fn call(&self, now: Duration) -> usize {
        let Missing { called, to_make } = self.lock().state.call(now);
        for _ in 0..called {
            self.rest.notify_one();
        }
        to_make
    }
}

/// A thread, for as long as it runs.
#[derive(Debug)]
pub(crate) struct Worker {
    pool: Arc<Pool>,
    place: usize,
    note: Arc<ThreadNote>,
}

impl Worker {
    /// Counts a thread that is about to be made, unless there are enough.
    fn add(pool: &Arc<Pool>) -> Option<Self> {
        let (place, note) = pool.lock().state.add()?;
        Some(Self { pool: Arc::clone(pool), place, note })
    }

    /// Counts a connection. If `is_counted` is false, [`count`](Self::count) may follow.
    fn begin(&self, is_counted: bool) {
        let mut inner = self.pool.lock();
        if inner.state.begin(self.place, is_counted) {
            inner.is_asked = true;
            drop(inner);
            self.pool.watch.notify_all();
        }
    }

    fn count(&self) {
        self.pool.lock().state.count(self.place);
    }

    /// Ends what the thread did, and waits until there is something to do for it.
    fn next(&self) -> Task {
        let mut inner = self.pool.lock();
        let mut next = inner.state.end(self.place);
        if next == Next::Finish {
            // The end may wait for this.
            self.pool.watch.notify_all();
        }
        loop {
            match next {
                Next::Accept => return Task::Accept,
                Next::Finish => match inner.left_over.pop_front() {
                    Some(stream) => return Task::Serve(stream),
                    None if inner.state.phase() >= Phase::Ending => return Task::Leave,
                    None => {}
                },
                Next::Rest => {}
            }
            inner = self.pool.rest.wait(inner).unwrap_or_else(PoisonError::into_inner);
            next = inner.state.answer_call(self.place);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.pool.lock().state.leave(self.place);
        self.pool.watch.notify_all();
    }
}

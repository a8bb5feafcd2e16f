//! The program of an upgrade, and the thread that runs it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::BoxError;
use scgi_proto::trace::Trace;

use super::Upgraded;

/// What the program does with the connection.
pub(crate) struct Program {
    run: Box<dyn FnOnce(Upgraded) -> Result<(), BoxError> + Send>,
    /// The span of its request.
    trace: Option<Trace>,
}

impl Program {
    pub(crate) fn new(
        run: impl FnOnce(Upgraded) -> Result<(), BoxError> + Send + 'static,
    ) -> Self {
        Self { run: Box::new(run), trace: None }
    }

    pub(crate) fn with_trace(self, trace: Option<Trace>) -> Self {
        Self { trace, ..self }
    }

    /// Runs it, and logs if it fails or panics.
    fn run(self, io: Upgraded) {
        let run = || match catch_unwind(AssertUnwindSafe(|| (self.run)(io))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => Trace::upgraded_failed(&*error),
            Err(panic) => Trace::panicked(&*panic),
        };
        match &self.trace {
            Some(trace) => trace.in_scope(run),
            None => run(),
        }
    }
}

/// Where the program of an upgrade runs.
pub(crate) trait Launch {
    /// What is ready to run it.
    type Start;

    /// Makes sure that it can run, before the 101 is sent. `None` if it cannot.
    fn prepare(&self) -> Option<Self::Start>;

    /// Runs it.
    fn run(&self, start: Self::Start, program: Program, io: Upgraded);
}

/// On the thread that has answered.
pub(crate) struct InPlace;

impl Launch for InPlace {
    type Start = ();

    fn prepare(&self) -> Option<()> {
        Some(())
    }

    fn run(&self, (): (), program: Program, io: Upgraded) {
        program.run(io);
    }
}

/// On threads of their own, up to a number, so that those which answer requests stay free.
#[derive(Clone)]
pub(crate) struct OwnThreads {
    open: Arc<Open>,
    max: usize,
}

/// How many there are.
#[derive(Default)]
struct Open {
    count: Mutex<usize>,
    closed: Condvar,
}

/// One of them, for as long as it runs.
struct Place(Arc<Open>);

impl Open {
    fn count(&self) -> MutexGuard<'_, usize> {
        // No code that can panic runs under the lock.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.count() -= 1;
        self.0.closed.notify_all();
    }
}

impl OwnThreads {
    pub(crate) fn new(max: usize) -> Self {
        Self { open: Arc::default(), max }
    }

    fn place(&self) -> Option<Place> {
        let mut count = self.open.count();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Place(Arc::clone(&self.open)))
    }

    /// Waits until none is left, at most for a time. Returns how many are.
    pub(crate) fn wait_until_closed(&self, timeout: Option<Duration>) -> usize {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut count = self.open.count();
        while *count > 0 {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            let closed = &self.open.closed;
            count = match left {
                Some(left) => {
                    closed.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => closed.wait(count).unwrap_or_else(PoisonError::into_inner),
            };
        }
        *count
    }
}

impl Launch for OwnThreads {
    type Start = SyncSender<(Program, Upgraded)>;

    fn prepare(&self) -> Option<Self::Start> {
        let place = self.place()?;
        let (start, started) = sync_channel::<(Program, Upgraded)>(1);
        let thread = thread::Builder::new().name("scgi-upgraded".to_owned()).spawn(move || {
            // Nothing comes if the 101 could not be sent.
            if let Ok((program, io)) = started.recv() {
                program.run(io);
            }
            drop(place);
        });
        if let Err(error) = thread {
            Trace::thread_failed(&error);
            return None;
        }
        Some(start)
    }

    fn run(&self, start: Self::Start, program: Program, io: Upgraded) {
        // The thread waits for it.
        let _ = start.send((program, io));
    }
}

//! How many threads of a server are up.
//!
//! For each connection the system wakes one of the threads that wait in `accept`, though another
//! would have come by at once: with many that wait, each request costs a change of threads. So
//! only as many threads are up as there are processors, beside those that are held by a
//! connection: by a handler that waits, or a peer that is slow. Which ones these are is looked at
//! again and again while there is something to do: every 16 ms, and every millisecond while more
//! and more are. A connection that comes while all threads are held waits no longer than that for
//! the next one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::control::{Control, Turns};

/// How often the threads are looked at while more of them are needed each time; one that has had
/// the same connection since the last look is held.
const TICK: Duration = Duration::from_millis(1);

/// How often when nothing has changed for a while: it costs a system call each time.
const LONG_TICK: Duration = Duration::from_millis(16);

/// After so many looks threads that were not needed may rest, and after twice as many without a
/// change nobody looks until the next connection: long enough that a usual pause changes nothing.
const MEMORY: u32 = 100;

/// What the thread that looks after the others knows of them.
#[derive(Debug)]
pub(crate) struct Crew {
    processors: usize,
    max: usize,
    /// Each thread's turns at the last look.
    seen: Vec<u64>,
    /// How many were needed at most, in this stretch of `MEMORY` looks and the one before.
    peaks: [usize; 2],
    looks: u32,
    unchanged: u32,
    /// How many were wanted at the last look, and the time until the next.
    wanted: usize,
    pause: Duration,
}

/// What is to be done after a look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Look(Duration),
    /// Nothing changes before the next connection.
    Doze,
}

impl Crew {
    /// A crew of at most `max` threads.
    pub(crate) fn new(max: usize) -> Self {
        Self::on(thread::available_parallelism().map_or(1, usize::from), max)
    }

    fn on(processors: usize, max: usize) -> Self {
        let processors = processors.min(max);
        Self {
            processors,
            max,
            seen: Vec::new(),
            peaks: [processors; 2],
            looks: 0,
            unchanged: 0,
            wanted: processors,
            pause: TICK,
        }
    }

    /// How many threads are up at least.
    pub(crate) fn least(&self) -> usize {
        self.processors
    }

    /// How many threads should be up, and when to look again. `is_waiting` says whether a
    /// connection waits to be accepted.
    pub(crate) fn look(
        &mut self,
        control: &Control,
        is_waiting: impl FnOnce() -> bool,
    ) -> (usize, Next) {
        let held = self.held(&control.turns());
        let mut needed = held + self.processors;
        if held > 0 && held >= control.up() && is_waiting() {
            // All are held, and who knows how many connections wait: twice as many, each time.
            needed = needed.max(2 * held);
        }
        let wanted = self.remember(needed.min(self.max));
        self.pause = if wanted > self.wanted { TICK } else { LONG_TICK.min(2 * self.pause) };
        self.wanted = wanted;
        let is_enough = control.up() >= wanted && (held < wanted || wanted == self.max);
        if self.unchanged > 2 * MEMORY && is_enough {
            // What comes after a pause is looked at closely again.
            self.pause = TICK;
            return (wanted, Next::Doze);
        }
        (wanted, Next::Look(self.pause))
    }

    /// How many threads have had the same connection since the last look.
    fn held(&mut self, turns: &[Arc<Turns>]) -> usize {
        let mut held = 0;
        self.seen.resize(turns.len(), 0);
        self.unchanged += 1;
        for (seen, turns) in self.seen.iter_mut().zip(turns) {
            let now = turns.load(Ordering::SeqCst);
            if *seen != now {
                *seen = now;
                self.unchanged = 0;
            } else if now % 2 == 1 {
                held += 1;
            }
        }
        held
    }

    /// The most that was needed lately.
    fn remember(&mut self, needed: usize) -> usize {
        self.peaks[0] = self.peaks[0].max(needed);
        let wanted = self.peaks[0].max(self.peaks[1]);
        self.looks += 1;
        if self.looks == MEMORY {
            self.looks = 0;
            self.peaks = [needed, self.peaks[0]];
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Worker;

    fn threads(control: &Arc<Control>, count: usize) -> Vec<Worker> {
        (0..count).map(|_| control.add_worker(usize::MAX).expect("a thread")).collect()
    }

    #[test]
    fn quick_connections_need_no_more_threads_than_processors() {
        let control = Arc::default();
        let workers = threads(&control, 2);
        let mut crew = Crew::on(2, 256);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            for worker in &workers {
                drop(worker.begin());
            }
            let (wanted, next) = crew.look(&control, || true);
            assert_eq!(wanted, 2);
            pauses.push(next);
        }
        let millis = [2, 4, 8, 16, 16, 16].map(|ms| Next::Look(Duration::from_millis(ms)));
        assert_eq!(pauses, millis);
    }

    #[test]
    fn threads_that_are_held_are_replaced() {
        let control = Arc::default();
        let workers = threads(&control, 2);
        let mut crew = Crew::on(2, 256);
        let _held = workers[0].begin();
        assert_eq!(crew.look(&control, || true).0, 2, "just begun");
        assert_eq!(crew.look(&control, || true), (3, Next::Look(TICK)));
    }

    #[test]
    fn twice_as_many_while_all_are_held_and_others_wait() {
        let control = Arc::default();
        let mut workers = threads(&control, 1);
        let mut crew = Crew::on(1, 20);
        let mut wanted = Vec::new();
        for _ in 0..6 {
            let held: Vec<_> = workers.iter().map(Worker::begin).collect();
            crew.look(&control, || true);
            wanted.push(crew.look(&control, || true).0);
            drop(held);
            workers.extend(threads(&control, wanted[wanted.len() - 1] - workers.len()));
        }
        assert_eq!(wanted, [2, 4, 8, 16, 20, 20]);
    }

    #[test]
    fn threads_rest_and_looks_end_when_nothing_happens() {
        let control = Arc::default();
        let workers = threads(&control, 8);
        let mut crew = Crew::on(1, 256);
        let held: Vec<_> = workers[..7].iter().map(Worker::begin).collect();
        crew.look(&control, || false);
        assert_eq!(crew.look(&control, || false).0, 8);
        drop(held);
        let looks = (0..1000).take_while(|_| crew.look(&control, || false).1 != Next::Doze);
        let looks = looks.count() as u32;
        assert!((2 * MEMORY..3 * MEMORY).contains(&looks), "{looks}");
        assert_eq!(crew.look(&control, || false).0, 1);
    }
}

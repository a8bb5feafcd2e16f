//! What each thread does, how many do it, and what is wanted. Without I/O, threads or a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use super::rule::{Counts, Plan, Rule, Seen, TICK};

/// The pause after a thread could not be made.
const SPAWN_PAUSE: Duration = Duration::from_millis(100);

/// How often it is logged at most that a thread cannot be made.
const SPAWN_LOG: Duration = Duration::from_secs(60);

/// How far a server has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Phase {
    #[default]
    Running,
    /// It stops, and takes what waits. No thread is made or called.
    Taking,
    /// No more connections come. What was taken is served.
    Ending,
    /// The deadline is over. What ends now no longer counts as finished.
    Aborting,
}

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// It waits in accept(2), or is on the way there.
    Accepting,
    /// It has had a connection since this look.
    Busy { since: u64, is_counted: bool },
    /// It waits until it is called, or until there is something to serve at the end.
    Resting,
    /// It has ended, or could not be made.
    Gone,
}

/// A thread's entry.
#[derive(Debug)]
struct Place {
    doing: Doing,
    thread: Arc<ThreadNote>,
}

/// What a thread notes about itself, without the lock.
#[derive(Debug, Default)]
pub(super) struct ThreadNote {
    /// The system's number of the thread, where there is one; else 0.
    pub(super) task: AtomicU32,
    /// The head of its connection has come, and the handler was called. Before that it waits for
    /// the peer, which may only be busy with the next connection.
    pub(super) is_in_handler: AtomicBool,
}

/// What a thread does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Accept,
    /// Rests until it is called.
    Rest,
    /// Takes no connection from the listener any more.
    Finish,
}

/// What is to be done to have as many threads as are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Missing {
    /// How many threads that rest were called: each must be woken.
    pub(super) called: usize,
    /// How many threads must be made.
    pub(super) to_make: usize,
}

/// Connections that have left their thread after a 101.
#[derive(Debug)]
struct Upgraded {
    max: usize,
    /// Places taken.
    places: usize,
    /// Those of them whose 101 was sent.
    open: usize,
}

/// The threads of a server.
#[derive(Debug)]
pub(super) struct State {
    max: usize,
    phase: Phase,
    places: Vec<Place>,
    accepting: usize,
    busy: usize,
    resting: usize,
    upgraded: Upgraded,
    /// Threads that were called and have not noticed yet. They count as accepting already.
    calls: usize,
    wanted: usize,
    rule: Rule,
    /// Looks that were a tick or more apart, and when the last of them was.
    looks: u64,
    ticked: Duration,
    /// When to look next, if no thread asks for it earlier.
    next_look: Option<Duration>,
    /// A thread that leaves none free asks for a look.
    on_call: bool,
    /// Connections: begun, ended, and ended after the stop.
    served: u64,
    ended: u64,
    finished: u64,
    /// When a thread may be made again after one could not be made, and when that was logged.
    spawn_after: Duration,
    spawn_logged: Option<Duration>,
}

impl State {
    pub(super) fn new(processors: usize, max: usize, max_upgraded: usize) -> Self {
        Self {
            max,
            upgraded: Upgraded { max: max_upgraded, places: 0, open: 0 },
            phase: Phase::Running,
            places: Vec::new(),
            accepting: 0,
            busy: 0,
            resting: 0,
            calls: 0,
            wanted: processors.clamp(1, max),
            rule: Rule::new(processors, max),
            looks: 0,
            ticked: Duration::ZERO,
            next_look: None,
            on_call: true,
            served: 0,
            ended: 0,
            finished: 0,
            spawn_after: Duration::ZERO,
            spawn_logged: None,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Moves to a later phase.
    pub(super) fn advance(&mut self, phase: Phase) {
        self.phase = self.phase.max(phase);
    }

    /// How many threads may wait in accept(2).
    pub(super) fn accepting(&self) -> usize {
        self.accepting
    }

    pub(super) fn busy(&self) -> usize {
        self.busy
    }

    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        self.accepting + self.busy + self.resting
    }

    /// Whether no thread is left and no upgraded connection.
    pub(super) fn is_over(&self) -> bool {
        self.threads() == 0 && self.upgraded.places == 0
    }

    /// Connections that are served: each is either a thread's or upgraded.
    pub(super) fn open(&self) -> usize {
        let is_counted =
            |place: &&Place| matches!(place.doing, Doing::Busy { is_counted: true, .. });
        self.places.iter().filter(is_counted).count() + self.upgraded.open
    }

    /// Takes the place of an upgraded connection. `false` if there is none.
    pub(super) fn reserve_upgraded(&mut self) -> bool {
        let has_place = self.upgraded.places < self.upgraded.max;
        self.upgraded.places += usize::from(has_place);
        has_place
    }

    /// The connection of this thread leaves it.
    pub(super) fn begin_upgraded(&mut self, place: usize) {
        self.upgraded.open += 1;
        if let Doing::Busy { is_counted, .. } = &mut self.places[place].doing {
            // It has not ended when the thread has.
            *is_counted = false;
        }
    }

    /// Gives up the place of an upgraded connection, whose 101 may have been sent.
    pub(super) fn end_upgraded(&mut self, has_begun: bool) {
        self.upgraded.places -= 1;
        self.upgraded.open -= usize::from(has_begun);
        self.count_finished(has_begun);
    }

    /// Counts a connection that has ended, if it was one.
    fn count_finished(&mut self, is_counted: bool) {
        let is_finished = is_counted && matches!(self.phase, Phase::Taking | Phase::Ending);
        self.finished += u64::from(is_finished);
    }

    pub(super) fn served(&self) -> u64 {
        self.served
    }

    pub(super) fn finished(&self) -> u64 {
        self.finished
    }

    /// Whether every thread that there may be has a connection.
    pub(super) fn is_full(&self) -> bool {
        self.busy >= self.max
    }

    /// Whether a connection that waits gets a thread only when one becomes free: all that there may
    /// be are busy, or all that there are, and no more can be made.
    pub(super) fn has_no_place(&self, now: Duration) -> bool {
        let is_alone = self.accepting == 0 && self.resting == 0;
        self.is_full() || (is_alone && now < self.spawn_after)
    }

    /// How many threads there may be.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// How many more connections can be served at once.
    pub(super) fn free_places(&self) -> usize {
        self.max - self.busy
    }

    /// Counts a thread that is about to be made, as one that accepts. `None` if there are enough.
    pub(super) fn add(&mut self) -> Option<(usize, Arc<ThreadNote>)> {
        if self.threads() >= self.max {
            return None;
        }
        self.accepting += 1;
        let thread = Arc::<ThreadNote>::default();
        let place = Place { doing: Doing::Accepting, thread: Arc::clone(&thread) };
        if let Some(gone) = self.places.iter().position(|place| place.doing == Doing::Gone) {
            self.places[gone] = place;
            return Some((gone, thread));
        }
        self.places.push(place);
        Some((self.places.len() - 1, thread))
    }

    /// A thread could not be made, and has left its place. Returns whether that is to be logged.
    pub(super) fn spawn_failed(&mut self, now: Duration) -> bool {
        self.spawn_after = now + SPAWN_PAUSE;
        let logs = self.spawn_logged.is_none_or(|at| now.saturating_sub(at) >= SPAWN_LOG);
        if logs {
            self.spawn_logged = Some(now);
        }
        logs
    }

    /// A thread has a connection. Returns whether the watcher must be woken: no thread is free, and
    /// no look would come soon.
    pub(super) fn begin(&mut self, place: usize, is_counted: bool) -> bool {
        self.put(place, Doing::Busy { since: self.looks, is_counted });
        self.places[place].thread.is_in_handler.store(false, Relaxed);
        self.served += u64::from(is_counted);
        let asks = self.on_call && self.accepting == 0;
        self.on_call &= !asks;
        asks
    }

    /// Counts a connection that was not counted when it began.
    pub(super) fn count(&mut self, place: usize) {
        if let Doing::Busy { is_counted, .. } = &mut self.places[place].doing {
            self.served += u64::from(!*is_counted);
            *is_counted = true;
        }
    }

    /// A thread's connection is over, or its accept has failed. Returns what it does next.
    pub(super) fn end(&mut self, place: usize) -> Next {
        if let Doing::Busy { is_counted, .. } = self.places[place].doing {
            self.ended += 1;
            self.count_finished(is_counted);
        }
        if self.phase != Phase::Running {
            self.put(place, Doing::Resting);
            return Next::Finish;
        }
        // Itself included.
        let rests = self.accepting + self.busy > self.wanted;
        self.put(place, if rests { Doing::Resting } else { Doing::Accepting });
        if rests { Next::Rest } else { Next::Accept }
    }

    /// Asks on behalf of a thread that rests what it does next.
    pub(super) fn answer_call(&mut self, place: usize) -> Next {
        if self.calls > 0 {
            // It was counted when it was called.
            self.calls -= 1;
            self.places[place].doing = Doing::Accepting;
            if self.phase == Phase::Running {
                return Next::Accept;
            }
            self.put(place, Doing::Resting);
        }
        if self.phase == Phase::Running { Next::Rest } else { Next::Finish }
    }

    /// A thread ends.
    pub(super) fn leave(&mut self, place: usize) {
        self.put(place, Doing::Gone);
    }

    fn put(&mut self, place: usize, doing: Doing) {
        let before = std::mem::replace(&mut self.places[place].doing, doing);
        for (doing, more) in [(before, false), (doing, true)] {
            let count = match doing {
                Doing::Accepting => &mut self.accepting,
                Doing::Busy { .. } => &mut self.busy,
                Doing::Resting => &mut self.resting,
                Doing::Gone => continue,
            };
            *count = if more { *count + 1 } else { *count - 1 };
        }
    }

    /// The threads that the next look checks for sleep: some of those that
    /// are in their handler, or have waited for a head since before the last look, and are not
    /// stuck. If there are none, some that are stuck. `None` if it does not want to know.
    pub(super) fn sample(&self, now: Duration) -> Option<Vec<u32>> {
        let count = self.rule.sample(now, &self.counts())?;
        let asked = |place: &&Place| match place.doing {
            Doing::Busy { since, .. } => {
                let in_handler = place.thread.is_in_handler.load(Relaxed);
                !is_stuck(place.doing, self.looks) && (in_handler || since < self.looks)
            }
            _ => false,
        };
        let task = |place: &Place| place.thread.task.load(Relaxed);
        let tasks: Vec<_> = self.places.iter().filter(asked).map(task).take(count).collect();
        if !tasks.is_empty() {
            return Some(tasks);
        }
        let stuck = self.places.iter().filter(|place| is_stuck(place.doing, self.looks));
        Some(stuck.map(task).take(count).collect())
    }

    fn counts(&self) -> Counts {
        let stuck = self.places.iter().filter(|place| is_stuck(place.doing, self.looks)).count();
        Counts { accepting: self.accepting, busy: self.busy, stuck, ended: self.ended }
    }

    /// Decides how many threads there should be.
    pub(super) fn look(&mut self, now: Duration, seen: &Seen) {
        let Plan { wanted, next, on_call } = self.rule.look(now, &self.counts(), seen);
        if now >= self.ticked + TICK {
            self.ticked = now;
            self.looks += 1;
        }
        self.wanted = wanted;
        self.next_look = next.map(|next| now + next);
        self.on_call = on_call;
    }

    /// How long until the next look, if no thread asks for it earlier.
    pub(super) fn pause(&self, now: Duration) -> Option<Duration> {
        let next = self.next_look.map(|at| at.saturating_sub(now));
        if self.accepting + self.busy >= self.wanted {
            return next;
        }
        // Threads could not be made.
        let retry = self.spawn_after.saturating_sub(now).max(TICK);
        Some(next.map_or(retry, |next| next.min(retry)))
    }

    /// Calls as many threads as are missing and rest. Returns how many, and how many more must be
    /// made.
    pub(super) fn call(&mut self, now: Duration) -> Missing {
        if self.phase != Phase::Running {
            return Missing::default();
        }
        let missing = self.wanted.saturating_sub(self.accepting + self.busy);
        let called = missing.min(self.resting);
        self.resting -= called;
        self.accepting += called;
        self.calls += called;
        let may_make = now >= self.spawn_after;
        Missing { called, to_make: if may_make { missing - called } else { 0 } }
    }
}

/// Whether the thread had this connection two looks before.
fn is_stuck(doing: Doing, look: u64) -> bool {
    matches!(doing, Doing::Busy { since, .. } if since + 2 <= look)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look at which a connection waits and no thread is known to be asleep.
    const WAITING: Seen = Seen { is_waiting: true, asleep: None };

    #[test]
    fn spawns_that_fail_leave_no_entry_and_are_logged_once_a_minute() {
        let mut state = State::new(1, 8, 0);
        let (place, _) = state.add().expect("the first");
        state.begin(place, true);
        let (mut failed, mut logged) = (0, 0);
        // Ten minutes.
        for now in (0..600_000).map(Duration::from_millis) {
            state.look(now, &WAITING);
            if state.call(now).to_make == 0 {
                continue;
            }
            let (gone, _) = state.add().expect("fewer than there may be");
            state.leave(gone);
            failed += 1;
            logged += usize::from(state.spawn_failed(now));
            assert_eq!((state.accepting(), state.busy(), state.threads()), (0, 1, 1));
            assert_eq!(state.places.len(), 2, "the entry is used again");
            assert!(state.has_no_place(now), "all that there are is busy");
        }
        assert_eq!(logged, 10);
        // Every 100 ms.
        assert!((5990..=6000).contains(&failed), "{failed}");
    }

    #[test]
    fn threads_are_made_again_soon_after_one_could_not_be() {
        let mut state = State::new(2, 4, 0);
        let (place, _) = state.add().expect("the first");
        state.begin(place, true);
        let now = Duration::from_secs(1);
        state.look(now, &WAITING);
        let (gone, _) = state.add().expect("fewer than there may be");
        state.leave(gone);
        assert!(state.spawn_failed(now));
        assert_eq!(state.call(now + SPAWN_PAUSE / 2).to_make, 0);
        let pause = state.pause(now).expect("no thread asks for the next look");
        assert!(pause <= SPAWN_PAUSE, "{pause:?}");
        assert_eq!(state.call(now + SPAWN_PAUSE).to_make, 1);
        assert!(!state.has_no_place(now + SPAWN_PAUSE));
        assert!(state.add().is_some());
        assert!(!state.has_no_place(now), "one accepts");
    }
}

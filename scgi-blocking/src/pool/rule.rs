//! Decides how many threads should accept, from regular samples. No I/O, no threads, no clock.
//!
//! Two cases look alike from outside: all threads are busy and connections wait. If the handlers
//! return immediately, the processors are the limit. A connection is taken a moment later, and one
//! more thread in accept(2) only costs changes of threads. If the handlers wait, more threads are
//! needed at once. The rule therefore has two modes:
//!
//! - **Lean**: as many threads as processors, beside those that are *stuck*: that have had the
//!   same connection for two looks. While no thread is free, there is a look each millisecond. If
//!   connections wait too, the rule asks whether threads in their handlers are asleep. If they are at
//!   two looks, the mode becomes eager.
//! - **Eager**: the thread that takes a connection and leaves none free wakes the watcher, which
//!   adds as many threads as there are while connections wait, and else one. This mode ends after a
//!   while, unless the threads are still asleep. If that was too early, two or three looks find out.

use std::time::Duration;

/// The time between two looks while no thread is free.
pub(super) const TICK: Duration = Duration::from_micros(800);

/// After so many looks at which a thread was free, no one looks until a thread asks for it: long
/// enough that a server with many short pauses is not woken after each of them.
const QUIET: u32 = 32;

/// A thread with connections that take less than this cannot have waited: it takes about as long
/// to fall asleep and to be woken. So it need not be asked.
const SHORT: Duration = Duration::from_micros(50);

/// Where the system does not say whether a thread is asleep, connections that take longer than
/// this count as waiting.
const LONG: Duration = Duration::from_micros(200);

/// How many threads are asked whether they are asleep: at a look of the lean mode, and at the end
/// of the eager mode, where few of many may be.
const SAMPLE: [usize; 2] = [4, 32];

/// The score that makes the mode eager.
const ENOUGH: i32 = 8;

/// How long the eager mode lasts, first and at most. It doubles when it was needed again soon.
const TERM: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// A need within this time after the eager mode ended is the same need.
const SOON: Duration = Duration::from_millis(250);

/// What the threads do at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Threads that wait in accept(2) or are on the way there.
    pub(super) accepting: usize,
    /// Threads that have a connection.
    pub(super) busy: usize,
    /// Of these, the ones that had the same connection two looks ago.
    pub(super) stuck: usize,
    /// Connections that have ended since the server began.
    pub(super) ended: u64,
}

impl Counts {
    fn active(&self) -> usize {
        self.accepting + self.busy
    }
}

/// What was seen outside before a look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// A connection waits to be accepted, or the system does not say.
    pub(super) is_waiting: bool,
    /// Of the threads that were asked about: how many are asleep. `None` if the rule did not ask, or
    /// the system does not say.
    pub(super) asleep: Option<Asleep>,
}

/// How many of some threads are asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asleep {
    pub(super) count: usize,
    pub(super) of: usize,
}

/// What is to be done after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// How many threads should accept or be busy.
    pub(super) wanted: usize,
    /// When to look again; `None` if a thread will ask for it.
    pub(super) next: Option<Duration>,
    /// A thread that leaves no other free must ask for a look.
    pub(super) on_call: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Since when.
    Lean(Option<Duration>),
    /// Until when.
    Eager(Duration),
}

/// The rule and what it remembers.
#[derive(Debug)]
pub(super) struct Rule {
    processors: usize,
    max: usize,
    mode: Mode,
    /// How long the eager mode lasts next.
    term: Duration,
    /// How sure it is that the handlers wait.
    score: i32,
    /// Looks in a row at which a thread was free.
    quiet: u32,
    /// The time of the last look, and the connections that had ended.
    last: (Duration, u64),
    wanted: usize,
}

impl Rule {
    pub(super) fn new(processors: usize, max: usize) -> Self {
        let processors = processors.clamp(1, max);
        Self {
            processors,
            max,
            mode: Mode::Lean(None),
            term: TERM[0],
            score: 0,
            quiet: 0,
            last: (Duration::ZERO, 0),
            wanted: processors,
        }
    }

    /// Of how many threads the next look wants to know whether they are asleep, which costs a few
    /// system calls each; `None` if it does not.
    pub(super) fn sample(&self, now: Duration, counts: &Counts) -> Option<usize> {
        match self.mode {
            Mode::Eager(until) => (now >= until).then_some(SAMPLE[1]),
            Mode::Lean(_) => {
                let is_short = counts.accepting == 0 && counts.active() < self.max;
                let may_wait = self.each(now, counts).is_none_or(|each| each >= SHORT);
                (is_short && may_wait).then_some(SAMPLE[0])
            }
        }
    }

    /// How long each connection has taken since the last look; `None` if none has ended.
    fn each(&self, now: Duration, counts: &Counts) -> Option<Duration> {
        let ended = u32::try_from(counts.ended - self.last.1).unwrap_or(u32::MAX);
        let working = u32::try_from(counts.busy - counts.stuck).unwrap_or(u32::MAX);
        let total = now.saturating_sub(self.last.0).saturating_mul(working);
        total.checked_div(ended)
    }

    /// Decides how many threads there should be.
    pub(super) fn look(&mut self, now: Duration, counts: &Counts, seen: &Seen) -> Plan {
        let is_short = counts.accepting == 0 && counts.active() < self.max;
        let each = self.each(now, counts);
        self.last = (now, counts.ended);
        if counts.accepting == 0 {
            self.quiet = 0;
        } else {
            self.quiet += 1;
        }
        if let Mode::Eager(until) = self.mode {
            if now >= until {
                self.renew_or_end(now, counts, seen);
            }
        } else if is_short && seen.is_waiting {
            self.weigh(now, each, seen);
        } else {
            self.score = (self.score - 2).max(0);
        }
        let enough = if counts.busy >= self.max {
            // None rests while the server is full, as it is looked at less often then.
            self.max
        } else {
            self.max.min(counts.stuck + self.processors)
        };
        self.wanted = match self.mode {
            Mode::Lean(_) => enough,
            Mode::Eager(_) if !is_short => self.wanted.max(enough),
            Mode::Eager(_) => {
                let more = if seen.is_waiting { counts.active() } else { 1 };
                self.max.min(enough.max(counts.active() + more))
            }
        };
        self.plan(now)
    }

    /// Weighs what speaks for waiting handlers, and becomes eager if that is enough.
    fn weigh(&mut self, now: Duration, each: Option<Duration>, seen: &Seen) {
        let asleep = seen.asleep.unwrap_or_else(|| {
            let is_long = each.is_none_or(|each| each >= LONG);
            Asleep { count: usize::from(is_long), of: 1 }
        });
        let share = 6 * asleep.count / asleep.of.max(1);
        self.score = (self.score + i32::try_from(share).unwrap_or(0) - 2).max(0);
        if each.is_none() && share > 3 {
            // None has ended since the last look.
            self.score = self.score.max(ENOUGH);
        }
        if self.score < ENOUGH {
            return;
        }
        self.score = 0;
        let again =
            matches!(self.mode, Mode::Lean(Some(since)) if now.saturating_sub(since) < SOON);
        self.term = if again { TERM[1].min(2 * self.term) } else { TERM[0] };
        self.mode = Mode::Eager(now + self.term);
    }

    /// At the end of the eager mode: stays in it if threads are asleep. That may be few if handlers
    /// wait and the processors are the limit. With handlers that return immediately hardly one is.
    fn renew_or_end(&mut self, now: Duration, counts: &Counts, seen: &Seen) {
        let asleep = seen.asleep.is_some_and(|asleep| 8 * asleep.count > asleep.of);
        if asleep && counts.busy > self.processors + counts.stuck {
            self.term = TERM[1].min(2 * self.term);
            self.mode = Mode::Eager(now + self.term);
        } else {
            self.mode = Mode::Lean(Some(now));
            self.quiet = 0;
        }
    }

    fn plan(&self, now: Duration) -> Plan {
        let (next, on_call) = match self.mode {
            Mode::Eager(until) => (Some(until.saturating_sub(now)), true),
            Mode::Lean(_) if self.quiet < QUIET => (Some(TICK), false),
            Mode::Lean(_) => (None, true),
        };
        Plan { wanted: self.wanted, next, on_call }
    }
}

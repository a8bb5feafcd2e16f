//! A model of a server: the real [`State`] with threads, handlers, a listener and a clock that are
//! only numbers. It runs thousands of schedules of arrivals, handler times, slow peers, failed
//! spawns and stops, and checks the rule in each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::rule::{Asleep, Seen};
use super::state::{Missing, Next, Phase, State, ThreadNote};

/// Schedules of each test.
const SCHEDULES: u64 = 1000;

/// Times in microseconds.
type Micros = u64;

const MS: Micros = 1000;

/// How long a connection may wait while not all threads that there may be are busy; and in a burst
/// of more than `MANY` connections.
const MAY_WAIT: [Micros; 2] = [5 * MS, 20 * MS];
const MANY: usize = 64;

/// Random numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// A connection.
#[derive(Debug, Clone, Copy)]
struct Connection {
    arrived: Micros,
    /// How long its head lets the thread wait.
    head: Micros,
    /// How long its handler takes, and whether it computes.
    handler: Micros,
    computes: bool,
    /// A client that asks again when it is answered.
    client: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Being made, or on the way out of its rest.
    Starting,
    Accepting,
    Busy {
        computes: bool,
    },
    Resting,
    Gone,
}

struct Thread {
    place: usize,
    note: Arc<ThreadNote>,
    doing: Doing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive {
        client: Option<usize>,
    },
    /// A thread begins to run.
    Ready(usize),
    /// The head of a thread's connection has come.
    Head(usize),
    /// A thread's connection is over.
    End(usize),
    Look(u64),
    NextPhase(usize),
    Stop,
}

/// What comes in for a while.
#[derive(Debug, Clone, Copy)]
struct Traffic {
    length: Micros,
    burst: usize,
    clients: usize,
    times: [Micros; 3],
    instant: bool,
    slow_heads: bool,
    spawns_fail: bool,
}

struct Model {
    random: Random,
    now: Micros,
    events: BinaryHeap<Reverse<(Micros, u64, Event)>>,
    sequence: u64,
    state: State,
    max: usize,
    threads: Vec<Thread>,
    queue: VecDeque<Connection>,
    /// Threads in accept(2), the one that has waited longest first.
    accepting: VecDeque<usize>,
    /// Threads that rest, and how many of them were woken.
    resting: VecDeque<usize>,
    traffic: Vec<Traffic>,
    phase: usize,
    look: u64,
    looks: u64,
    /// Until when all threads that there may be were busy, or none could be made.
    excused: Micros,
    may_wait: Micros,
    /// Whether handlers of all times compute.
    computes: bool,
    worst: Micros,
    served: u64,
    is_stopped: bool,
    made: usize,
}

impl Model {
    fn new(seed: u64, computes: bool) -> Self {
        let mut random = Random(seed);
        let processors = random.range(1, 4) as usize;
        let max = random.pick(&[1, 2, 3, 8, 16, 64, 256, 256]);
        let count = random.range(2, 6);
        let traffic: Vec<_> = (0..count).map(|_| Self::traffic(&mut random, computes)).collect();
        let many = traffic.iter().any(|traffic| traffic.burst + traffic.clients > MANY);
        let mut model = Self {
            now: 0,
            events: BinaryHeap::new(),
            sequence: 0,
            state: State::new(processors, max, 0),
            max,
            threads: Vec::new(),
            queue: VecDeque::new(),
            accepting: VecDeque::new(),
            resting: VecDeque::new(),
            traffic,
            phase: 0,
            look: 0,
            looks: 0,
            excused: 0,
            may_wait: MAY_WAIT[usize::from(many)],
            computes,
            worst: 0,
            served: 0,
            is_stopped: false,
            made: 0,
            random,
        };
        model.at(0, Event::NextPhase(0));
        model.make(1);
        model.at(0, Event::Look(0));
        model
    }

    fn traffic(random: &mut Random, computes: bool) -> Traffic {
        let waits = [
            60,
            100,
            300,
            MS,
            2 * MS,
            5 * MS,
            8 * MS,
            14 * MS,
            20 * MS,
            50 * MS,
            200 * MS,
            1000 * MS,
        ];
        let many = random.one_in(4);
        let time = random.pick(&waits);
        // One kind of handler, or several.
        let times = if random.one_in(2) {
            [time; 3]
        } else {
            [time, random.pick(&waits), random.pick(&waits)]
        };
        Traffic {
            length: random.range(3 * MS, 40 * MS),
            burst: random.pick(&[0, 1, 3, 16, if many { 200 } else { 32 }]),
            clients: random.pick(&[0, 1, 2, 5, 32, if many { 250 } else { 20 }]),
            times,
            instant: random.one_in(if computes { 2 } else { 4 }),
            slow_heads: random.one_in(5),
            spawns_fail: random.one_in(8),
        }
    }

    fn at(&mut self, time: Micros, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time, self.sequence, event)));
    }

    fn after(&mut self, from: Micros, to: Micros, event: Event) {
        let time = self.now + self.random.range(from, to);
        self.at(time, event);
    }

    fn time(&self) -> Duration {
        Duration::from_micros(self.now)
    }

    fn run(&mut self) {
        while let Some(Reverse((time, _, event))) = self.events.pop() {
            assert!(time >= self.now);
            self.now = time;
            match event {
                Event::Arrive { client } => self.arrive(client),
                Event::Ready(thread) => self.ready(thread),
                Event::Head(thread) => self.threads[thread].note.is_in_handler.store(true, Relaxed),
                Event::End(thread) => self.end(thread),
                // One that was replaced by an earlier one is void.
                Event::Look(look) if look == self.look => self.look(),
                Event::Look(_) => {}
                Event::NextPhase(phase) => self.next_phase(phase),
                Event::Stop => self.stop(),
            }
            // Each time would take most of the time.
            if self.sequence % 127 == 0 {
                self.check();
            }
        }
        self.check();
    }

    fn next_phase(&mut self, phase: usize) {
        self.phase = phase;
        let Some(traffic) = self.traffic.get(phase).copied() else { return };
        // Some are stopped at work.
        if self.random.one_in(6) {
            self.after(0, traffic.length, Event::Stop);
        }
        for _ in 0..traffic.burst {
            self.after(0, 20, Event::Arrive { client: None });
        }
        for _ in 0..traffic.clients {
            self.after(0, 200, Event::Arrive { client: Some(phase) });
        }
        self.at(self.now + traffic.length, Event::NextPhase(phase + 1));
    }

    fn arrive(&mut self, client: Option<usize>) {
        // The clients of a phase end with it.
        if self.is_stopped || client.is_some_and(|phase| phase != self.phase) {
            return;
        }
        let Some(traffic) = self.traffic.get(self.phase).copied() else { return };
        let instant = traffic.instant || self.random.one_in(10);
        let handler =
            if instant { self.random.range(3, 20) } else { self.random.pick(&traffic.times) };
        let head = if traffic.slow_heads { self.random.range(0, 30 * MS) } else { 0 };
        let connection = Connection {
            arrived: self.now,
            head,
            handler,
            computes: instant || self.computes,
            client,
        };
        self.queue.push_back(connection);
        if let Some(thread) = self.accepting.pop_front() {
            self.begin(thread);
        }
    }

    /// A thread that is in accept(2) takes what has waited longest.
    fn begin(&mut self, thread: usize) {
        let connection = self.queue.pop_front().expect("a connection");
        let since = connection.arrived.max(self.excused);
        let waited = self.now.saturating_sub(since);
        self.worst = self.worst.max(waited);
        // Where handlers compute, the processors may be the limit.
        assert!(self.computes || waited <= self.may_wait, "{waited} us: {:?}", self.traffic);
        let place = self.threads[thread].place;
        self.threads[thread].doing = Doing::Busy { computes: connection.computes };
        self.served += 1;
        if self.state.begin(place, true) {
            self.look += 1;
            // The watcher needs a moment to wake.
            self.after(10, 80, Event::Look(self.look));
        }
        let note = &self.threads[thread].note;
        note.is_in_handler.store(connection.head == 0, Relaxed);
        if connection.head > 0 {
            self.at(self.now + connection.head, Event::Head(thread));
        }
        self.at(self.now + connection.head + connection.handler, Event::End(thread));
        if let Some(phase) = connection.client {
            let end = self.now + connection.head + connection.handler;
            let pause = self.random.range(5, 200);
            self.at(end + pause, Event::Arrive { client: Some(phase) });
        }
        if self.state.is_full() {
            self.excused = self.now;
        }
    }

    fn ready(&mut self, thread: usize) {
        let place = self.threads[thread].place;
        let next = match self.threads[thread].doing {
            // It was called, and asks what for.
            Doing::Resting => self.state.answer_call(place),
            _ => self.state.end(place),
        };
        self.go_on(thread, next);
    }

    fn end(&mut self, thread: usize) {
        if self.state.is_full() {
            self.excused = self.now;
        }
        let next = self.state.end(self.threads[thread].place);
        self.go_on(thread, next);
    }

    fn go_on(&mut self, thread: usize, next: Next) {
        match next {
            Next::Accept if self.queue.is_empty() => {
                self.threads[thread].doing = Doing::Accepting;
                self.accepting.push_back(thread);
            }
            Next::Accept => self.begin(thread),
            Next::Rest => {
                self.threads[thread].doing = Doing::Resting;
                self.resting.push_back(thread);
            }
            Next::Finish => {
                self.state.leave(self.threads[thread].place);
                self.threads[thread].doing = Doing::Gone;
            }
        }
    }

    fn look(&mut self) {
        self.looks += 1;
        if self.is_stopped {
            return;
        }
        let now = self.time();
        let sample = self.state.sample(now);
        let is_short = self.state.accepting() == 0;
        let is_waiting = is_short && !self.queue.is_empty();
        let sample = sample.filter(|_| is_waiting || !is_short);
        let asleep = sample.map(|tasks| self.asleep(&tasks));
        self.state.look(now, &Seen { is_waiting, asleep });
        let Missing { called, to_make } = self.state.call(now);
        for _ in 0..called {
            let thread = self.resting.pop_front().expect("one that rests");
            self.after(10, 80, Event::Ready(thread));
        }
        let took = self.make(to_make);
        if let Some(pause) = self.state.pause(now) {
            self.look += 1;
            let late = self.random.range(0, 60);
            let pause = pause.as_micros() as Micros;
            // A full server may be looked at less often.
            let pause = if self.state.is_full() { 20 * MS } else { pause };
            self.at(self.now + pause.max(took) + late, Event::Look(self.look));
        }
    }

    fn asleep(&self, tasks: &[u32]) -> Asleep {
        let is_asleep = |task: &&u32| {
            let thread = &self.threads[**task as usize];
            let in_handler = thread.note.is_in_handler.load(Relaxed);
            thread.doing != Doing::Busy { computes: true } || !in_handler
        };
        Asleep { count: tasks.iter().filter(is_asleep).count(), of: tasks.len() }
    }

    /// Makes threads, if that works now. Returns how long that takes.
    fn make(&mut self, count: usize) -> Micros {
        let mut took = 0;
        for _ in 0..count {
            let Some((place, note)) = self.state.add() else { break };
            assert!(!self.is_stopped, "a thread was made after the stop");
            let fails = self.traffic.get(self.phase).is_some_and(|traffic| traffic.spawns_fail);
            if self.made > 0 && fails {
                let before = (self.state.busy(), self.state.accepting() - 1);
                self.state.leave(place);
                self.state.spawn_failed(self.time());
                assert_eq!((self.state.busy(), self.state.accepting()), before);
                // Until a thread can be made again, and a pause longer.
                self.excused = self.now + self.traffic[self.phase].length + 110 * MS;
                break;
            }
            self.made += 1;
            took += self.random.range(10, 30);
            note.task.store(self.threads.len() as u32, Relaxed);
            self.threads.push(Thread { place, note, doing: Doing::Starting });
            let start = self.now + took + self.random.range(10, 60);
            self.at(start, Event::Ready(self.threads.len() - 1));
        }
        took
    }

    fn stop(&mut self) {
        if std::mem::replace(&mut self.is_stopped, true) {
            return;
        }
        self.state.advance(Phase::Taking);
        // What waits would be taken over here; then listening ends.
        self.queue.clear();
        self.state.advance(Phase::Ending);
        let waiting: Vec<_> = self.accepting.drain(..).chain(self.resting.drain(..)).collect();
        for thread in waiting {
            self.after(0, 50, Event::Ready(thread));
        }
    }

    /// The state agrees with the world.
    fn check(&self) {
        let count = |wanted: fn(Doing) -> bool| {
            self.threads.iter().filter(|thread| wanted(thread.doing)).count()
        };
        let busy = count(|doing| matches!(doing, Doing::Busy { .. }));
        assert_eq!(self.state.busy(), busy);
        assert_eq!(self.state.threads(), count(|doing| doing != Doing::Gone));
        assert!(self.state.threads() <= self.max);
        assert!(self.state.accepting() >= count(|doing| doing == Doing::Accepting));
        assert!(self.queue.is_empty() || self.accepting.is_empty(), "a wake-up was lost");
    }

    /// How every schedule ends: all is served, and then no one looks any more.
    fn check_end(&mut self) {
        assert!(self.queue.is_empty(), "{} wait indefinitely", self.queue.len());
        if self.is_stopped {
            assert_eq!(self.state.threads(), 0, "threads that do not end");
            return;
        }
        assert_eq!(self.state.busy(), 0);
        assert_eq!(self.state.served(), self.served);
        // The last event was the last look.
        assert_eq!(self.state.pause(self.time()), None);
    }
}

/// Runs all schedules; returns how many connections were served.
fn run(computes: bool) -> u64 {
    let (mut served, mut looks, mut worst) = (0, 0, 0);
    for seed in 0..SCHEDULES {
        let mut model = Model::new(seed, computes);
        model.run();
        model.check_end();
        served += model.served;
        looks += model.looks;
        worst = worst.max(model.worst);
    }
    println!("{SCHEDULES} schedules, {served} connections, {looks} looks; longest wait {worst} us");
    served
}

#[test]
fn no_connection_waits_for_a_thread_in_any_schedule() {
    assert!(run(false) > 100 * SCHEDULES);
}

#[test]
fn handlers_that_compute_are_served_in_any_schedule() {
    assert!(run(true) > 100 * SCHEDULES);
}

//! Many connections that wait in each state of the guide `flow`: what they cost, that a good request
//! is answered meanwhile, and that all of them end. In a process of its own, as its processor time is
//! measured.
//!
//! `SCGI_FLOW_LOAD` sets how many connections there are in each state, one state after the other. If it
//! is not set, there are few, in all states at once.

#![cfg(target_os = "linux")]

#[path = "../../../../scgi-proto/tests/flow/table.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod table;

use std::env;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::alone::alone;
use crate::peers::Peer;
use crate::servers::{RUNTIMES, Runtime};
use crate::states::{Seen, States, request};
use table::{Cell, endless};

/// In each state, if nothing else is set.
const FEW: usize = 30;

/// On threads, at most as many as a server has by default.
const THREADS: usize = 256;

/// Of a core for 200 in one state. Without optimization, the same work takes several times as long.
const ALLOWED: f64 = if cfg!(debug_assertions) { 0.04 } else { 0.01 };

/// How long they are watched.
const WATCHED: Duration = Duration::from_secs(2);

const PATIENCE: Duration = Duration::from_secs(120);

fn wait_until(is_so: impl Fn() -> bool, name: &str) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{name}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Processor time of this process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).expect("less than a second"),
    )
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("own memory");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

/// As many descriptors as the system allows.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, all).expect("it may be raised so far");
}

/// A refusal never waits for its peer, as it fits into the buffer of every socket.
fn can_be_shown(cell: &Cell) -> bool {
    (cell.request, cell.response) != ("head incomplete", "waits for the peer")
}

/// Connections in a state.
struct Crowd {
    cell: Cell,
    members: Vec<(Peer, Arc<Seen>)>,
}

impl Crowd {
    fn begin(server: &States, cell: &Cell, count: usize) -> Self {
        let body = if cell.request == "body complete" { 0 } else { 1 << 30 };
        let connect = |_| {
            let mut peer = server.connect();
            let (head, seen) = request(cell.request, cell.response, body);
            let sent: &[u8] = match (cell.request, cell.response) {
                ("head incomplete", "not begun") => &head[..10],
                ("head incomplete", _) => b"malformed",
                _ => &head,
            };
            peer.write_all(sent).expect("it is sent");
            if cell.request != "head incomplete" && body > 0 {
                peer.write_all(&[b'b'; 1000]).expect("it is sent");
            }
            (peer, seen)
        };
        Self { cell: cell.clone(), members: (0..count).map(connect).collect() }
    }

    /// Waits until all of them are in the state.
    fn await_state(&mut self, name: &str) {
        let name = format!("{name}: {}", self.cell.name());
        let has_program = self.cell.request != "head incomplete";
        for (peer, seen) in &mut self.members {
            match self.cell.response {
                "waits for the program" => {
                    let mut response = Vec::new();
                    while !response.ends_with(b"hello") {
                        let mut byte = [0];
                        peer.read_exact(&mut byte).expect("the first part of the response");
                        response.push(byte[0]);
                    }
                }
                "waits for the peer" => wait_until(|| seen.made.load(Ordering::SeqCst) > 2, &name),
                "complete" => assert!(peer.read_all().starts_with(b"Status: "), "{name}"),
                _ => {}
            }
            if has_program {
                wait_until(|| seen.waits.load(Ordering::SeqCst), &name);
            }
        }
    }
}

/// Brings so many connections into each of these states, and checks what they cost. Then their peers
/// leave.
fn check(runtime: Runtime, cells: &[Cell], count: usize) {
    let server = States::start(runtime, false, endless());
    let state = if let [cell] = cells { cell.name() } else { "all states".to_owned() };
    let name = format!("{runtime:?}, {state}");
    let mut crowds: Vec<_> = cells.iter().map(|cell| Crowd::begin(&server, cell, count)).collect();
    crowds.iter_mut().for_each(|crowd| crowd.await_state(&name));
    // Those whose response waits are filling buffers.
    thread::sleep(Duration::from_millis(500));
    let active = server.counters.active();
    assert_eq!(active, (cells.len() * count) as u64, "{name}: all are held");

    let before = cpu_time();
    thread::sleep(WATCHED);
    let used = (cpu_time() - before).as_secs_f64() / WATCHED.as_secs_f64();
    let memory = resident() >> 20;
    println!("{name}: {active} connections: {:.2} % of a core, {memory} MiB", 100.0 * used);
    let allowed = ALLOWED * (active as f64 / 200.0).max(1.0);
    assert!(used < allowed, "{name}: {used} of a core for {active} connections");

    let mut good = server.connect();
    good.write_all(&request("body complete", "complete", 0).0).expect("it is sent");
    assert_eq!(good.read_to_end(), b"hello", "{name}");
    for (peer, seen) in crowds.into_iter().flat_map(|crowd| crowd.members) {
        drop(peer);
        // A thread is not cancelled.
        seen.release();
    }
    wait_until(|| server.counters.active() == 0, &format!("{name}: all of them end"));
}

#[test]
fn connections_that_wait_cost_next_to_nothing() {
    alone(|| {
        allow_descriptors();
        let cells: Vec<_> = table::states().filter(can_be_shown).collect();
        let load =
            env::var("SCGI_FLOW_LOAD").ok().map(|count| count.parse::<usize>().expect("a number"));
        for runtime in RUNTIMES {
            let Some(count) = load else {
                check(runtime, &cells, FEW);
                continue;
            };
            // Threads stay as long as their server, which is as long as this process.
            let count = if runtime == Runtime::Blocking { count.min(THREADS) } else { count };
            for cell in &cells {
                check(runtime, std::slice::from_ref(cell), count);
            }
        }
    });
}

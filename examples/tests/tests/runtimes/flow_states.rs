//! The table of the guide `flow`, cell by cell, over TCP and Unix sockets on each runtime. The page
//! is the data, as for the tests on the machine alone (`scgi-proto/tests/flow.rs`).

#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::{ConnectionConfig, ReadPlan};

use crate::peers::Peer;
use crate::servers::{RUNTIMES, Runtime};
use crate::states::{LARGE, Seen, States, request};
use crate::table::{self, Cell, PEERS};

/// What is discarded at most: more than all buffers hold.
const LIMIT: usize = 4 << 20;

/// What every discarding state takes, and what none takes.
const LITTLE: usize = 2 << 20;
const MUCH: usize = 16 << 20;

/// More than what the buffers of both sides keep.
const BUFFERS: usize = 3 << 19;

/// A body that comes soon.
const SHORT_BODY: usize = 50_000;

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_until(is_so: impl Fn() -> bool, name: &str) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{name}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A cell on one server, and how a failure is named.
struct Case<'a> {
    cell: &'a Cell,
    runtime: Runtime,
    server: &'a States,
    name: String,
}

/// A connection in the state of a cell.
struct Reached {
    peer: Peer,
    seen: Arc<Seen>,
    /// What is missing of the head.
    rest: Vec<u8>,
}

impl Case<'_> {
    /// Why this state cannot be shown over a socket.
    fn cannot_be_shown(&self) -> Option<&'static str> {
        let state = (self.cell.request, self.cell.response);
        (state == ("head incomplete", "waits for the peer"))
            .then_some("the refusal of a head fits into the buffer of every socket")
    }

    fn works(&self) -> bool {
        matches!(self.cell.response, "not begun" | "waits for the program")
    }

    /// The program's thread works, and reads nothing meanwhile.
    fn has_busy_thread(&self) -> bool {
        self.runtime == Runtime::Blocking && self.works() && self.cell.plan() != ReadPlan::Deliver
    }

    /// Brings a connection into the state.
    fn reach(&self) -> Reached {
        let mut peer = self.server.connect();
        let body = match (self.cell.request, self.cell.plan()) {
            ("body complete", _) => 0,
            (_, ReadPlan::Deliver) => SHORT_BODY,
            _ => 1 << 30,
        };
        let (head, seen) = match self.cell.request {
            "head incomplete" => request("body complete", "complete", 0),
            of => request(of, self.cell.response, body),
        };
        let mut rest = Vec::new();
        if self.cell.request == "head incomplete" {
            let sent = if self.works() { &head[..10] } else { b"malformed" };
            peer.write_all(sent).expect(&self.name);
            rest = head[10..].to_vec();
        } else {
            peer.write_all(&head).expect(&self.name);
            wait_until(|| seen.waits.load(Ordering::SeqCst), &self.name);
            if body > 0 {
                peer.write_all(&[b'b'; 1000]).expect(&self.name);
            }
        }
        let mut reached = Reached { peer, seen, rest };
        self.await_response(&mut reached);
        if self.cell.request == "body wanted" && self.cell.plan() == ReadPlan::Deliver {
            wait_until(|| reached.seen.got.load(Ordering::SeqCst) == 1000, &self.name);
        }
        reached
    }

    /// Waits until the response is as far as the state says.
    fn await_response(&self, Reached { peer, seen, .. }: &mut Reached) {
        match self.cell.response {
            "waits for the program" => {
                let mut response = Vec::new();
                while !response.ends_with(b"\r\n\r\nhello") {
                    let mut byte = [0];
                    peer.read_exact(&mut byte).expect(&self.name);
                    response.push(byte[0]);
                }
            }
            "waits for the peer" => {
                let made = || seen.made.load(Ordering::SeqCst);
                // Nothing more is made for a while.
                let is_blocked = || {
                    let before = made();
                    thread::sleep(Duration::from_millis(200));
                    before > 0 && before == made()
                };
                wait_until(is_blocked, &self.name);
            }
            "complete" => {
                let response = peer.read_all();
                let expected: &[u8] = if self.cell.request == "head incomplete" {
                    b"Status: 400"
                } else {
                    b"Status: 200"
                };
                assert!(response.starts_with(expected), "{}", self.name);
            }
            _ => {}
        }
    }

    /// Does what `behaviour` says, and checks what the page says of it. Returns the peer if its
    /// connection must end although that stays open.
    fn check(&self, behaviour: &str) -> Option<Peer> {
        let reached = self.reach();
        match behaviour {
            "sends" => self.check_sending(reached),
            "is silent" => self.check_silence(reached),
            "has half-closed" => {
                reached.peer.shutdown(Shutdown::Write);
                return self.check_half_close(reached);
            }
            _ => {
                drop(reached.peer);
                self.check_leaving(&reached.seen);
            }
        }
        None
    }

    fn check_sending(&self, Reached { mut peer, seen, rest }: Reached) {
        let name = &self.name;
        match self.cell.plan() {
            ReadPlan::Deliver if self.cell.request == "head incomplete" => {
                peer.write_all(&rest).expect(name);
                assert_eq!(peer.read_to_end(), b"hello", "{name}");
            }
            ReadPlan::Deliver => {
                peer.write_all(&[b'b'; SHORT_BODY - 1000]).expect(name);
                wait_until(|| seen.got.load(Ordering::SeqCst) == SHORT_BODY, name);
                self.check_rest(&mut peer);
            }
            ReadPlan::Discard if !self.has_busy_thread() => {
                assert_eq!(flood(&mut peer, LITTLE, PATIENCE), Ok(LITTLE), "{name}: it is taken");
                let more = flood(&mut peer, MUCH, Duration::from_secs(1));
                if self.cell.response == "complete" {
                    assert_eq!(more, Err(()), "{name}: closed beyond the limit");
                    return;
                }
                let more = more.unwrap_or_else(|()| panic!("{name}: surplus ends nothing"));
                assert!(LITTLE + more < LIMIT + BUFFERS, "{name}: {more} more");
                if self.works() {
                    seen.release();
                    self.check_rest(&mut peer);
                } else {
                    // It continues, although nothing more is read.
                    peer.read_exact(&mut vec![0; LARGE / 2]).expect(name);
                }
            }
            // Upgrades have tests of their own.
            ReadPlan::Keep => panic!("{name}: the table has no such state"),
            ReadPlan::Discard | ReadPlan::Watch | ReadPlan::Nothing => {
                let taken = flood(&mut peer, MUCH, Duration::from_secs(1));
                let taken = taken.unwrap_or_else(|()| panic!("{name}: surplus ends nothing"));
                assert!(taken < BUFFERS, "{name}: {taken}");
                seen.release();
                self.check_rest(&mut peer);
            }
        }
    }

    /// The rest of the response is there.
    fn check_rest(&self, peer: &mut Peer) {
        // What no one has seen is unread at the close, which then resets the connection.
        let is_unseen = self.has_busy_thread() && self.cell.request == "body complete";
        let rest = if is_unseen { peer.read_raw() } else { peer.read_all() };
        match self.cell.response {
            "waits for the peer" => assert_eq!(body(&rest).len(), LARGE, "{}", self.name),
            "waits for the program" => assert_eq!(rest, b"done", "{}", self.name),
            _ => assert_eq!(body(&rest), b"done", "{}", self.name),
        }
    }

    /// Without a deadline, nothing happens.
    fn check_silence(&self, Reached { peer, seen, .. }: Reached) {
        let has_ended = seen.has_ended();
        thread::sleep(Duration::from_millis(300));
        assert_eq!(seen.has_ended(), has_ended, "{}", self.name);
        peer.set_nonblocking(true);
        if self.cell.response != "complete" && self.cell.response != "waits for the peer" {
            let read = { peer }.read(&mut [0; 100]).map_err(|error| error.kind());
            assert_eq!(read, Err(ErrorKind::WouldBlock), "{}", self.name);
        }
        seen.release();
    }

    fn check_half_close(&self, Reached { mut peer, seen, .. }: Reached) -> Option<Peer> {
        let name = &self.name;
        match (self.cell.plan(), self.cell.response) {
            (_, "complete") => return Some(peer),
            (ReadPlan::Deliver, "not begun") => {
                let response = peer.read_all();
                assert!(response.starts_with(b"Status: 400 "), "{name}: {response:?}");
                let reads = self.cell.request == "body wanted";
                assert_eq!(seen.failed.load(Ordering::SeqCst), reads, "{name}");
            }
            (ReadPlan::Deliver, "waits for the program") => {
                let rest = peer.read_raw();
                assert!(!rest.ends_with(b"done"), "{name}");
                wait_until(|| seen.has_ended(), name);
                assert!(seen.failed.load(Ordering::SeqCst), "{name}");
            }
            (ReadPlan::Deliver, _) => {
                wait_until(|| seen.failed.load(Ordering::SeqCst), name);
                peer.read_raw();
                wait_until(|| seen.has_ended(), name);
            }
            (_, "waits for the peer") => self.check_rest(&mut peer),
            _ if self.has_busy_thread() => {
                assert!(!seen.has_ended(), "{name}: a thread cannot be cancelled");
                seen.release();
                wait_until(|| seen.has_ended(), name);
            }
            _ => wait_until(|| seen.has_ended(), name),
        }
        None
    }

    fn check_leaving(&self, seen: &Seen) {
        if self.cell.request == "head incomplete" || self.cell.response == "complete" {
            // All connections of the server have to end.
            return;
        }
        if self.has_busy_thread() {
            seen.release();
        }
        wait_until(|| seen.has_ended(), &self.name);
        let reads = self.cell.plan() == ReadPlan::Deliver && self.works();
        // A handler that waits for its body may also be cancelled.
        assert!(!seen.failed.load(Ordering::SeqCst) || reads || self.cell.request == "body wanted");
    }
}

impl Case<'_> {
    /// Waits until `deadline` ends the state, and checks that it does what the page says.
    fn check_deadline(&self, deadline: &str, outcome: &str) -> Option<Peer> {
        let Reached { mut peer, seen, .. } = self.reach();
        if self.has_busy_thread() {
            // A thread cannot be cancelled: it learns of the deadline when it continues.
            thread::sleep(SHORT + SHORT / 2);
            seen.release();
        }
        match outcome.split([',', ';']).next() {
            Some("the connection is closed") => return Some(peer),
            Some(status @ ("408" | "503")) if self.cell.response == "not begun" => {
                let response = peer.read_all();
                let begin = format!("Status: {status} ");
                assert!(response.starts_with(begin.as_bytes()), "{}: {response:?}", self.name);
            }
            _ => {
                wait_until(|| seen.has_ended(), &self.name);
                let rest = peer.read_raw();
                let is_cut = !rest.ends_with(b"done") && rest.len() < LARGE;
                assert!(is_cut, "{}: {} bytes", self.name, rest.len());
            }
        }
        if deadline == "body" {
            wait_until(|| seen.failed.load(Ordering::SeqCst), &self.name);
        }
        None
    }
}

/// The body of a response.
fn body(response: &[u8]) -> &[u8] {
    let end = response.windows(4).position(|end| end == b"\r\n\r\n").expect("a head");
    assert!(response.starts_with(b"Status: 200 OK"));
    &response[end + 4..]
}

/// Sends so many bytes, until nothing was taken for so long. Returns how many were taken, or an
/// error if the connection has ended.
fn flood(peer: &mut Peer, count: usize, patience: Duration) -> Result<usize, ()> {
    let (mut sent, mut last) = (0, Instant::now());
    let chunk = [b'x'; 64 * 1024];
    peer.set_nonblocking(true);
    while sent < count && last.elapsed() < patience {
        match peer.write(&chunk[..chunk.len().min(count - sent)]) {
            Ok(count) => (sent, last) = (sent + count, Instant::now()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(_) => return Err(()),
        }
    }
    peer.set_nonblocking(false);
    Ok(sent)
}

fn endless() -> ConnectionConfig {
    table::endless().with_max_drain_len(LIMIT as u64)
}

/// Runs a test for a server of each runtime, over TCP and over a Unix socket, all at the same time.
fn each(config: ConnectionConfig, test: impl Fn(&States, Runtime, &str) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            for unix in [false, true] {
                scope.spawn(move || {
                    let server = States::start(runtime, unix, config);
                    test(
                        &server,
                        runtime,
                        &format!("{runtime:?}, {}", if unix { "Unix" } else { "TCP" }),
                    );
                });
            }
        }
    });
}

/// Runs `check` for each cell on a thread of its own, and then waits until every connection has
/// ended, with the peers that it returned still open.
fn each_cell(
    server: &States,
    runtime: Runtime,
    place: &str,
    names: &[&'static str],
    check: impl Fn(&Case<'_>, &'static str) -> Option<Peer> + Sync,
) {
    let (check, cells) = (&check, table::states().collect::<Vec<_>>());
    thread::scope(|scope| {
        let cases = cells.iter().flat_map(|cell| names.iter().map(move |name| (cell, *name)));
        let threads: Vec<_> = cases
            .filter_map(|(cell, what)| {
                let name = format!("{place}: {}, {what}", cell.name());
                let case = Case { cell, runtime, server, name };
                if let Some(reason) = case.cannot_be_shown() {
                    println!("{}: {reason}", case.name);
                    return None;
                }
                // Its failures have this name.
                let thread = thread::Builder::new().name(case.name.clone());
                Some(thread.spawn_scoped(scope, move || check(&case, what)).expect("a thread"))
            })
            .collect();
        let ends: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let open: Vec<_> = ends.into_iter().map(|end| end.expect("this cell")).collect();
        wait_until(|| server.counters.active() == 0, &format!("{place}: all connections end"));
        drop(open);
    });
}

#[test]
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method is for one lifetime only"
)]
fn each_peer_meets_what_the_page_says() {
    each(endless(), |server, runtime, place| {
        each_cell(server, runtime, place, &PEERS, |case, peer| case.check(peer));
    });
}

/// A deadline that passes.
const SHORT: Duration = Duration::from_secs(2);

fn config_with(deadline: &str) -> ConnectionConfig {
    match deadline {
        "head" => endless().with_head_timeout(SHORT),
        "body" => endless().with_body_timeout(SHORT),
        "unread" => endless().with_unread_body_timeout(SHORT),
        "write" => endless().with_write_timeout(SHORT),
        "request" => endless().with_request_timeout(SHORT),
        "drain" => endless().with_drain_timeout(SHORT),
        other => panic!("{other}"),
    }
}

#[test]
fn each_state_ends_with_the_deadlines_of_the_page() {
    let rows = table::rows("deadline");
    thread::scope(|scope| {
        for row in &rows {
            scope.spawn(|| {
                each(config_with(row[0]), |server, runtime, place| {
                    let place = format!("{place}, {}", row[0]);
                    each_cell(server, runtime, &place, &row[..1], |case, deadline| {
                        let is_there = case.cell.deadlines.contains(&deadline);
                        is_there.then(|| case.check_deadline(deadline, row[3]))?
                    });
                });
            });
        }
    });
}

#[test]
fn the_write_timeout_is_as_long_on_each_runtime() {
    let cell = table::states().find(|cell| cell.name() == "body complete, waits for the peer");
    let cell = cell.expect("a state of the table");
    let timeout = Duration::from_secs(3);
    each(endless().with_write_timeout(timeout), |server, runtime, place| {
        let case = Case { cell: &cell, runtime, server, name: place.to_owned() };
        let Reached { peer, seen, .. } = case.reach();
        wait_until(|| seen.has_ended(), place);
        let waited = seen.waited_for_peer();
        // It was once twice as long on two of them.
        assert!(waited >= timeout && waited < 2 * timeout, "{place}: {waited:?}");
        println!("{place}: {waited:?}");
        drop(peer);
    });
}

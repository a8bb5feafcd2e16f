//! Three backends behind one front server, on every runtime: restarted one by one under load
//! without a failed request, and one of them killed.
//!
//! `SCGI_FLEET` sets how many requests a rolling restart goes through at least: 3,000 if it is
//! not set, 50,000 for a long run.

#![cfg(unix)]

use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::tool::RUNTIMES;
use scgi_tests::fleet::Fleet;
use scgi_tests::front::Front;
use scgi_tests::http::Browser;
use scgi_tests::process::required;

/// Browsers at once, for each method.
const BROWSERS: usize = 8;

type StartFront = fn([SocketAddr; 2], &Path) -> std::io::Result<Front>;

/// What starts a backend on an address.
fn backend(runtime: &'static str) -> impl Fn(&str) -> Command {
    move |address| {
        let mut command = Command::new(scgi_tests::programs::scgi());
        // Fewer than there are browsers, so that backends are full while one of them restarts.
        command.args(["echo", "--json", "--max-connections", "3", "--runtime", runtime, address]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Requests that were answered right, and those that were not, by method.
#[derive(Debug, Default)]
struct Counts {
    done: AtomicUsize,
    failed_gets: AtomicUsize,
    failed_posts: AtomicUsize,
}

impl Counts {
    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Failed GETs and POSTs.
    fn failed(&self) -> (usize, usize) {
        (self.failed_gets.load(Ordering::SeqCst), self.failed_posts.load(Ordering::SeqCst))
    }
}

/// Sends requests from many browsers while `act` runs.
fn under_load(url: &str, counts: &Counts, posts: bool, act: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..BROWSERS * (1 + usize::from(posts)) {
            let stop = &stop;
            scope.spawn(move || {
                let browser = Browser::new();
                let is_post = number >= BROWSERS;
                while !stop.load(Ordering::SeqCst) {
                    let id = format!("/{number}-{}", counts.done());
                    let reply = match is_post {
                        true => browser.post(&format!("{url}{id}"), b"hello"),
                        false => browser.get(&format!("{url}{id}")),
                    };
                    let uri = format!("[\"REQUEST_URI\",\"{id}\"]");
                    match reply {
                        Ok(reply) if reply.status == 200 && reply.text().contains(&uri) => {
                            counts.done.fetch_add(1, Ordering::SeqCst);
                        }
                        _ if is_post => {
                            counts.failed_posts.fetch_add(1, Ordering::SeqCst);
                        }
                        _ => {
                            counts.failed_gets.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
        act();
        stop.store(true, Ordering::SeqCst);
    });
}

fn await_more(counts: &Counts, more: usize) {
    let (begun, goal) = (Instant::now(), counts.done() + more);
    while counts.done() < goal {
        assert!(begun.elapsed() < Duration::from_secs(60), "{counts:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// At the same time, as most of it is waiting.
fn on_each_runtime(test: impl Fn(&'static str) + Sync) {
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            let test = &test;
            scope.spawn(move || test(runtime));
        }
    });
}

/// Two backends on TCP end five times each. A connection can arrive in the instant between the
/// last accept and the close of a TCP listener, and is reset. nginx tries the next backend then;
/// Apache does so only if it cannot connect.
const TCP_STOPS: usize = 10;

/// Five rolling restarts.
fn rolling_restarts(start_front: StartFront, runtime: &'static str, may_fail: usize) {
    let requests = env::var("SCGI_FLEET").map_or(3000, |count| count.parse().expect("a number"));
    let start = backend(runtime);
    let mut fleet = Fleet::start(&start, start_front).expect("the fleet starts");
    let (url, counts) = (fleet.url(), Counts::default());
    under_load(&url, &counts, false, || {
        for _ in 0..5 {
            await_more(&counts, requests / 5);
            let ends = fleet.restart(&start).expect("the backends restart");
            assert!(ends.len() == 3 && ends.iter().all(ExitStatus::success), "{ends:?}");
        }
    });
    println!("{runtime}: {} requests in 5 rolling restarts: {:?}", counts.done(), counts.failed());
    assert!(counts.failed().0 <= may_fail, "{runtime}: {counts:?}");
}

#[test]
fn rolling_restarts_behind_nginx() {
    if required("nginx") {
        on_each_runtime(|runtime| rolling_restarts(Front::nginx_fleet, runtime, 0));
    }
}

#[test]
fn rolling_restarts_behind_apache() {
    if required("apache2") {
        on_each_runtime(|runtime| rolling_restarts(Front::apache_fleet, runtime, TCP_STOPS));
    }
}

#[test]
fn a_killed_backend() {
    if !required("nginx") {
        return;
    }
    on_each_runtime(|runtime| {
        let start = backend(runtime);
        let mut fleet = Fleet::start(&start, Front::nginx_fleet).expect("the fleet starts");
        let (url, counts) = (fleet.url(), Counts::default());
        under_load(&url, &counts, true, || {
            for index in 0..3 {
                await_more(&counts, 300);
                fleet.kill(index).expect("killed");
                await_more(&counts, 300);
                fleet.revive(index, &start).expect("the backend starts");
            }
        });
        let (gets, posts) = counts.failed();
        println!("{runtime}: {} requests, {gets} GETs and {posts} POSTs failed", counts.done());
        // A GET is tried elsewhere. A POST that a killed backend had is not: it may have been
        // begun. Every browser has at most one in each kill.
        assert_eq!(gets, 0, "{runtime}");
        assert!(posts <= 3 * BROWSERS, "{runtime}: {posts} POSTs failed");
    });
}

//! The accept loop on a runtime in which time is virtual: admission, making room, and stopping.

mod sim;

use std::future::{Future, IntoFuture, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use scgi_proto::driver::{Body, Clock as _};
use scgi_proto::server::{RequestHandler, Runtime as _, Serve};
use scgi_proto::{IntoResponse, Request, Response, Summary};
use sim::Sim;

const GET: &[u8] = b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,";

/// Longer than any test.
const LONG: Duration = Duration::from_secs(1000);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// What answers after some time.
struct After(Sim, Duration);

impl RequestHandler for After {
    type Body = Body;

    fn call(&self, _: Request<Body>) -> impl Future<Output: IntoResponse<Body>> + Send {
        let (mut clock, wait) = (self.0.clock(), self.1);
        async move {
            poll_fn(|cx| clock.poll_until(cx, wait)).await;
            Response::<Body>::new("hello")
        }
    }
}

/// What panics before it returns a future.
struct Panics;

impl RequestHandler for Panics {
    type Body = Body;

    fn call(&self, request: Request<Body>) -> impl Future<Output: IntoResponse<Body>> + Send {
        if request.head().content_length() == 0 {
            panic!("as the test wants it");
        }
        async { Response::<Body>::new("hello") }
    }
}

type Running = Pin<Box<dyn Future<Output = io::Result<Summary>> + Send>>;

/// A server with four places that stops after so many seconds.
fn serve(sim: &Sim, handler: impl RequestHandler, stop: u64) -> Running {
    let mut clock = sim.clock();
    let signal = async move { poll_fn(|cx| clock.poll_until(cx, seconds(stop))).await };
    Serve::new(sim.clone(), sim.listener(), handler)
        .with_max_connections(4)
        .with_graceful_shutdown(signal)
        .into_future()
}

fn run(sim: &Sim, mut serving: Running) -> Summary {
    sim.run(serving.as_mut(), LONG).expect("it ends").expect("the listener works")
}

/// Served, finished, aborted, without a place, and the time.
fn figures(summary: Summary) -> (u64, u64, u64, u64, Duration) {
    let Summary { served, finished, aborted, without_place, waited, .. } = summary;
    (served, finished, aborted, without_place, waited)
}

fn answered(sim: &Sim) -> usize {
    sim.replies().iter().filter(|reply| reply.starts_with("Status: 200 OK\r\n")).count()
}

#[test]
fn a_request_is_answered_in_place_only_by_an_executor_with_one_thread() {
    for (sim, spawned) in [(Sim::new(), 0), (Sim::new().with_several_threads(), 100)] {
        sim.connect(100, GET);
        let summary = run(&sim, serve(&sim, After(sim.clone(), Duration::ZERO), 1));
        assert_eq!((summary.served, answered(&sim), sim.spawned()), (100, 100, spawned));
    }
}

#[test]
fn a_handler_that_waits_continues_in_a_task() {
    let sim = Sim::new();
    sim.connect(3, GET);
    let summary = run(&sim, serve(&sim, After(sim.clone(), seconds(2)), 1));
    assert_eq!((answered(&sim), sim.spawned()), (3, 3));
    assert_eq!(figures(summary), (3, 3, 0, 0, seconds(1)));
}

#[test]
fn a_panic_before_the_future_is_answered_with_500() {
    for sim in [Sim::new(), Sim::new().with_several_threads()] {
        sim.connect(2, GET);
        let serving = Serve::new(sim.clone(), sim.listener(), Panics);
        let counters = serving.counters();
        assert!(sim.run(Box::pin(serving.into_future()).as_mut(), seconds(1)).is_none());
        assert_eq!(sim.closed(), 2);
        for reply in sim.replies() {
            assert!(reply.starts_with("Status: 500 Internal Server Error\r\n"), "{reply}");
        }
        assert_eq!(counters.refused(scgi_proto::Status::INTERNAL_SERVER_ERROR), 2);
    }
}

#[test]
fn shutdown_at_the_cap_answers_what_waits_in_the_backlog() {
    for sim in [Sim::new(), Sim::new().with_several_threads()] {
        sim.connect(60, GET);
        // Four run when the signal comes.
        let mut serving = serve(&sim, After(sim.clone(), seconds(2)), 1);
        assert!(sim.run(serving.as_mut(), Duration::from_millis(1500)).is_none());
        assert!(!sim.is_listening(), "all are accepted by now");
        let summary = run(&sim, serving);
        assert_eq!(answered(&sim), 60);
        assert_eq!(sim.now(), seconds(30), "fifteen rounds of four");
        assert_eq!(figures(summary), (60, 60, 0, 0, seconds(29)));
    }
}

#[test]
fn shutdown_reports_connections_that_got_no_place() {
    let sim = Sim::new();
    sim.connect(500, GET);
    // The deadline of 30 s ends in the sixteenth round.
    let summary = run(&sim, serve(&sim, After(sim.clone(), seconds(2)), 1));
    assert_eq!(answered(&sim), 60);
    assert_eq!(figures(summary), (64, 60, 4, 436, seconds(30)));
    assert_eq!(sim.closed(), 500);
}

#[test]
fn shutdown_takes_from_an_inherited_socket_only_what_has_a_place() {
    let sim = Sim::new().with_inherited_socket();
    sim.connect(3, GET);
    let mut serving = serve(&sim, After(sim.clone(), seconds(2)), 1);
    assert!(sim.run(serving.as_mut(), Duration::from_millis(900)).is_none());
    sim.connect(7, GET);
    let summary = run(&sim, serving);
    assert_eq!((answered(&sim), summary.served, summary.without_place), (4, 4, 0));
    assert_eq!(sim.closed(), 4, "six wait for the next process");
}

#[test]
fn serve_returns_soon_after_the_deadline_although_a_handler_blocks_its_thread() {
    let sim = Sim::new().with_several_threads();
    sim.connect(2, GET);
    let mut serving = serve(&sim, After(sim.clone(), LONG), 1);
    assert!(sim.run(serving.as_mut(), Duration::from_millis(500)).is_none());
    sim.block_threads();
    let summary = run(&sim, serving);
    assert_eq!(figures(summary), (2, 0, 2, 0, Duration::from_millis(30_200)));
    assert_eq!(sim.now(), Duration::from_millis(31_200));
}

#[test]
fn dropping_the_future_of_serve_aborts_its_connections() {
    let sim = Sim::new().with_several_threads();
    // One waits for its handler, and one for its head.
    sim.connect(1, GET);
    sim.connect(1, b"24:");
    let mut serving = serve(&sim, After(sim.clone(), LONG), 100);
    assert!(sim.run(serving.as_mut(), seconds(1)).is_none());
    assert_eq!((sim.closed(), sim.is_listening()), (0, true));
    drop(serving);
    assert!(sim.run_tasks(), "they are woken");
    assert_eq!((sim.closed(), sim.is_listening()), (2, false));
}

#[test]
fn running_out_of_descriptors_closes_the_oldest_connection_without_a_head() {
    for code in [23, 24] {
        let sim = Sim::new().with_several_threads();
        let serving = Serve::new(sim.clone(), sim.listener(), After(sim.clone(), LONG));
        let counters = serving.counters();
        let mut serving = serving.into_future();
        sim.connect(1, GET);
        sim.connect(2, b"24:");
        assert!(sim.run(serving.as_mut(), seconds(1)).is_none());
        // They wait for their heads in real time.
        std::thread::sleep(Duration::from_millis(120));
        sim.fail_accept(io::Error::other("out of memory"));
        sim.connect(1, GET);
        assert!(sim.run(serving.as_mut(), seconds(2)).is_none());
        assert_eq!((counters.evicted(), counters.accepted()), (0, 4), "not for another error");
        sim.fail_accept(io::Error::from_raw_os_error(code));
        sim.connect(1, GET);
        assert!(sim.run(serving.as_mut(), seconds(3)).is_none());
        assert_eq!((counters.evicted(), sim.closed(), counters.accepted()), (1, 1, 5));
    }
}

#[test]
fn the_signal_is_seen_while_accepting_waits_after_a_failure() {
    let sim = Sim::new();
    for _ in 0..20 {
        sim.fail_accept(io::Error::other("out of memory"));
    }
    let serving = serve(&sim, After(sim.clone(), Duration::ZERO), 3);
    assert_eq!(run(&sim, serving), Summary::default());
    assert!(sim.now() < seconds(4), "{:?}", sim.now());
}

#[test]
fn a_flood_of_requests_lets_other_tasks_run() {
    let sim = Sim::new();
    sim.connect(1000, GET);
    let serving = Serve::new(sim.clone(), sim.listener(), After(sim.clone(), Duration::ZERO));
    let mut serving = serving.into_future();
    let polled = serving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending));
    assert_eq!(answered(&sim), 64);
}

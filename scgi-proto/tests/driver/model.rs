//! Random schedules of a peer, a program and the time, against a model of a socket: memory is
//! bounded, no wake-up is lost, each schedule ends, and the response arrives whole or is visibly
//! broken.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use scgi_proto::driver::{Body, Connection};
use scgi_proto::{
    BoxError, ConnectionConfig, Decode as _, Request, Response, ResponseDecoder, ResponseEvent,
};

mod socket;
mod upgrades;

use socket::{BUFFER, Model, Socket, State, wake};

const RESPONSE: usize = 20_000;

/// A generator of numbers that are random enough (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Whether a task was woken since it was polled.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Task<'a> {
    future: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    woken: Arc<Flag>,
}

impl<'a> Task<'a> {
    fn new(future: impl Future<Output = ()> + 'a) -> Self {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        Self { future: Some(Box::pin(future)), woken }
    }

    /// Polls it if it was woken; whether it was.
    fn run(&mut self) -> bool {
        if !self.woken.0.swap(false, Ordering::SeqCst) {
            return false;
        }
        if let Some(future) = &mut self.future {
            let waker = Waker::from(Arc::clone(&self.woken));
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                self.future = None;
            }
        }
        true
    }
}

/// What the program does with the body of its request.
async fn handle(
    way: usize,
    model: Model,
    elsewhere: Arc<Mutex<Option<Body>>>,
    request: Request<Body>,
) -> Result<Response<Body>, BoxError> {
    let mut body = request.into_body();
    match way {
        0 => drop(body),
        1 => {
            model.sleep(Duration::from_secs(3)).await;
            drop(body);
        }
        2 => {
            drop(body);
            model.sleep(Duration::from_secs(3)).await;
        }
        3 => while body.chunk().await?.is_some() {},
        4 => {
            // Gives up on a chunk, works, and reads on.
            let mut sleep = pin!(model.sleep(Duration::from_millis(10)));
            let mut chunk = body.chunk();
            poll_fn(|cx| {
                if sleep.as_mut().poll(cx).is_ready() || Pin::new(&mut chunk).poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
            drop(chunk);
            model.sleep(Duration::from_secs(2)).await;
            body.discard().await?;
        }
        // Another task reads it.
        5 => *elsewhere.lock().expect("no panic") = Some(body),
        // Another holds it.
        6 => {
            *elsewhere.lock().expect("no panic") = Some(body);
            return Ok(Response::new(Bytes::from_static(b"short")));
        }
        7 => pending().await,
        _ => return Err("failed".into()),
    }
    Ok(Response::new(Bytes::from(vec![b'r'; RESPONSE])))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Sends all, then reads all.
    Good,
    Random,
}

/// A peer that sends a request and more, and reads.
struct Peer {
    to_send: usize,
    got: Vec<u8>,
    gone: bool,
}

impl Peer {
    fn send(&mut self, state: &mut State, bytes: usize) {
        let room = BUFFER - state.unread().min(BUFFER);
        let count = bytes.min(room).min(self.to_send);
        if count > 0 && !state.ended && !state.closed {
            state.input += count;
            self.to_send -= count;
            wake(&mut state.reader);
        }
        if state.closed {
            // It goes nowhere.
            self.to_send = 0;
        }
    }

    fn read(&mut self, state: &mut State, bytes: usize) {
        let count = bytes.min(state.output.len());
        self.got.extend(state.output.drain(..count));
        if BUFFER - state.output.len() >= BUFFER / 3 {
            wake(&mut state.writer);
        }
    }

    fn leave(&mut self, state: &mut State, reset: bool) {
        state.ended = true;
        state.reset |= reset;
        self.gone |= reset;
        wake(&mut state.reader);
        if reset {
            wake(&mut state.writer);
        }
    }
}

struct Run {
    seed: u64,
    way: usize,
    fate: Fate,
    body: usize,
    surplus: usize,
}

fn config() -> ConnectionConfig {
    ConnectionConfig::default()
        .with_request_timeout(Duration::from_secs(600))
        .with_max_drain_len(300_000)
}

impl Run {
    /// Runs a schedule to its end, and returns what the peer got.
    fn run(&self) -> (Vec<u8>, bool) {
        let model = Model::default();
        let block = format!("CONTENT_LENGTH\0{}\0SCGI\x001\0", self.body);
        model.state().head.extend(format!("{}:{block},", block.len()).bytes());
        let elsewhere = Arc::<Mutex<Option<Body>>>::default();
        let mut connection = Connection::new(Socket(model.clone()), model.clone(), &config());
        let answer = {
            let (way, model, elsewhere) = (self.way, model.clone(), Arc::clone(&elsewhere));
            async move {
                let call = |request| handle(way, model, elsewhere, request);
                let _ = connection.answer(call).await;
            }
        };
        let mut peer = Peer { to_send: self.body + self.surplus, got: Vec::new(), gone: false };
        let mut server = Task::new(answer);
        let mut reader = Task::new(async {
            loop {
                let body = elsewhere.lock().expect("no panic").take();
                if let (Some(mut body), 5) = (body, self.way) {
                    let _ = body.discard().await;
                    break;
                }
                model.sleep(Duration::from_millis(100)).await;
            }
        });
        let mut random = Random(self.seed);
        for step in 0.. {
            assert!(step < 1_000_000, "it does not end");
            let mut ran = true;
            while ran {
                ran = server.run() | reader.run();
            }
            if server.future.is_none() {
                break;
            }
            self.step(step, &model, &mut peer, &mut random);
        }
        let mut state = model.state();
        if !peer.gone {
            peer.read(&mut state, usize::MAX);
        }
        (peer.got, state.cut || state.reset || state.ended)
    }

    fn step(&self, step: usize, model: &Model, peer: &mut Peer, random: &mut Random) {
        let mut state = model.state();
        if self.fate == Fate::Good {
            let before = (peer.to_send, peer.got.len());
            if peer.to_send > 0 {
                peer.send(&mut state, 3000);
            } else {
                peer.read(&mut state, 3000);
            }
            if before != (peer.to_send, peer.got.len()) {
                return;
            }
        } else if step < 400 {
            match random.below(100) {
                0 => peer.leave(&mut state, true),
                1 => peer.leave(&mut state, false),
                2..=45 => peer.send(&mut state, 1 + random.below(3000)),
                46..=80 => peer.read(&mut state, 1 + random.below(3000)),
                _ => {
                    let to = state.now + Duration::from_millis(random.below(3000) as u64);
                    state.pass(to);
                }
            }
            return;
        }
        // The peer does nothing, or nothing any more: time must end it.
        let next = state.timers.iter().map(|(at, _)| *at).min();
        let next = next.unwrap_or_else(|| panic!("it waits for nothing: a wake-up is lost"));
        assert!(next < Duration::from_secs(2000), "it does not end");
        state.pass(next);
    }

    fn check(&self, got: &[u8], broken: bool) {
        if got.is_empty() {
            assert!(broken || self.fate == Fate::Random, "no response");
            return;
        }
        let mut decoder = ResponseDecoder::default();
        let mut buf = BytesMut::from(got);
        let (mut len, mut body, mut complete) = (0, 0, false);
        loop {
            match decoder.decode_eof(&mut buf) {
                Ok(Some(ResponseEvent::Head(head))) => len = head.content_length().unwrap_or(0),
                Ok(Some(ResponseEvent::Body(chunk))) => body += chunk.len(),
                Ok(Some(ResponseEvent::End)) => complete = true,
                Ok(None) | Err(_) => break,
            }
        }
        assert!(broken || complete && body as u64 == len, "cut at {body} of {len}, and not broken");
    }
}

/// Runs a schedule, and checks all that can be checked.
fn check(run: &Run) -> Vec<u8> {
    let mut result = (Vec::new(), false);
    // What the model, the response and the peer hold themselves is 100 KB.
    let memory = allocation_counter::measure(|| result = run.run());
    let (got, broken) = result;
    assert!(memory.bytes_max < 400_000, "it holds {} bytes", memory.bytes_max);
    run.check(&got, broken);
    got
}

/// Says which schedule it was, should it panic.
struct Schedule(String);

impl Drop for Schedule {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("schedule: {}", self.0);
        }
    }
}

/// How many seeds: `SCGI_MODEL_SEEDS` sets more, for a long run.
fn seeds() -> u64 {
    std::env::var("SCGI_MODEL_SEEDS").map_or(400, |count| count.parse().expect("a number"))
}

#[test]
fn random_schedules() {
    for seed in 0..seeds() {
        for way in 0..9 {
            let mut random = Random(seed * 9 + way as u64);
            let body = [0, 10, 5_000, 200_000][random.below(4)];
            let surplus = [0, 0, 100, 1_000_000][random.below(4)];
            let _schedule = Schedule(format!("seed {seed}, way {way}, {body} + {surplus} bytes"));
            check(&Run { seed, way, fate: Fate::Random, body, surplus });
        }
    }
}

#[test]
fn a_peer_that_writes_first_gets_the_whole_response() {
    for (body, surplus) in [(0, 0), (0, 50_000), (200_000, 0), (100_000, 100_000), (10, 250_000)] {
        for way in 0..6 {
            let _schedule = Schedule(format!("way {way}, {body} + {surplus} bytes"));
            let got = check(&Run { seed: 1, way, fate: Fate::Good, body, surplus });
            let response = got.len() > RESPONSE && got.ends_with(b"rrrr");
            assert!(response, "way {way}, {body} + {surplus}: {} bytes", got.len());
        }
    }
}

#[test]
fn a_body_that_is_held_and_not_read_ends_with_the_write_timeout() {
    // The response is short, so it arrives, and the rest is drained.
    let got = check(&Run { seed: 1, way: 6, fate: Fate::Good, body: 200_000, surplus: 0 });
    assert!(got.ends_with(b"short"));
}

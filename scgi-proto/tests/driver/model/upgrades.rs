//! Schedules of a request with an upgrade: what comes early and late reaches the program in order, or
//! is surplus; the 101 leaves whole; each schedule ends.

use std::time::Duration;

use scgi_proto::driver::{Body, Connection, Upgraded};
use scgi_proto::{Request, Response};

use super::*;

const SWITCHING: &[u8] = b"Status: 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n";

#[derive(Debug, Clone, Copy)]
struct Upgrade {
    seed: u64,
    fate: Fate,
    /// Bytes behind the request.
    sends: usize,
    /// How long the handler works.
    works: Duration,
    /// Whether it answers 101.
    takes: bool,
}

/// Sends back what comes, until the end.
async fn echo(mut io: Upgraded) -> io::Result<()> {
    let mut buf = [0; 700];
    loop {
        let count = poll_fn(|cx| io.poll_read(cx, &mut buf)).await?;
        if count == 0 {
            return poll_fn(|cx| io.poll_shutdown(cx)).await;
        }
        let mut left = &buf[..count];
        while !left.is_empty() {
            let written = poll_fn(|cx| io.poll_write(cx, left, &[])).await?;
            left = &left[written..];
        }
    }
}

impl Upgrade {
    async fn call(self, model: Model, request: Request<Body>) -> Response<Body> {
        assert!(request.upgrade().is_some());
        model.sleep(self.works).await;
        if self.takes {
            Response::switching_protocols("echo").with_upgrade(echo)
        } else {
            Response::new("refused")
        }
    }

    /// Runs the schedule to its end, and checks what the peer got.
    fn run(self) {
        let model = Model::default();
        let block = "CONTENT_LENGTH\x000\0SCGI\x001\0SERVER_PROTOCOL\0HTTP/1.1\0\
            HTTP_CONNECTION\0Upgrade\0HTTP_UPGRADE\0echo\0";
        model.state().head.extend(format!("{}:{block},", block.len()).bytes());
        let mut connection = Connection::new(Socket(model.clone()), model.clone(), &config());
        let on = model.clone();
        let mut server = Task::new(async move {
            if let Ok(Some(program)) = connection.answer(|request| self.call(on, request)).await {
                program.run_on(connection).await;
            }
        });
        let mut peer = Peer { to_send: self.sends, got: Vec::new(), gone: false };
        let mut random = Random(self.seed);
        for step in 0.. {
            assert!(step < 1_000_000, "it does not end");
            while server.run() {}
            if server.future.is_none() {
                break;
            }
            self.step(step, &model, &mut peer, &mut random);
        }
        let mut state = model.state();
        assert!(state.closed, "the connection is left open");
        if !peer.gone {
            peer.read(&mut state, usize::MAX);
        }
        self.check(&peer, &state);
    }

    fn step(self, step: usize, model: &Model, peer: &mut Peer, random: &mut Random) {
        let mut state = model.state();
        if self.fate == Fate::Random && step < 400 {
            match random.below(200) {
                0 => peer.leave(&mut state, true),
                1 => peer.leave(&mut state, false),
                2..=90 => peer.send(&mut state, 1 + random.below(3000)),
                91..=160 => peer.read(&mut state, 1 + random.below(3000)),
                _ => {
                    let to = state.now + Duration::from_millis(random.below(3000) as u64);
                    state.pass(to);
                }
            }
            return;
        }
        if self.fate == Fate::Good {
            let before = (peer.to_send, peer.got.len());
            peer.send(&mut state, 3000);
            peer.read(&mut state, 3000);
            if before != (peer.to_send, peer.got.len()) {
                return;
            }
        }
        // The program has no deadline for what it reads: only the peer can end that.
        let next = state.timers.iter().map(|(at, _)| *at).filter(|at| *at > state.now).min();
        match next {
            Some(next) if self.fate == Fate::Random || peer.got.is_empty() => state.pass(next),
            _ if !state.ended => peer.leave(&mut state, false),
            Some(next) => state.pass(next),
            None => panic!("it waits for nothing: a wake-up is lost"),
        }
    }

    fn check(self, peer: &Peer, state: &State) {
        let sent = self.sends - peer.to_send;
        let got = &peer.got[..];
        if !self.takes {
            let is_response = got.is_empty() || got.starts_with(b"Status: 200 OK\r\n");
            assert!(is_response && !got.ends_with(b"b"), "{:?}", String::from_utf8_lossy(got));
        } else if let Some(echoed) = got.strip_prefix(SWITCHING) {
            assert!(echoed.iter().all(|byte| *byte == b'b'), "not what was sent");
            assert!(echoed.len() <= sent, "more than was sent");
        } else {
            let is_cut = state.cut || state.reset || state.ended;
            assert!(is_cut && SWITCHING.starts_with(got), "{:?}", String::from_utf8_lossy(got));
        }
        if self.fate == Fate::Good {
            let expected = if self.takes { SWITCHING.len() + self.sends } else { got.len() };
            assert_eq!((got.len(), got.is_empty()), (expected, false));
        }
    }
}

/// What the program and the peer hold is bounded, too: early bytes wait at the peer.
fn check(upgrade: Upgrade) {
    let _schedule = Schedule(format!("{upgrade:?}"));
    let memory = allocation_counter::measure(|| upgrade.run());
    assert!(memory.bytes_max < 200_000 + 4 * upgrade.sends as u64, "{} bytes", memory.bytes_max);
}

#[test]
fn random_schedules_of_upgrades() {
    for seed in 0..seeds() {
        for takes in [true, true, false] {
            let mut random = Random(seed * 2 + u64::from(takes));
            let sends = [0, 10, 30_000, 100_000][random.below(4)];
            let works = Duration::from_millis([0, 1, 3000][random.below(3)]);
            check(Upgrade { seed: seed + 1, fate: Fate::Random, sends, works, takes });
        }
    }
}

#[test]
fn a_good_peer_gets_all_of_an_upgrade() {
    for sends in [0, 1, 16_384, 16_385, 100_000] {
        for works in [Duration::ZERO, Duration::from_secs(3)] {
            for takes in [true, false] {
                check(Upgrade { seed: 1, fate: Fate::Good, sends, works, takes });
            }
        }
    }
}

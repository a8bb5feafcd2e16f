//! The short run: bounds that hold on a busy machine too.
//!
//! Each server is measured beside its rivals in the same round, and the median of several rounds
//! counts. What takes processors from one takes them from the others too.

use std::ops::RangeBounds;
use std::time::Duration;

use scgi_tests::BoxError;

use crate::load::{Closed, Open, closed, open};
use crate::server::{Kind, Server, TRANSPORTS, Transport};
use crate::tables::{header, name, quantile, row, stop_row};

/// Rounds of each comparison.
const ROUNDS: usize = 5;

/// How often a comparison is made before it counts as failed.
const ATTEMPTS: usize = 3;

/// The time of one closed loop.
const TIME: Duration = Duration::from_millis(300);

/// Requests at the same time.
const CLIENTS: usize = 64;

/// Handlers that wait: of the smallest of tokio's rate, the bare pool's rate and clients / time. On
/// an idle machine it is 0.9 and more. A pool that starves reaches 0.04.
const WAITING: f64 = 0.6;

/// Handlers that compute: the rate, of the bare pool's and of tokio's, which has one thread. On an
/// idle machine with two processors it is 1.0 and 2.0.
const COMPUTING: [(Kind, &str, f64); 2] =
    [(Kind::BarePool, "the bare pool's", 0.6), (Kind::Tokio, "tokio's", 0.6)];

/// Handlers that return immediately: processor time of a request, over that of the bare pool, each in
/// its best round. On an idle machine it is 0.7. On a busy one, heads come so late that threads wait
/// for them in both, and waiting for a head takes some system calls more. The ratio to a bare loop,
/// which takes many requests at each turn, says nothing there.
const INSTANT: f64 = 1.8;

/// The time by which the answers of an open loop may take longer than the handler, in milliseconds.
/// On an idle machine it is less than 1. With a pool that starves it grows to seconds.
const LATE: f64 = 250.0;

/// Runs all checks.
pub(crate) async fn all() -> Result<(), BoxError> {
    for transport in TRANSPORTS {
        waiting(transport).await?;
    }
    computing().await?;
    for transport in TRANSPORTS {
        instant(transport).await?;
    }
    for transport in TRANSPORTS {
        steady(transport).await?;
    }
    stops().await
}

/// What is compared in a loop of `CLIENTS`.
struct Comparison<'a> {
    /// The server that is checked first, then its rivals.
    servers: &'a [&'a Server],
    uri: &'a str,
    time: Duration,
}

/// The figures of each server, in each round.
type Rounds = Vec<Vec<Closed>>;

impl Comparison<'_> {
    /// Checks what `ratio` makes of the rounds. Other programs may disturb the rounds, so they are
    /// repeated before the check fails.
    async fn check(
        &self,
        what: &str,
        ratio: impl Fn(&Rounds) -> f64,
        bounds: impl RangeBounds<f64>,
    ) -> Result<(), BoxError> {
        let mut last = f64::NAN;
        for _ in 0..ATTEMPTS {
            last = ratio(&self.rounds().await?);
            row(&[what.into(), format!("{last:.2}")]);
            if bounds.contains(&last) {
                return Ok(());
            }
        }
        Err(format!("{what}, {}: {last:.2}", self.uri).into())
    }

    async fn rounds(&self) -> Result<Rounds, BoxError> {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let mut round = Vec::new();
            for server in self.servers {
                round.push(closed(server, CLIENTS, self.uri, self.time).await?);
            }
            rounds.push(round);
        }
        Ok(rounds)
    }
}

/// The median of what `ratio` makes of each round.
fn median(rounds: &Rounds, ratio: impl Fn(&[Closed]) -> f64) -> f64 {
    quantile(&rounds.iter().map(|round| ratio(round)).collect::<Vec<_>>(), 0.5)
}

/// The least processor time of a request, of all rounds of this server.
fn least_cpu(rounds: &Rounds, server: usize) -> f64 {
    rounds.iter().map(|round| round[server].cpu).fold(f64::INFINITY, f64::min)
}

async fn waiting(transport: Transport) -> Result<(), BoxError> {
    let title = format!("{}: handlers that wait, of what is possible", name(transport));
    header(&title, &["handler", "median"]);
    let ours = Server::start(Kind::Blocking, transport).await?;
    let tokio = Server::start(Kind::Tokio, transport).await?;
    let bare = Server::start(Kind::BarePool, transport).await?;
    for ms in [2.0, 14.0] {
        let (servers, uri) = ([&ours, &tokio, &bare], format!("/wait/{}", ms * 1e3));
        let comparison = Comparison { servers: &servers, uri: &uri, time: TIME };
        let possible = CLIENTS as f64 * 1e3 / ms;
        let ratio = |all: &[Closed]| all[0].rate / all[1].rate.min(all[2].rate).min(possible);
        comparison.check(&uri, |rounds| median(rounds, ratio), WAITING..).await?;
    }
    Ok(())
}

async fn computing() -> Result<(), BoxError> {
    header("Handlers that compute: rate", &["of", "median"]);
    let ours = Server::start(Kind::Blocking, Transport::Unix).await?;
    for (kind, what, least) in COMPUTING {
        let rival = Server::start(kind, Transport::Unix).await?;
        let servers = [&ours, &rival];
        let comparison = Comparison { servers: &servers, uri: "/compute/2000", time: 2 * TIME };
        let ratio = |all: &[Closed]| all[0].rate / all[1].rate;
        comparison.check(what, |rounds| median(rounds, ratio), least..).await?;
    }
    Ok(())
}

async fn instant(transport: Transport) -> Result<(), BoxError> {
    let title = format!("{}: handlers that return immediately, processor time", name(transport));
    header(&title, &["when", "of the bare pool's"]);
    let ours = Server::start(Kind::Blocking, transport).await?;
    let bare = Server::start(Kind::BarePool, transport).await?;
    let servers = [&ours, &bare];
    let comparison = Comparison { servers: &servers, uri: "/wait/0", time: TIME };
    let ratio = |rounds: &Rounds| least_cpu(rounds, 0) / least_cpu(rounds, 1);
    comparison.check("first", ratio, ..INSTANT).await?;
    closed(&ours, CLIENTS, "/wait/2000", TIME).await?;
    // The longest time for which many threads stay in accept(2), and a little more.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    comparison.check("after slow handlers", ratio, ..INSTANT).await
}

/// An open loop that needs more threads than processors: do latencies stay what they are?
async fn steady(transport: Transport) -> Result<(), BoxError> {
    let title = format!("{}: an open loop of 400 requests/s of 8 ms", name(transport));
    header(&title, &["median of the last third, ms", "failed"]);
    let mut last = f64::NAN;
    for _ in 0..ATTEMPTS {
        let server = Server::start(Kind::Blocking, transport).await?;
        let Open { latencies, failed } = open(&server, 400.0, "/wait/8000", 6 * TIME).await;
        last = quantile(&latencies[latencies.len() / 3 * 2..], 0.5);
        row(&[format!("{last:.2}"), format!("{failed:?}")]);
        if last < 8.0 + LATE && failed.is_empty() {
            return Ok(());
        }
    }
    Err(format!("latencies of {last:.2} ms, or requests that failed").into())
}

async fn stops() -> Result<(), BoxError> {
    header(
        "3 stops, 32 clients in a closed loop: requests that connected and got no whole answer",
        &["server", "socket", "handler", "failed", "accepted of these", "of"],
    );
    for transport in TRANSPORTS {
        for uri in ["/wait/0", "/wait/10000"] {
            stop_row(Kind::Blocking, transport, uri, 3).await?.check(transport)?;
        }
    }
    Ok(())
}

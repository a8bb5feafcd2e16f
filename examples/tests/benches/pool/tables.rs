//! The tables.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use scgi_tests::BoxError;

use crate::Options;
use crate::load::{Open, closed, open as open_loop, stopped};
use crate::server::{Kind, Server, Transport};

/// A line of a Markdown table.
pub(crate) fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

pub(crate) fn header(title: &str, cells: &[&str]) {
    println!("\n{title}\n");
    row(&cells.iter().map(ToString::to_string).collect::<Vec<_>>());
    println!("|{}", "---|".repeat(cells.len()));
}

pub(crate) fn name(transport: Transport) -> String {
    format!("{transport:?}")
}

/// How long handlers wait, in milliseconds.
const WAITS: [f64; 11] = [0.0, 0.1, 0.3, 1.0, 2.0, 5.0, 8.0, 14.0, 20.0, 50.0, 200.0];

/// Requests per second of handlers that wait.
pub(crate) async fn rates(options: &Options) -> Result<(), BoxError> {
    header(
        "Handlers that wait: requests per second in a closed loop",
        &["socket", "clients", "ms", "tokio", "blocking", "of the bound", "bare pool", "of it"],
    );
    for transport in options.sockets() {
        let tokio = Server::start(Kind::Tokio, transport).await?;
        let blocking = Server::start(Kind::Blocking, transport).await?;
        let bare = Server::start(Kind::BarePool, transport).await?;
        for clients in [64, 250] {
            for wait in options.times(&WAITS) {
                let uri = format!("/wait/{}", (wait * 1e3) as u64);
                // A few rounds of each handler.
                let time = options.time.max(Duration::from_secs_f64(wait / 1e3 * 5.0));
                let tokio = closed(&tokio, clients, &uri, time).await?.rate;
                let ours = closed(&blocking, clients, &uri, time).await?.rate;
                let bare = closed(&bare, clients, &uri, time).await?.rate;
                let bound = tokio.min(clients as f64 * 1e3 / wait);
                row(&[
                    name(transport),
                    clients.to_string(),
                    wait.to_string(),
                    format!("{tokio:.0}"),
                    format!("{ours:.0}"),
                    format!("{:.2}", ours / bound),
                    format!("{bare:.0}"),
                    format!("{:.2}", ours / bare),
                ]);
            }
        }
    }
    Ok(())
}

/// Requests per second of handlers that compute.
pub(crate) async fn compute(options: &Options) -> Result<(), BoxError> {
    header(
        "Handlers that compute: requests per second in a closed loop of 64",
        &["socket", "ms", "blocking", "bare pool", "of it"],
    );
    for transport in options.sockets() {
        let blocking = Server::start(Kind::Blocking, transport).await?;
        let bare = Server::start(Kind::BarePool, transport).await?;
        for work in options.times(&[1.0, 5.0, 20.0, 50.0]) {
            let uri = format!("/compute/{}", work * 1e3);
            let time = options.time.max(Duration::from_secs_f64(work / 1e3 * 64.0));
            let ours = closed(&blocking, 64, &uri, time).await?.rate;
            let bare = closed(&bare, 64, &uri, time).await?.rate;
            let cells = [work.to_string(), format!("{ours:.0}"), format!("{bare:.0}")];
            row(&[&[name(transport)], &cells[..], &[format!("{:.2}", ours / bare)]].concat());
        }
    }
    Ok(())
}

/// The value that this share of the others is not above.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// Latencies over time, at a rate that the server can stand.
pub(crate) async fn open(options: &Options) -> Result<(), BoxError> {
    header(
        "An open loop at 80 % of the closed loop's rate: latency in ms, p50/p99 of each third",
        &[
            "socket",
            "ms",
            "rate",
            "first",
            "second",
            "last",
            "p99 of all",
            "worst",
            "failed",
            "evicted",
        ],
    );
    for transport in options.sockets() {
        for wait in options.times(&[1.0, 8.0, 50.0]) {
            let blocking = Server::start(Kind::Blocking, transport).await?;
            let tokio = Server::start(Kind::Tokio, transport).await?;
            let uri = format!("/wait/{}", (wait * 1e3) as u64);
            let time = Duration::from_secs(1);
            let tokio = closed(&tokio, 64, &uri, time).await?.rate;
            let rate = 0.8 * tokio.min(64.0 * 1e3 / wait);
            let time = Duration::from_secs(30);
            let Open { latencies: all, failed } = open_loop(&blocking, rate, &uri, time).await;
            let evicted = blocking.finish()?.evicted;
            let failures = failed.values().sum::<u64>();
            let mut cells = vec![name(transport), wait.to_string(), format!("{rate:.0}")];
            for third in all.chunks(all.len().div_ceil(3)) {
                cells.push(format!("{:.1}/{:.1}", quantile(third, 0.5), quantile(third, 0.99)));
            }
            cells.push(format!("{:.1}", quantile(&all, 0.99)));
            cells.push(format!("{:.1}", quantile(&all, 1.0)));
            cells.push(failures.to_string());
            cells.push(evicted.to_string());
            row(&cells);
            if failures > 0 {
                eprintln!("{uri}: {failed:?}");
            }
        }
    }
    Ok(())
}

/// Where server and clients run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placement {
    /// The server on the first processor, the clients on the last.
    Apart,
    /// Both wherever the system puts them.
    Anywhere,
}

impl Placement {
    /// Lets what this process starts, or this process, run there.
    fn set(self, is_server: bool, all: &CpuSet) -> Result<(), BoxError> {
        let mut set = *all;
        if self == Self::Apart {
            let mut present = (0..CpuSet::MAX_CPU).filter(|&processor| all.is_set(processor));
            let one = if is_server { present.next() } else { present.next_back() };
            set = CpuSet::new();
            set.set(one.ok_or("no processor")?);
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}

/// Processor time of handlers that return immediately.
pub(crate) async fn instant(options: &Options) -> Result<(), BoxError> {
    header(
        "Handlers that return immediately, 64 in flight: processor time of a request, in us",
        &[
            "socket",
            "processors",
            "when",
            "floor",
            "blocking",
            "of it",
            "bare pool",
            "rate",
            "threads",
        ],
    );
    let all = sched_getaffinity(None)?;
    for placement in [Placement::Apart, Placement::Anywhere] {
        for transport in options.sockets() {
            instant_row(placement, transport, &all, options.time).await?;
        }
    }
    Ok(sched_setaffinity(None, &all)?)
}

async fn instant_row(
    placement: Placement,
    transport: Transport,
    all: &CpuSet,
    time: Duration,
) -> Result<(), BoxError> {
    // A server inherits it.
    placement.set(true, all)?;
    let floor = Server::start(Kind::Floor, transport).await?;
    let blocking = Server::start(Kind::Blocking, transport).await?;
    let bare = Server::start(Kind::BarePool, transport).await?;
    placement.set(false, all)?;
    for when in ["first", "right after slow handlers", "later"] {
        match when {
            "right after slow handlers" => {
                closed(&blocking, 64, "/wait/2000", time).await?;
            }
            "later" => tokio::time::sleep(Duration::from_secs(10)).await,
            _ => {}
        }
        let mut ratios = Vec::new();
        let mut figures = Vec::new();
        for _ in 0..5 {
            let floor = closed(&floor, 64, "/wait/0", time).await?;
            let ours = closed(&blocking, 64, "/wait/0", time).await?;
            ratios.push(ours.cpu / floor.cpu);
            figures.push([floor.cpu, ours.cpu, ours.rate]);
        }
        let bare = closed(&bare, 64, "/wait/0", time).await?;
        let median = |n: usize| quantile(&figures.iter().map(|f| f[n]).collect::<Vec<_>>(), 0.5);
        let [least, middle, most] = [0.0, 0.5, 1.0].map(|share| quantile(&ratios, share));
        row(&[
            name(transport),
            format!("{placement:?}"),
            when.into(),
            format!("{:.2}", median(0)),
            format!("{:.2}", median(1)),
            format!("{middle:.3} ({least:.3}-{most:.3})"),
            format!("{:.2}", bare.cpu),
            format!("{:.0}", median(2)),
            blocking.threads()?.to_string(),
        ]);
    }
    Ok(())
}

/// Requests that fail when a server is stopped under load.
pub(crate) async fn stops(options: &Options) -> Result<(), BoxError> {
    header(
        "20 stops, 32 clients in a closed loop: requests that connected and got no whole answer",
        &["server", "socket", "handler", "failed", "accepted of these", "of"],
    );
    for kind in [Kind::Blocking, Kind::Tokio] {
        for transport in options.sockets() {
            for uri in ["/wait/0", "/wait/10000"] {
                let sum = stop_row(kind, transport, uri, 20).await?;
                if kind == Kind::Blocking {
                    sum.check(transport)?;
                }
            }
        }
    }
    Ok(())
}

/// What became of the requests of several stops.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Stops {
    failed: u64,
    /// Of the failed ones: those that the server had accepted.
    accepted: u64,
    all: u64,
}

impl Stops {
    /// Only what the documentation names may fail: on TCP, a client that connects between the last
    /// accept and the end of listening, so that the server never sees it.
    pub(crate) fn check(self, transport: Transport) -> Result<(), BoxError> {
        let Self { failed, accepted, .. } = self;
        if accepted > 0 {
            return Err(format!("{accepted} requests failed that were accepted").into());
        }
        if transport == Transport::Unix && failed > 0 {
            return Err(format!("{failed} requests failed over a Unix socket").into());
        }
        Ok(())
    }
}

/// Stops a server so many times, and prints what became of the requests.
pub(crate) async fn stop_row(
    kind: Kind,
    transport: Transport,
    uri: &str,
    rounds: usize,
) -> Result<Stops, BoxError> {
    let mut sum = Stops::default();
    for _ in 0..rounds {
        let server = Server::start(kind, transport).await?;
        let stopped = stopped(&server, 32, uri, Duration::from_millis(200)).await?;
        sum.failed += stopped.failed;
        sum.accepted += server.finish()?.served.saturating_sub(stopped.answered);
        sum.all += stopped.failed + stopped.answered;
    }
    let cells = [format!("{kind:?}"), name(transport), uri.into()];
    let counts = [sum.failed, sum.accepted, sum.all].map(|count| count.to_string());
    row(&[&cells[..], &counts].concat());
    Ok(sum)
}

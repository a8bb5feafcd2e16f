//! The tables.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use scgi_tests::BoxError;

use crate::load::{closed, open as open_loop, stopped};
use crate::server::{Kind, Server, TRANSPORTS, Transport};

/// A line of a Markdown table.
fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

fn header(title: &str, cells: &[&str]) {
    println!("\n{title}\n");
    row(&cells.iter().map(ToString::to_string).collect::<Vec<_>>());
    println!("|{}", "---|".repeat(cells.len()));
}

fn name(transport: Transport) -> String {
    format!("{transport:?}")
}

/// Handlers that wait, in milliseconds.
const WAITS: [f64; 11] = [0.0, 0.1, 0.3, 1.0, 2.0, 5.0, 8.0, 14.0, 20.0, 50.0, 200.0];

/// What a server reaches at least, of the smaller of tokio's rate and clients / time; in the short
/// run, on a machine that others use too.
const SHORT_RATIO: f64 = 0.25;

/// Requests per second of handlers that wait.
pub(crate) async fn rates(time: Duration, short: bool) -> Result<(), BoxError> {
    header(
        "Handlers that wait: requests per second in a closed loop",
        &["socket", "clients", "ms", "tokio", "blocking", "of the bound", "bare pool", "of it"],
    );
    let (waits, clients): (&[f64], &[usize]) =
        if short { (&[5.0], &[64]) } else { (&WAITS, &[64, 250]) };
    for transport in TRANSPORTS {
        let tokio = Server::start(Kind::Tokio, transport).await?;
        let blocking = Server::start(Kind::Blocking, transport).await?;
        let bare = Server::start(Kind::BarePool, transport).await?;
        for &clients in clients {
            for &wait in waits {
                let uri = format!("/wait/{}", (wait * 1e3) as u64);
                // A few rounds of each handler.
                let time = time.max(Duration::from_secs_f64(wait / 1e3 * 5.0));
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
                if short && ours < SHORT_RATIO * bound.min(bare) {
                    return Err(format!("{uri}: {ours:.0} of {bound:.0} or {bare:.0}").into());
                }
            }
        }
    }
    Ok(())
}

/// Requests per second of handlers that compute.
pub(crate) async fn compute(time: Duration, short: bool) -> Result<(), BoxError> {
    header(
        "Handlers that compute: requests per second in a closed loop of 64",
        &["socket", "ms", "blocking", "bare pool", "of it"],
    );
    let works: &[f64] = if short { &[5.0] } else { &[1.0, 5.0, 20.0, 50.0] };
    for transport in TRANSPORTS {
        let blocking = Server::start(Kind::Blocking, transport).await?;
        let bare = Server::start(Kind::BarePool, transport).await?;
        for work in works {
            let uri = format!("/compute/{}", work * 1e3);
            let time = time.max(Duration::from_secs_f64(work / 1e3 * 64.0));
            let ours = closed(&blocking, 64, &uri, time).await?.rate;
            let bare = closed(&bare, 64, &uri, time).await?.rate;
            let cells = [work.to_string(), format!("{ours:.0}"), format!("{bare:.0}")];
            row(&[&[name(transport)], &cells[..], &[format!("{:.2}", ours / bare)]].concat());
        }
    }
    Ok(())
}

/// The value that this share of the others is not above.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// Latencies over time, at a rate that the server can stand.
pub(crate) async fn open(short: bool) -> Result<(), BoxError> {
    let secs = if short { 2 } else { 30 };
    header(
        "An open loop at 80 % of the closed loop's rate: latency in ms, p50/p99 of each third",
        &["socket", "ms", "rate", "first", "second", "last", "p99 of all", "worst", "failed"],
    );
    let waits: &[f64] = if short { &[8.0] } else { &[1.0, 8.0, 50.0] };
    for transport in TRANSPORTS {
        for &wait in waits {
            let blocking = Server::start(Kind::Blocking, transport).await?;
            let tokio = Server::start(Kind::Tokio, transport).await?;
            let uri = format!("/wait/{}", (wait * 1e3) as u64);
            let time = Duration::from_secs(1);
            let tokio = closed(&tokio, 64, &uri, time).await?.rate;
            let rate = 0.8 * tokio.min(64.0 * 1e3 / wait);
            let time = Duration::from_secs(secs);
            let (all, failed) = open_loop(&blocking, rate, &uri, time).await;
            let mut cells = vec![name(transport), wait.to_string(), format!("{rate:.0}")];
            for third in all.chunks(all.len().div_ceil(3)) {
                cells.push(format!("{:.1}/{:.1}", quantile(third, 0.5), quantile(third, 0.99)));
            }
            cells.push(format!("{:.1}", quantile(&all, 0.99)));
            cells.push(format!("{:.1}", quantile(&all, 1.0)));
            cells.push(failed.to_string());
            row(&cells);
            // The bound without load beside it is 10 ms.
            if short && quantile(&all, 0.99) > wait + 250.0 {
                return Err(format!("{uri}: p99 {:.1} ms", quantile(&all, 0.99)).into());
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
pub(crate) async fn instant(time: Duration, short: bool) -> Result<(), BoxError> {
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
    let placements = [Placement::Apart, Placement::Anywhere];
    for placement in if short { &placements[1..] } else { &placements[..] } {
        for transport in TRANSPORTS {
            instant_row(*placement, transport, &all, time, short).await?;
        }
    }
    Ok(sched_setaffinity(None, &all)?)
}

async fn instant_row(
    placement: Placement,
    transport: Transport,
    all: &CpuSet,
    time: Duration,
    short: bool,
) -> Result<(), BoxError> {
    // A server inherits it.
    placement.set(true, all)?;
    let floor = Server::start(Kind::Floor, transport).await?;
    let blocking = Server::start(Kind::Blocking, transport).await?;
    let bare = Server::start(Kind::BarePool, transport).await?;
    placement.set(false, all)?;
    let rest = if short { 1 } else { 10 };
    for when in ["first", "right after slow handlers", "later"] {
        match when {
            "right after slow handlers" => {
                closed(&blocking, 64, "/wait/2000", time).await?;
            }
            "later" => tokio::time::sleep(Duration::from_secs(rest)).await,
            _ => {}
        }
        let mut ratios = Vec::new();
        let mut figures = Vec::new();
        for _ in 0..if short { 1 } else { 5 } {
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
pub(crate) async fn stops(short: bool) -> Result<(), BoxError> {
    header(
        "20 stops, 32 clients in a closed loop: requests that connected and got no whole answer",
        &["server", "socket", "handler", "failed", "of"],
    );
    let rounds = if short { 3 } else { 20 };
    for kind in [Kind::Blocking, Kind::Tokio] {
        for transport in TRANSPORTS {
            for uri in ["/wait/0", "/wait/10000"] {
                let (mut failed, mut all) = (0, 0);
                for _ in 0..rounds {
                    let server = Server::start(kind, transport).await?;
                    let stopped = stopped(&server, 32, uri, Duration::from_millis(200)).await?;
                    failed += stopped.failed;
                    all += stopped.failed + stopped.answered;
                }
                let cells = [format!("{kind:?}"), name(transport), uri.into()];
                row(&[&cells[..], &[failed.to_string(), all.to_string()]].concat());
                if kind == Kind::Blocking && transport == Transport::Unix && failed > 0 {
                    return Err(format!("{failed} requests failed over a Unix socket").into());
                }
            }
        }
    }
    Ok(())
}

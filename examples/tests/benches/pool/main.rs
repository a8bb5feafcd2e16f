//! What the pool of `scgi-blocking` does under load: `cargo bench -p scgi-tests --bench pool [--
//! --only TABLE --socket KIND --ms TIME --secs N]` prints tables, and `-- --short` checks bounds
//! within a minute.
//!
//! - `rates`: requests per second in a closed loop, with handlers that wait, beside tokio and beside
//!   a bare pool of 256 threads that wait in accept(2).
//! - `compute`: the same with handlers that compute.
//! - `open`: latencies over time at a fixed rate, 80 % of what the closed loop reaches.
//! - `instant`: processor time of handlers that return immediately, beside bare accept loops; then
//!   the same ten seconds after a load of slow handlers.
//! - `stops`: requests that fail when a server is stopped under load.
//!
//! Each cell is one run of its row's load, and all cells of a row are from runs one after the other.
//! Servers are processes of their own (this program, started again). Linux only.

mod check;
mod load;
mod server;
mod tables;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use scgi_proto::Address;
use scgi_tests::BoxError;
use server::{Kind, TRANSPORTS, Transport};

#[derive(Debug, Parser)]
struct Args {
    /// Seconds of a closed loop
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
    /// Which table, rather than all
    #[arg(long, value_enum)]
    only: Option<Table>,
    /// Over which socket, rather than both
    #[arg(long, value_enum)]
    socket: Option<Transport>,
    /// Only handlers that take so many milliseconds
    #[arg(long)]
    ms: Option<f64>,
    /// Rather than tables, checks that a busy machine passes too
    #[arg(long, conflicts_with_all = ["secs", "only", "socket", "ms"])]
    short: bool,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
    /// Be a server of that kind
    #[arg(long, value_enum, hide = true, requires = "address")]
    serve: Option<Kind>,
    #[arg(hide = true)]
    address: Option<Address>,
    /// Where the server writes what it has counted
    #[arg(long, hide = true)]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Table {
    Rates,
    Compute,
    Open,
    Instant,
    Stops,
}

fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    if let (Some(kind), Some(address)) = (args.serve, &args.address) {
        let report = server::run(kind, address)?;
        return Ok(args.report.map_or(Ok(()), |path| report.write(&path))?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.short {
        return runtime.block_on(check::all());
    }
    let options =
        Options { time: Duration::from_secs_f64(args.secs), socket: args.socket, ms: args.ms };
    let wanted = |table| args.only.is_none_or(|only| only == table);
    runtime.block_on(async {
        if wanted(Table::Rates) {
            tables::rates(&options).await?;
        }
        if wanted(Table::Compute) {
            tables::compute(&options).await?;
        }
        if wanted(Table::Open) {
            tables::open(&options).await?;
        }
        if wanted(Table::Instant) {
            tables::instant(&options).await?;
        }
        if wanted(Table::Stops) {
            tables::stops(&options).await?;
        }
        Ok(())
    })
}

/// Which rows the tables have.
struct Options {
    /// The time of a closed loop.
    time: Duration,
    socket: Option<Transport>,
    ms: Option<f64>,
}

impl Options {
    fn sockets(&self) -> impl Iterator<Item = Transport> {
        TRANSPORTS.into_iter().filter(|socket| self.socket.is_none_or(|only| only == *socket))
    }

    /// Those of the handlers' times that are wanted.
    fn times(&self, all: &[f64]) -> impl Iterator<Item = f64> {
        all.iter().copied().filter(|time| self.ms.is_none_or(|only| only == *time))
    }
}

//! What the pool of `scgi-blocking` does under load: `cargo bench -p scgi-tests --bench pool [--
//! --only TABLE --secs N --short]` prints tables.
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

mod load;
mod server;
mod tables;

use std::time::Duration;

use clap::Parser;
use scgi_proto::Address;
use scgi_tests::BoxError;
use server::Kind;

#[derive(Debug, Parser)]
struct Args {
    /// Seconds of a closed loop
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
    /// Which table, rather than all
    #[arg(long, value_enum)]
    only: Option<Table>,
    /// A few seconds in all, with checks: does every table work, and is every rate near its bound?
    #[arg(long)]
    short: bool,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
    /// Be a server of that kind
    #[arg(long, value_enum, hide = true, requires = "address")]
    serve: Option<Kind>,
    #[arg(hide = true)]
    address: Option<Address>,
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
        return server::run(kind, address);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let time = Duration::from_secs_f64(if args.short { 0.5 } else { args.secs });
    let wanted = |table| args.only.is_none_or(|only| only == table);
    runtime.block_on(async {
        if wanted(Table::Rates) {
            tables::rates(time, args.short).await?;
        }
        if wanted(Table::Compute) {
            tables::compute(time, args.short).await?;
        }
        if wanted(Table::Open) {
            tables::open(args.short).await?;
        }
        if wanted(Table::Instant) {
            tables::instant(time, args.short).await?;
        }
        if wanted(Table::Stops) {
            tables::stops(args.short).await?;
        }
        Ok(())
    })
}

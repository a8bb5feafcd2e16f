//! What the libraries cost beside the bare calls of their runtimes: `cargo bench -p scgi-tests
//! --bench transfer [-- --size MIB --rounds N --requests N]` prints tables.
//!
//! - Uploads and downloads of 1 GiB, against a loop that only reads or writes with the same buffer.
//! - A small request by our clients, against connect, write, read.
//! - What a server gains by a second thread, against what a bare accept loop gains by it.
//!
//! Each cell is the median of all rounds, with the least and the most. A ratio is one of figures of
//! the same round, in which every case ran once: other work on the machine meets both. Servers are
//! processes of their own (this program, started again), so that their CPU and memory can be measured
//! from the client's. Linux only.

mod bulk;
mod client;
mod server;
mod table;
mod threads;

use clap::Parser;
use scgi_proto::Address;
use scgi_tests::BoxError;
use server::{Job, Runtime, Shape, Task};

#[derive(Debug, Parser)]
struct Args {
    /// Megabytes (MiB) of an upload or download
    #[arg(long, default_value_t = 1024)]
    size: u64,
    /// How often each case runs
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Small requests of a case in a round
    #[arg(long, default_value_t = 4000)]
    requests: usize,
    /// Which table, rather than all
    #[arg(long, value_enum)]
    only: Option<Table>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
    /// Be a server of that runtime
    #[arg(long, value_enum, hide = true, requires_all = ["job", "address"])]
    serve: Option<Runtime>,
    #[arg(long, value_enum, hide = true)]
    job: Option<Job>,
    #[arg(long, value_enum, hide = true, default_value_t = Shape::One)]
    shape: Shape,
    /// Without the library
    #[arg(long, hide = true)]
    bare: bool,
    #[arg(hide = true)]
    address: Option<Address>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Table {
    Upload,
    Download,
    Client,
    Threads,
}

fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let size = args.size << 20;
    if let (Some(runtime), Some(job), Some(address)) = (args.serve, args.job, &args.address) {
        let task = Task { runtime, job, shape: args.shape, bare: args.bare, size };
        return server::run(task, address);
    }
    let wanted = |table| args.only.is_none_or(|only| only == table);
    println!("Medians of {} rounds (least-most).", args.rounds);
    if wanted(Table::Upload) {
        bulk::print(Job::Upload, size, args.rounds)?;
    }
    if wanted(Table::Download) {
        bulk::print(Job::Download, size, args.rounds)?;
    }
    if wanted(Table::Client) {
        client::print(args.requests, args.rounds)?;
    }
    if wanted(Table::Threads) {
        threads::print(args.requests, args.rounds)?;
    }
    Ok(())
}

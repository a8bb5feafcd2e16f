//! How many instructions the programs `hello_tokio` and `hello_axum` take for a whole request over a
//! Unix socket: `cargo bench -p scgi-tests --bench requests`, which fails above a bound. Needs
//! Valgrind.
//!
//! The server is this program, started again under callgrind. It answers few requests, and in a
//! second run many; the difference is what the requests took, without the start and the end. Only
//! instructions of the program count, not those of the kernel.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::{Parser, ValueEnum};
use scgi_proto::Address;
use scgi_tests::process::{Running, required, scratch_dir};
use scgi_tests::{BoxError, HelloArgs};

#[path = "../../../scgi-proto/benches/browser/mod.rs"]
mod browser;
#[path = "../examples/hello_axum.rs"]
#[allow(dead_code, reason = "this program has a `main` of its own")]
mod hello_axum;
#[path = "../examples/hello_tokio.rs"]
#[allow(dead_code, reason = "this program has a `main` of its own")]
mod hello_tokio;

#[derive(Debug, Parser)]
struct Args {
    /// Be that server
    #[arg(long, value_enum, hide = true, requires = "address")]
    serve: Option<Server>,
    #[arg(hide = true)]
    address: Option<Address>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Server {
    Tokio,
    Axum,
}

/// The programs with their bounds.
const BOUNDS: [(Server, u64); 2] = [(Server::Tokio, 10_800), (Server::Axum, 34_000)];

/// Requests that are counted.
const REQUESTS: u64 = 1000;

/// Requests of the first run: what is made once is made then.
const FIRST: u64 = 100;

/// How often the requests are counted before the figure counts as too large. On a busy machine, a
/// request comes now and then later than its connection, and waiting for it takes instructions.
const ATTEMPTS: usize = 3;

fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    if let (Some(server), Some(address)) = (args.serve, args.address) {
        return serve(server, address);
    }
    if !required("valgrind") {
        return Ok(());
    }
    for (server, bound) in BOUNDS {
        let mut least = u64::MAX;
        for _ in 0..ATTEMPTS {
            least = instructions(server)?.min(least);
            if least <= bound {
                break;
            }
        }
        println!("{server:?}: {least} instructions for a request; bound {bound}");
        if least > bound {
            return Err(format!("{server:?} takes {least} instructions, more than {bound}").into());
        }
    }
    Ok(())
}

fn serve(server: Server, address: Address) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let args = HelloArgs { max_connections: None, multi: false, address };
    match server {
        Server::Tokio => runtime.block_on(hello_tokio::run(args)),
        Server::Axum => runtime.block_on(hello_axum::run(args)),
    }
}

/// The instructions of one request.
fn instructions(server: Server) -> Result<u64, BoxError> {
    let few = run(server, FIRST)?;
    let many = run(server, FIRST + REQUESTS)?;
    Ok(many.saturating_sub(few) / REQUESTS)
}

/// The instructions of a server from its start to its end, with so many requests.
fn run(server: Server, requests: u64) -> Result<u64, BoxError> {
    let dir = scratch_dir()?;
    let (socket, report) = (dir.path().join("socket"), dir.path().join("report"));
    let name = server.to_possible_value().expect("none is skipped");
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", report.display()))
        .arg(std::env::current_exe()?)
        .args(["--serve", name.get_name(), &format!("unix:{}", socket.display())])
        .stdout(Stdio::null());
    let mut running = Running::spawn(&mut command)?;
    running.wait_until(|| UnixStream::connect(&socket).is_ok())?;
    let request = browser::request();
    for _ in 0..requests {
        ask(&socket, request.as_bytes())?;
    }
    // Callgrind writes its report when a signal ends the program, too.
    running.stop()?;
    total(&report)
}

fn ask(socket: &Path, request: &[u8]) -> Result<(), BoxError> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(request)?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let (start, end) = (&b"Status: 200"[..], &b"...\n"[..]);
    if response.starts_with(start) && response.ends_with(end) {
        return Ok(());
    }
    Err(format!("not the answer: {}", response.escape_ascii()).into())
}

/// The sum that callgrind writes at the end of its report.
fn total(report: &Path) -> Result<u64, BoxError> {
    let text = std::fs::read_to_string(report)?;
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    Ok(total.ok_or("callgrind has written no total")?.trim().parse()?)
}

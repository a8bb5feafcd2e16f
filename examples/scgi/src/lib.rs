//! The command line tool `scgi`: decodes, shows, sends, checks and proxies SCGI requests.
//!
//! This library is the program without its `main`. It has no API for other programs.
//!
//! What needs a runtime is in one file for each (`on_tokio.rs`) behind `runtime.rs`; everything
//! else knows none.

mod capture;
mod check;
mod completions;
mod decode;
mod describe;
mod echo;
mod failure;
mod gateway;
mod limits;
mod man;
mod message;
mod on_blocking;
#[cfg(feature = "runtimes")]
mod on_futures;
mod on_tokio;
mod output;
mod plan;
mod proxy;
mod repeat;
mod reply;
mod request;
mod retry;
mod runtime;
mod socket;
mod tee;
mod tunnel;
mod units;
mod verbose;
mod watched;
mod websocket;
mod write_out;
mod xml;
mod xml_rpc;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use scgi_proto::BoxError;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

const STATUSES: &str = "\
Exit status:
  0   what was asked for was done
  1   it failed; standard error says why and what to do about it
  2   the command line is wrong
  3   check: no case failed, but some were lenient
  4   request --rtorrent: the call was answered with a fault
  5   request --upgrade: the server answered without an upgrade
  22  request --fail: the response has a status of 400 or more

Colours are used on terminals only, and not if NO_COLOR is set.";

/// Decodes, shows, sends and checks SCGI requests
#[derive(Debug, Parser)]
#[command(name = "scgi", version = env!("SCGI_VERSION"), after_help = STATUSES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Decode(decode::DecodeArgs),
    Echo(echo::EchoArgs),
    Request(Box<request::RequestArgs>),
    Gateway(gateway::GatewayArgs),
    Proxy(proxy::ProxyArgs),
    Check(Box<check::CheckArgs>),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

fn run(command: &Command) -> Result<ExitCode, BoxError> {
    match command {
        Command::Decode(args) => decode::run(args),
        Command::Echo(args) => echo::run(args),
        Command::Request(args) => request::run(args),
        Command::Gateway(args) => gateway::run(args),
        Command::Proxy(args) => proxy::run(args),
        Command::Check(args) => check::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

/// Events go to standard error: warnings, unless RUST_LOG says something else.
fn start_log() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
}

/// Runs the program with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    // Wrong usage ends the process here, with status 2.
    let cli = Cli::parse();
    start_log();
    run(&cli.command).unwrap_or_else(|error| {
        eprintln!("scgi: {}", failure::chain(&*error));
        ExitCode::FAILURE
    })
}

//! `scgi echo`: a server that answers with what it received.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use scgi_proto::BoxError;
use scgi_proto::{
    Address, AllowList, BindOptions, ConnectionConfig, Counters, Network, RequestHead,
};
use sha2::{Digest, Sha256};
use tracing::info;

use crate::describe::Received;
use crate::limits::LimitArgs;
use crate::runtime::Runtime;
use crate::units::duration;

/// Answers every request with what it received
///
/// A request with a valid upgrade (for a WebSocket, for example) is answered with 101, and then every
/// byte is sent back as it is: the frames of a WebSocket, too. An offer of h2c is left alone, as curl
/// makes it with ordinary requests.
///
/// SIGTERM or SIGINT (Ctrl-C) ends it: requests in progress are finished first. A second signal ends it
/// immediately, with status 1. Otherwise ends with status 0 when all
/// was finished, 1 when something was aborted at the shutdown deadline or the server could not
/// start, and 2 for wrong usage.
///
/// Warnings are printed on standard error; RUST_LOG=debug shows each request, and all
/// counts at the end. As a service of systemd (Type=notify), listen on systemd:NAME.
#[derive(Debug, Args)]
pub(crate) struct EchoArgs {
    /// Where to listen: host:port, a path with a slash, unix:PATH, fd:0, or a URL (scgi, tcp, unix)
    #[arg(value_name = "ADDR")]
    pub(crate) address: Address,
    /// Answer with one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Permission bits of a Unix socket, in octal
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: Option<u32>,
    /// Time from accept to a complete head [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    head_timeout: Option<Duration>,
    /// Time without a byte of the body [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    body_timeout: Option<Duration>,
    /// Time that a body may wait unread while the server works [default: off]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    unread_body_timeout: Option<Duration>,
    /// Time in which the peer must take a byte of the response [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    write_timeout: Option<Duration>,
    /// Bytes a second of the body that a peer must send; 0 is off [default: 240]
    #[arg(long, value_name = "N")]
    min_body_rate: Option<u32>,
    /// Bytes a second of the response that a peer must take; 0 is off [default: 240]
    #[arg(long, value_name = "N")]
    min_write_rate: Option<u32>,
    /// Time that a peer may keep the server waiting before these rates hold [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    rate_grace: Option<Duration>,
    /// Connections served at the same time [default: 4096]
    #[arg(long, value_name = "N", value_parser = connections)]
    pub(crate) max_connections: Option<usize>,
    /// Time for requests in progress to finish after the signal [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) shutdown_deadline: Option<Duration>,
    /// Lets only peers of this network connect over TCP, as in 10.1.0.0/16; may be repeated
    #[arg(long, value_name = "NETWORK")]
    allow_network: Vec<Network>,
    /// Lets only this user connect to a Unix socket; may be repeated
    #[arg(long, value_name = "UID")]
    allow_uid: Vec<u32>,
    #[command(flatten)]
    limits: LimitArgs,
    /// The runtime of the server
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    runtime: Runtime,
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a number of at least 1 is needed".into()),
    }
}

/// Parses permission bits.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("permission bits are up to three octal digits, as in 660".into()),
    }
}

impl EchoArgs {
    /// How the listener is bound.
    pub(crate) fn bind_options(&self) -> BindOptions {
        let options = BindOptions::default();
        self.mode.map_or(options, |mode| options.with_mode(mode))
    }

    /// Who may connect.
    pub(crate) fn allow_list(&self) -> AllowList {
        let networks = self.allow_network.iter();
        let list = networks.fold(AllowList::default(), |list, &net| list.with_network(net));
        self.allow_uid.iter().fold(list, |list, &uid| list.with_uid(uid))
    }

    /// The bounds and deadlines of each connection.
    pub(crate) fn config(&self) -> ConnectionConfig {
        let mut config = ConnectionConfig::default().with_limits(self.limits.limits());
        if let Some(timeout) = self.head_timeout {
            config = config.with_head_timeout(timeout);
        }
        if let Some(timeout) = self.body_timeout {
            config = config.with_body_timeout(timeout);
        }
        if let Some(timeout) = self.unread_body_timeout {
            config = config.with_unread_body_timeout(timeout);
        }
        if let Some(timeout) = self.write_timeout {
            config = config.with_write_timeout(timeout);
        }
        if let Some(rate) = self.min_body_rate {
            config = config.with_min_body_rate(rate);
        }
        if let Some(rate) = self.min_write_rate {
            config = config.with_min_write_rate(rate);
        }
        if let Some(grace) = self.rate_grace {
            config = config.with_rate_grace(grace);
        }
        config
    }
}

/// Ends the program at a second signal, without waiting for what runs.
pub(crate) fn end_immediately() -> ! {
    eprintln!("ended by a second signal");
    std::process::exit(1)
}

/// Prints the address. A program that a super-server starts may have the socket itself as its
/// standard output, where nothing can be printed.
pub(crate) fn say_listening(address: &Address) {
    let _ = writeln!(std::io::stdout(), "Listening on {address}");
}

pub(crate) fn run(args: &EchoArgs) -> Result<ExitCode, BoxError> {
    let stopped = args.runtime.echo(args)?;
    let Stopped { served, finished, aborted, counters } = stopped;
    info!(target: "scgi", ?counters, "stopped");
    eprintln!("{served} served; after the signal {finished} finished, {aborted} aborted");
    Ok(if aborted == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A server for `$listener` as the flags want it. A macro, as the adapters have the same names
/// but each its own types.
macro_rules! server {
    ($serve:path, $listener:expr, $args:expr, $stop:expr) => {{
        let args: &EchoArgs = $args;
        let json = args.json;
        let mut server = $serve($listener, move |request| answer(request, json))
            .with_config(args.config())
            .with_allow_list(args.allow_list())
            .with_systemd()
            .with_graceful_shutdown($stop);
        if let Some(count) = args.max_connections {
            server = server.with_max_connections(count);
        }
        if let Some(deadline) = args.shutdown_deadline {
            server = server.with_shutdown_deadline(deadline);
        }
        server
    }};
}
pub(crate) use server;

/// The protocol that a request is switched to, if its upgrade is valid.
pub(crate) fn switches_to(head: &RequestHead) -> Option<Vec<u8>> {
    let mut protocols = head.upgrade()?.protocols();
    protocols.find(|name| !name.eq_ignore_ascii_case(b"h2c")).map(<[u8]>::to_vec)
}

/// What a server did.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) served: u64,
    pub(crate) finished: u64,
    pub(crate) aborted: u64,
    pub(crate) counters: Counters,
}

/// Takes a request in and makes the answer, whatever runs it.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    hash: Sha256,
    body_length: u64,
}

impl Echo {
    /// Takes a chunk of the body.
    pub(crate) fn update(&mut self, chunk: &[u8]) {
        self.hash.update(chunk);
        self.body_length += chunk.len() as u64;
    }

    /// The answer and its type.
    pub(crate) fn answer(
        self,
        head: &RequestHead,
        json: bool,
    ) -> Result<(String, &'static str), serde_json::Error> {
        let received = Received {
            head,
            body_length: self.body_length,
            // A server answers at the end of the body; what comes later it cannot know.
            surplus: None,
            body_sha256: Some(format!("{:x}", self.hash.finalize())),
        };
        if json {
            return Ok((received.json()?, "application/json"));
        }
        Ok((received.text(), "text/plain; charset=us-ascii"))
    }
}

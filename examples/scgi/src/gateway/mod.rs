//! `scgi gateway`: HTTP in front of an SCGI server, for front servers that have no SCGI.

mod access_log;
mod args;
mod checks;
mod connection;
mod connections;
mod cross_site;
mod download;
mod forwarded;
mod host;
mod limits;
mod listener;
mod note;
mod refusal;
mod serve;
mod socket;
mod spool;
mod stream;
mod tunnel;
mod upload;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scgi_proto::BoxError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

pub(crate) use self::args::GatewayArgs;
use self::listener::Listener;
use self::serve::{Gateway, serve_connection};
use crate::failure::Context as _;

pub(crate) fn run(args: &GatewayArgs) -> Result<ExitCode, BoxError> {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(serve(args));
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_background();
    code
}

/// A connection with a request takes up to three descriptors, and the usual limit of 1024 is only
/// meant for programs that use select(2).
fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it fails, the usual limit holds.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

async fn serve(args: &GatewayArgs) -> Result<ExitCode, BoxError> {
    let listener = Listener::bind(&args.listen, &args.bind_options());
    let listener = listener.context(|| format!("cannot listen on {}", args.listen))?;
    // Caught from here on: process 1 of a container has no default for SIGTERM.
    let mut signals = Signals::new()?;
    let (gateway, log_writer) = args.gateway();
    let gateway = Arc::new(gateway);
    let notes = gateway.notes;
    if !notes.quiet {
        println!("Listening on {}", listener.local_address()?);
    }
    for note in args.notes(&listener) {
        notes.write(format_args!("{note}"));
    }
    let (stop, stopped) = watch::channel(false);
    tokio::select! {
        () = accept(&listener, &gateway, &stopped) => {}
        () = signals.next() => {}
    }
    accept_waiting(&listener, &gateway, &stopped).await;
    drop(listener);
    stop.send_replace(true);
    let aborted = finish(&gateway, args.shutdown_deadline, &mut signals).await;
    if let Some(log) = &gateway.log {
        if log.lost() > 0 {
            notes.write(format_args!("{} lines of the access log were lost", log.lost()));
        }
    }
    drop(gateway);
    if let Some(writer) = log_writer {
        // A reader that does not read must not hold up the end.
        let _ =
            timeout(Duration::from_secs(1), tokio::task::spawn_blocking(|| writer.join())).await;
    }
    Ok(if aborted == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn accept(listener: &Listener, gateway: &Arc<Gateway>, stop: &watch::Receiver<bool>) {
    loop {
        gateway.connections.room().await;
        match listener.accept().await {
            Ok((stream, connected)) => {
                let (gateway, stop) = (Arc::clone(gateway), stop.clone());
                tokio::spawn(serve_connection(gateway, stream, connected, stop));
            }
            Err(error) => {
                gateway.notes.write(format_args!("cannot accept: {error}"));
                // Out of descriptors, most likely: accepting again immediately would spin.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves those that connected before the signal.
async fn accept_waiting(listener: &Listener, gateway: &Arc<Gateway>, stop: &watch::Receiver<bool>) {
    while let Some(Ok((stream, connected))) = listener.accept().now_or_never() {
        let (gateway, stop) = (Arc::clone(gateway), stop.clone());
        tokio::spawn(serve_connection(gateway, stream, connected, stop));
        // So that it is counted.
        tokio::task::yield_now().await;
    }
}

/// Waits for what is in progress, until the deadline or a second signal. Returns how many requests
/// were aborted.
async fn finish(gateway: &Gateway, deadline: Duration, signals: &mut Signals) -> usize {
    let begun = gateway.connections.in_progress();
    tokio::select! {
        () = gateway.connections.all_closed() => {}
        () = sleep(deadline) => {}
        () = signals.next() => {}
    }
    let aborted = gateway.connections.in_progress();
    gateway.connections.abort();
    // Their tasks reset them; the end of the process would close them as if they were complete.
    let _ = timeout(Duration::from_secs(1), gateway.connections.all_closed()).await;
    let served = gateway.served.load(Ordering::Relaxed);
    let finished = begun.saturating_sub(aborted);
    gateway.notes.write(format_args!(
        "{served} served; after the signal {finished} finished, {aborted} aborted"
    ));
    aborted
}

/// SIGTERM and SIGINT.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let (term, int) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { term: signal(term)?, int: signal(int)? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

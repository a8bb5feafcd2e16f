//! `scgi proxy`: what passes between a front server and a backend.

mod end;
mod findings;
mod relay;
mod show;
mod socket;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use scgi_proto::BoxError;
use scgi_proto::{Address, BindOptions};

use self::end::End;
use self::relay::relay;
use self::socket::{Listener, Socket, connect};
use self::watch::{Shared, Watch};
use crate::capture::Capture;
use crate::echo::mode;
use crate::failure::{Context as _, cannot_connect, chain};
use crate::on_tokio::stop_signal;
use crate::units::duration;

/// Shows what passes between a front server and an SCGI server: why is it 502?
///
/// Let the front server connect to LISTEN instead of ADDR, where the SCGI server listens. Bytes
/// pass unchanged and as they come, in both directions. Each exchange is shown with a number:
/// the request (>), the response (<), the figures at its end (=) and what front servers would
/// refuse (!). Cookies and credentials are not shown, but a query is, and files of --save
/// hold everything.
///
/// After a 101 to a valid upgrade (a WebSocket, for example) bytes pass both ways as ever. They are
/// counted, and the figures come when the tunnel ends, with who ended it first. --save keeps the
/// handshake and what the client sent before the 101; what passes afterwards is not kept.
///
/// SIGTERM or SIGINT (Ctrl-C) ends it with status 0; it ends with 1 when it could not start, and
/// with 2 for wrong usage.
#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// Where to listen: host:port, a path with a slash, unix:PATH, fd:0, or a URL (scgi, tcp, unix)
    listen: Address,
    /// Where the SCGI server listens
    #[arg(value_name = "ADDR")]
    address: Address,
    /// Time for connecting to the server, as 2s, 500ms, 1m, or seconds
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    connect_timeout: Duration,
    /// Permission bits of a Unix socket, in octal
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: Option<u32>,
    /// Keep each exchange in this folder: the request in NNNN.scgi, as decode and request --raw
    /// take it, and the response in NNNN.cgi
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

/// What every connection needs.
struct Proxy {
    address: Address,
    connect_timeout: Duration,
    save: Option<PathBuf>,
    /// The number of the last exchange.
    last: AtomicU64,
    /// How many had findings.
    odd: AtomicU64,
}

pub(crate) fn run(args: &ProxyArgs) -> Result<ExitCode, BoxError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: &ProxyArgs) -> Result<ExitCode, BoxError> {
    let options = BindOptions::default();
    let options = args.mode.map_or(options, |mode| options.with_mode(mode));
    let listener = Listener::bind(&args.listen, &options);
    let listener = listener.context(|| format!("cannot listen on {}", args.listen))?;
    let first = args.save.as_deref().map_or(Ok(0), last_number)?;
    let stop = stop_signal()?;
    println!("Listening on {}", listener.local_address()?);
    let proxy = Arc::new(Proxy {
        address: args.address.clone(),
        connect_timeout: args.connect_timeout,
        save: args.save.clone(),
        last: AtomicU64::new(first),
        odd: AtomicU64::new(0),
    });
    tokio::select! {
        () = accept(&listener, &proxy) => {}
        () = stop => {}
    }
    let count = proxy.last.load(Ordering::Relaxed) - first;
    eprintln!("exchanges: {count}, odd ones: {}", proxy.odd.load(Ordering::Relaxed));
    Ok(ExitCode::SUCCESS)
}

async fn accept(listener: &Listener, proxy: &Arc<Proxy>) {
    loop {
        match listener.accept().await {
            Ok(front) => {
                let proxy = Arc::clone(proxy);
                tokio::spawn(async move { proxy.exchange(front).await });
            }
            Err(error) => {
                eprintln!("scgi: {error}");
                // Out of descriptors, most likely: accepting again at once would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Proxy {
    async fn exchange(&self, front: Box<dyn Socket>) {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let watch = Shared::new(Watch::new(number, self.capture(number)));
        let end = match connect(&self.address, self.connect_timeout).await {
            Ok(backend) => {
                watch.lock().connected();
                relay(front, backend, &watch).await
            }
            Err(error) => {
                socket::reset(&*front);
                End::NoConnection(cannot_connect(&self.address, &error))
            }
        };
        let (text, is_odd) = watch.lock().end(&end);
        if is_odd {
            self.odd.fetch_add(1, Ordering::Relaxed);
        }
        show::print(&text);
    }

    fn capture(&self, number: u64) -> Option<Capture> {
        let dir = self.save.as_ref()?;
        let file = |extension| dir.join(format!("{number:04}.{extension}"));
        match Capture::create_pair(&file("scgi"), &file("cgi")) {
            Ok(capture) => Some(capture),
            Err(error) => {
                eprintln!("scgi: {}", chain(&*error));
                None
            }
        }
    }
}

/// The highest number among the captures of earlier runs, which are not written over.
fn last_number(dir: &Path) -> Result<u64, BoxError> {
    let context = || dir.display().to_string();
    fs::create_dir_all(dir).context(context)?;
    let mut last = 0;
    for entry in fs::read_dir(dir).context(context)? {
        let name = entry.context(context)?.file_name();
        let number = Path::new(&name).file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        last = last.max(number.unwrap_or(0));
    }
    Ok(last)
}

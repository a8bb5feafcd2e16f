//! What the examples share: the page that the servers answer with, the address argument, and the
//! signal that stops them.

mod page;

use std::error::Error;

pub use page::{html, page};
use scgi_proto::Address;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Any error: what the programs end with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The one argument of a program: an address.
///
/// # Errors
/// If there is no argument, or it is not an address.
pub fn address() -> Result<Address, BoxError> {
    let text = std::env::args()
        .nth(1)
        .ok_or("usage: PROGRAM ADDR, as in 127.0.0.1:4000 or /run/app.sock")?;
    Ok(text.parse()?)
}

/// Completes at SIGTERM (systemd, containers) or SIGINT (Ctrl-C), on tokio.
///
/// A second signal then ends the process immediately: it does not wait for requests in progress.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        // Without handlers, the signals end the process as usual.
        return std::future::pending().await;
    };
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    tokio::spawn(async move {
        next().await;
        std::process::exit(1);
    });
}

/// The same for the other runtimes: blocks until the first signal.
pub fn wait_for_stop() {
    let Ok(mut signals) = Signals::new([SIGTERM, SIGINT]) else {
        return std::thread::park();
    };
    signals.forever().next();
    std::thread::spawn(move || {
        signals.forever().next();
        std::process::exit(1);
    });
}

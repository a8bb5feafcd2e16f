//! A Unix socket with its rights: only the front server can connect. It ends on SIGTERM and SIGINT.
//!
//! Run: `cargo run -p scgi-examples --example unix_socket -- /run/app/app.sock GID [UID]`, with the group
//! of the front server (`id -g www-data`) and, if only one user of it may connect, that user.

use scgi_examples::{BoxError, address};
use scgi_tokio::{AllowList, BindOptions, Listener, Request, Response, serve};
use tokio::signal::unix::{SignalKind, signal};

/// Completes at SIGTERM or SIGINT.
async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let gid = std::env::args().nth(2).ok_or("usage: unix_socket PATH GID [UID]")?.parse()?;
    let uid = std::env::args().nth(3).map(|text| text.parse()).transpose()?;
    // The owner and the group may write to the socket, and so connect. No one else may.
    let options = BindOptions::default().with_mode(0o660).with_group(gid);
    let listener = Listener::bind_with(&address()?, &options).await?;
    println!("Listening on {}", listener.local_address()?);
    let allowed = uid.map_or_else(AllowList::default, |uid| AllowList::default().with_uid(uid));
    let summary = serve(listener, async |_: Request| Response::new("hello\n"))
        .with_allow_list(allowed)
        .with_graceful_shutdown(async {
            let _ = stop_signal().await;
            // The server finishes its requests. A second signal does not wait for them.
            tokio::spawn(async {
                let _ = stop_signal().await;
                std::process::exit(1);
            });
        })
        .await?;
    println!("{summary:?}");
    Ok(())
}

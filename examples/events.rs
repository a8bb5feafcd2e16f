//! Server-Sent Events in axum: every browser sees the same counter.
//!
//! Run: `cargo run -p scgi-examples --features axum --example events -- 127.0.0.1:4000`
//! Look: `scgi request 127.0.0.1:4000 /events` prints one event each second until Ctrl-C.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::{StreamExt, stream};
use scgi_examples::{BoxError, address};
use scgi_tokio::extract::Shutdown;
use scgi_tokio::{Listener, serve};
use tokio::sync::watch;

async fn events(counter: watch::Receiver<u64>, Shutdown(stopping): Shutdown) -> impl IntoResponse {
    let events = stream::unfold(counter, async |mut counter| {
        counter.changed().await.ok()?;
        let event = Event::default().data(counter.borrow_and_update().to_string());
        Some((Ok::<_, Infallible>(event), counter))
    });
    // Without this, one open stream would make a restart wait for the whole shutdown deadline.
    let events = events.take_until(stopping);
    // Without this field, nginx collects the events before it passes them on.
    ([("X-Accel-Buffering", "no")], Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn count(sender: watch::Sender<u64>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        sender.send_modify(|count| *count += 1);
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (sender, counter) = watch::channel(0);
    tokio::spawn(count(sender));
    let app = Router::new().route("/events", get(move |stop| events(counter.clone(), stop)));
    let listener = Listener::bind(&address()?).await?;
    println!("Listening on {}", listener.local_address()?);
    let summary = serve(listener, app)
        .with_graceful_shutdown(async {
            // Without a handler for Ctrl-C, the server would stop immediately.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    println!("{} streams ended in {:?}", summary.finished, summary.waited);
    Ok(())
}

//! Server-Sent Events in axum: every browser sees the same counter.
//!
//! Run: `cargo run -p scgi-examples --example events -- 127.0.0.1:4000`
//! Look: `scgi request 127.0.0.1:4000 /events` prints one event each second until Ctrl-C.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::stream;
use scgi_examples::{BoxError, address};
use scgi_tokio::{Listener, serve};
use tokio::sync::watch;

async fn events(counter: watch::Receiver<u64>) -> impl IntoResponse {
    let events = stream::unfold(counter, async |mut counter| {
        // The stream ends when the sender is dropped, as at shutdown.
        counter.changed().await.ok()?;
        let event = Event::default().data(counter.borrow_and_update().to_string());
        Some((Ok::<_, Infallible>(event), counter))
    });
    // Without this field, nginx collects the events before it passes them on.
    ([("X-Accel-Buffering", "no")], Sse::new(events).keep_alive(KeepAlive::default()))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (sender, counter) = watch::channel(0);
    let app = Router::new().route("/events", get(move || events(counter.clone())));
    let listener = Listener::bind(&address()?).await?;
    println!("Listening on {}", listener.local_address()?);
    serve(listener, app)
        .with_graceful_shutdown(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => break,
                    _ = second.tick() => sender.send_modify(|count| *count += 1),
                }
            }
            // The sender is dropped here, which ends every stream. Otherwise the server would
            // wait for them until its shutdown deadline.
        })
        .await?;
    Ok(())
}

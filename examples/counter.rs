//! A live counter over WebSockets in axum: every open page shows the same number.
//!
//! Run: `cargo run -p scgi-examples --features upgrade --example counter -- 127.0.0.1:4000`
//! nginx passes WebSockets on with `scgi_pass` alone; for other front servers see the guide
//! `upgrades`.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{any, get};
use scgi_examples::{BoxError, address, stop_signal};
use scgi_tokio::extract::Shutdown;
use scgi_tokio::{Listener, ShutdownSignal, serve};
use tokio::sync::watch;

/// nginx closes a tunnel without traffic after `scgi_read_timeout`, which is 60 s by default.
const PING: Duration = Duration::from_secs(20);

/// The number, and a wake-up for each open page.
type Counter = watch::Sender<u64>;

async fn page() -> Html<&'static str> {
    Html(include_str!("counter.html"))
}

/// Whether the page that opens the WebSocket came from this app. Browsers let any page open one.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(ORIGIN) else {
        // Not a browser.
        return true;
    };
    let origin = origin.split_once("://").and_then(|(_, host)| host.parse::<Authority>().ok());
    let host = text(HOST).and_then(|host| host.parse::<Authority>().ok());
    let (Some(origin), Some(host)) = (origin, host) else { return false };
    // Debian's `scgi_params` sends the host without its port.
    origin.host().eq_ignore_ascii_case(host.host())
        && host.port_u16().is_none_or(|port| origin.port_u16().is_none_or(|own| own == port))
}

async fn open(
    upgrade: WebSocketUpgrade,
    headers: HeaderMap,
    State(counter): State<Counter>,
    Shutdown(stopping): Shutdown,
) -> Response {
    if !is_same_origin(&headers) {
        return (StatusCode::FORBIDDEN, "a page of another site asked\n").into_response();
    }
    upgrade.on_upgrade(|socket| async {
        // An error means that the page was closed.
        let _ = count(socket, counter, stopping).await;
    })
}

/// Sends each new number, and adds one for each message.
async fn count(
    mut socket: WebSocket,
    counter: Counter,
    mut stopping: ShutdownSignal,
) -> Result<(), axum::Error> {
    let mut numbers = counter.subscribe();
    numbers.mark_changed();
    let mut ping = tokio::time::interval(PING);
    loop {
        tokio::select! {
            message = socket.recv() => match message.transpose()? {
                Some(Message::Text(_)) => counter.send_modify(|number| *number += 1),
                Some(Message::Close(_)) | None => return Ok(()),
                // axum answers pings itself.
                Some(_) => {}
            },
            _ = numbers.changed() => {
                let number = numbers.borrow_and_update().to_string();
                socket.send(Message::text(number)).await?;
            }
            _ = ping.tick() => socket.send(Message::Ping("".into())).await?,
            // Otherwise a restart waits for the whole shutdown deadline.
            () = &mut stopping => {
                let reason = CloseFrame { code: close_code::AWAY, reason: "restart".into() };
                return socket.send(Message::Close(Some(reason))).await;
            }
        }
    }
}

pub(crate) fn app() -> Router {
    let counter = Counter::new(0);
    Router::new().route("/", get(page)).route("/counter", any(open)).with_state(counter)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = Listener::bind(&address()?).await?;
    println!("Listening on {}", listener.local_address()?);
    serve(listener, app()).with_graceful_shutdown(stop_signal()).await?;
    Ok(())
}

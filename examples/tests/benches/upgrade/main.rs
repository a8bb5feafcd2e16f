//! WebSockets of an axum app over SCGI, beside `axum::serve`, in one run: the time of small messages
//! and the memory of idle connections.
//!
//! `cargo bench -p scgi-tests --bench upgrade` measures; with `-- --short` it takes a few seconds. It
//! needs the program `hello_websocket` of the same build: `cargo build --profile bench --examples`.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;

#[path = "../../tests/shared/watch.rs"]
mod watch;
#[path = "../../tests/shared/websocket_client.rs"]
mod websocket_client;
#[path = "../../tests/measuring/websocket_servers.rs"]
mod websocket_servers;

use websocket_servers::Server;

const CONNECTIONS: usize = 64;

/// The bounds, as times of `axum::serve`.
const MAX_TIME: f64 = 1.15;
const MAX_MEMORY: f64 = 1.2;

/// Time of one small message there and back, with all connections busy.
async fn time(server: &Server, messages: usize) -> Duration {
    let mut sockets = join_all((0..CONNECTIONS).map(|_| server.open())).await;
    let begun = Instant::now();
    join_all(sockets.iter_mut().map(async |socket| {
        for _ in 0..messages {
            socket.send(Message::text("a small message")).await.expect("sent");
            socket.next().await.expect("an echo").expect("an echo");
        }
    }))
    .await;
    begun.elapsed() / (CONNECTIONS * messages) as u32
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let is_short = std::env::args().any(|arg| arg == "--short");
    let (rounds, messages, idle) = if is_short { (3, 200, 500) } else { (9, 2000, 4000) };

    let servers = [Server::start("scgi"), Server::start("http")];
    let mut best = [Duration::MAX; 2];
    for _ in 0..rounds {
        for (server, best) in servers.iter().zip(&mut best) {
            *best = time(server, messages).await.min(*best);
        }
    }
    let [scgi, http] = best.map(|time| time.as_secs_f64() * 1e6);
    println!(
        "small message, {CONNECTIONS} connections: SCGI {scgi:.2} us, axum::serve {http:.2} us"
    );
    println!("  {:.3} times; bound {MAX_TIME}", scgi / http);

    // New ones: what they took before is not counted.
    let [scgi, http] = [Server::start("scgi"), Server::start("http")];
    let (scgi, http) = (scgi.memory(idle).await, http.memory(idle).await);
    println!("idle connection, {idle} of them: SCGI {scgi:.0} bytes, axum::serve {http:.0} bytes");
    println!("  {:.3} times; bound {MAX_MEMORY}", scgi / http);
}

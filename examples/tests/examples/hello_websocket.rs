//! An echo over WebSockets in axum, over SCGI or over HTTP: what the way through SCGI costs.
//!
//! Usage: `hello_websocket scgi|http ADDR`

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt as _;
use clap::{Parser, ValueEnum};
use scgi_tests::BoxError;
use tokio::net::TcpListener;

/// More than any measurement opens.
const MAX_CONNECTIONS: usize = 20_000;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Protocol {
    Scgi,
    Http,
}

#[derive(Debug, Parser)]
struct Args {
    protocol: Protocol,
    address: SocketAddr,
}

/// Bytes of the buffer of each WebSocket. With the 128 KiB that are usual, nothing else would show.
const BUFFER: usize = 2048;

async fn open(upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(BUFFER).on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
        // axum answers the others itself.
        if is_data && socket.send(message).await.is_err() {
            break;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let Args { protocol, address } = Args::parse();
    let app = Router::new().route("/echo", any(open));
    let listener = TcpListener::bind(address).await?;
    println!("Listening on {}", listener.local_addr()?);
    match protocol {
        Protocol::Scgi => {
            scgi_tokio::serve(listener, app).with_max_connections(MAX_CONNECTIONS).await?;
        }
        Protocol::Http => {
            // As the other one does.
            let listener = listener.tap_io(|stream| {
                let _ = stream.set_nodelay(true);
            });
            axum::serve(listener, app).await?;
        }
    }
    Ok(())
}

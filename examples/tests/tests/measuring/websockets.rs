//! WebSockets over SCGI: the memory of an idle one beside `axum::serve`, and many of them, among them
//! clients that leave at each moment.
//!
//! `SCGI_UPGRADES` sets how many: 2,000 if it is not set, 100,000 in `.ci/heavy`.

#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::alone::one_at_a_time;
use crate::tool::EchoServer;
use crate::watch::Usage;
use crate::websocket_client as client;
use crate::websocket_servers::Server;

/// Idle ones.
const CONNECTIONS: usize = 2000;

/// The bound on their memory, as times of what `axum::serve` needs.
const BOUND: f64 = 1.2;

const TASKS: usize = 16;

/// What a server may keep of the memory that it needed.
const SLACK: u64 = 8 << 20;

/// One client; each number leaves at another moment.
async fn visit(address: SocketAddr, number: usize) {
    let request = client::scgi();
    match number % 8 {
        // Within the head, after it, and right after the 101.
        0 => {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(&request.as_bytes()[..50]).await.expect("sent");
        }
        1 => {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(request.as_bytes()).await.expect("sent");
        }
        2 => drop(client::open(address, &request).await),
        // Refused: no key, and no Connection.
        3 => {
            let request = request.replace("WEBSOCKET_KEY", "WEBSOCKET_NOT");
            assert!(client::ask(address, &request).await.1.starts_with("Status: 400"));
        }
        4 => {
            let request = request.replace("HTTP_CONNECTION", "HTTP_CONNEKTION");
            assert!(client::ask(address, &request).await.1.starts_with("Status: 400"));
        }
        _ => {
            let mut socket = client::open(address, &request).await;
            let text = format!("message {number}");
            socket.send(Message::text(text.clone())).await.expect("sent");
            let echo = socket.next().await.expect("an echo").expect("an echo");
            assert_eq!(echo.into_text().expect("text"), text);
            if number % 8 > 5 {
                socket.close(None).await.expect("closed");
                while let Some(Ok(_)) = socket.next().await {}
            }
        }
    }
}

async fn visits(address: SocketAddr, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let next = Arc::clone(&next);
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    visit(address, number).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

/// Runs it alone.
fn run(test: impl Future<Output = ()>) {
    let _guard = one_at_a_time();
    tokio::runtime::Runtime::new().expect("a runtime").block_on(test);
}

#[test]
fn upgrades_leave_nothing_behind() {
    run(soak());
}

async fn soak() {
    let count =
        std::env::var("SCGI_UPGRADES").map_or(2000, |count| count.parse().expect("a number"));
    let mut command = Command::new(scgi_tests::programs::example("hello_websocket"));
    command.args(["scgi", "127.0.0.1:0"]);
    let server = EchoServer::start_command(command);
    let address = server.address.parse().expect("an address");
    // What the server needs once is there after this.
    visits(address, 200).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = Usage::of(server.pid());
    visits(address, count).await;
    before.await_return(server.pid(), SLACK, "upgrades");
}

#[test]
fn an_idle_websocket_beside_axum_serve() {
    run(compare_memory());
}

/// The least of three new servers: the steps in which an allocator takes memory add up to 5 %.
async fn least_memory(protocol: &str) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..3 {
        least = least.min(Server::start(protocol).memory(CONNECTIONS).await);
    }
    least
}

async fn compare_memory() {
    let scgi = least_memory("scgi").await;
    let http = least_memory("http").await;
    println!("SCGI {scgi:.0} bytes, axum::serve {http:.0} bytes");
    assert!(scgi > 1000.0, "{scgi} bytes are too few: the connections are not open");
    assert!(scgi <= http * BOUND, "SCGI {scgi} bytes, axum::serve {http} bytes");
}

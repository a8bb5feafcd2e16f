//! The program `hello_websocket` over SCGI and over HTTP, to compare the two.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;

use crate::watch::Usage;
use crate::websocket_client as client;

/// A server of its own, ended with the value.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    request: String,
}

impl Server {
    /// `protocol` is `scgi` or `http`.
    pub(crate) fn start(protocol: &str) -> Self {
        let program = scgi_tests::programs::example("hello_websocket");
        let mut command = Command::new(program);
        command.args([protocol, "127.0.0.1:0"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("Listening on ").expect("an address");
        let request = if protocol == "scgi" { client::scgi() } else { client::HTTP.to_owned() };
        Self { child, address: address.parse().expect("an address"), request }
    }

    pub(crate) async fn open(&self) -> WebSocketStream<TcpStream> {
        client::open(self.address, &self.request).await
    }

    /// Bytes of the server's memory for each of so many idle connections.
    pub(crate) async fn memory(&self, connections: usize) -> f64 {
        // What it needs once is there after this.
        for _ in 0..50 {
            drop(self.open().await);
        }
        let before = Usage::of(self.child.id()).memory;
        let mut sockets = Vec::new();
        for _ in 0..connections {
            sockets.push(self.open().await);
        }
        // The last ones have their head, and their task next.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let after = Usage::of(self.child.id()).memory;
        after.saturating_sub(before) as f64 / connections as f64
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

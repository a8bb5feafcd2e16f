//! The axum app of the tests of WebSockets: the example `counter`, and an
//! echo.

#![allow(dead_code, reason = "each test uses a part of it")]

/// The example; its page counts.
#[path = "../../../counter.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
pub(crate) mod counter;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::routing::{any, get};
use scgi_tokio::{Address, Counters, Listener, Mounted, serve};
use tempfile::TempDir;
use tokio::time::sleep;

/// The largest message; the clients send 10 MB.
const MAX_MESSAGE: usize = 16 << 20;

async fn open(upgrade: WebSocketUpgrade) -> axum::response::Response {
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    upgrade.on_upgrade(async |socket| {
        // An error means that the client has left.
        let _ = echo(socket).await;
    })
}

/// Echoes, with two words that make the server act: `ping me` and `close me`.
async fn echo(mut socket: WebSocket) -> Result<(), axum::Error> {
    while let Some(message) = socket.recv().await.transpose()? {
        match message {
            Message::Text(text) if text == "ping me" => {
                socket.send(Message::Ping("from the server".into())).await?;
            }
            Message::Text(text) if text == "close me" => {
                let reason = CloseFrame { code: 4000, reason: "as you wish".into() };
                socket.send(Message::Close(Some(reason))).await?;
            }
            Message::Text(_) | Message::Binary(_) => socket.send(message).await?,
            Message::Pong(data) if data == "from the server" => {
                socket.send(Message::text("pong")).await?;
            }
            // axum answers pings and closes itself.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
        }
    }
    Ok(())
}

/// The counter and the echo.
pub(crate) fn app() -> Router {
    counter::app().route("/echo", any(open)).route("/hello", get(async || "hello"))
}

/// A server of it on TCP, and on a Unix socket under `/unix`, in the runtime of the test.
pub(crate) struct App {
    pub(crate) tcp: SocketAddr,
    pub(crate) unix: PathBuf,
    counters: [Counters; 2],
    _folder: TempDir,
}

impl App {
    pub(crate) async fn start() -> Self {
        Self::serve(app()).await
    }

    pub(crate) async fn serve(app: Router) -> Self {
        let folder = scgi_tests::process::scratch_dir().expect("a folder");
        let path = folder.path().join("app.sock");
        let unix = Listener::bind(&Address::Unix(path.clone())).await.expect("a Unix listener");
        let rights = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&path, rights).expect("rights of the socket");
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a TCP listener");
        let address = tcp.local_addr().expect("its address");
        let tcp = serve(tcp, app.clone()).with_max_connections(4096);
        // The front servers pass the prefix on.
        let unix = serve(unix, Mounted::new("/unix", app)).with_max_connections(4096);
        let counters = [tcp.counters(), unix.counters()];
        tokio::spawn(tcp.into_future());
        tokio::spawn(unix.into_future());
        Self { tcp: address, unix: path, counters, _folder: folder }
    }

    /// Connections that were upgraded so far.
    pub(crate) fn upgraded(&self) -> u64 {
        self.counters.iter().map(Counters::upgraded).sum()
    }

    /// Waits until no connection is open.
    pub(crate) async fn wait_until_idle(&self) {
        let begun = std::time::Instant::now();
        while self.counters.iter().map(Counters::active).sum::<u64>() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "connections stay open");
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn unix(&self) -> &Path {
        &self.unix
    }
}

//! The stream that `Backend` has after a 101, over sockets, with a server on each runtime.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use scgi_tokio::{Backend, Upgraded, UpgradedStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tower_service::Service as _;

use super::each;
use super::server::{PATIENCE, Server};

async fn open(server: &Server, path: &str) -> Upgraded {
    let mut backend = Backend::new(server.scgi_address()).expect("an address");
    let request = Request::get(path).header("Connection", "Upgrade").header("Upgrade", "echo");
    let request = request.body(Body::empty()).expect("a request");
    let mut response = backend.call(request).await.expect(&server.name);
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS, "{}", server.name);
    assert_eq!(response.headers()["upgrade"], "echo", "{}", server.name);
    let stream: UpgradedStream = response.extensions_mut().remove().expect("it is there");
    let io = stream.clone().take().expect("the first has it");
    assert!(stream.take().is_none(), "{}", server.name);
    io
}

#[test]
fn the_stream_of_a_backend_passes_on_data_the_ends_and_what_breaks() {
    const LARGE: usize = 2_000_000;
    each(|server| {
        let name = &server.name;
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        // More than the sockets hold, in both directions at the same time; then a half-close.
        runtime.block_on(async {
            let io = open(&server, "/echo").await;
            let (mut reader, mut writer) = tokio::io::split(io);
            let sent: Vec<u8> = (0..LARGE).map(|index| (index % 251) as u8).collect();
            let send = async {
                writer.write_all(&sent).await.expect(name);
                writer.shutdown().await.expect(name);
            };
            let mut got = Vec::new();
            let (read, ()) = tokio::join!(reader.read_to_end(&mut got), send);
            read.expect(name);
            assert!(got == sent, "{name}: {} bytes", got.len());
        });
        server.assert_free_after(1);
        // Dropped while the program waits for it.
        runtime.block_on(async {
            let mut io = open(&server, "/echo").await;
            io.write_all(b"hello").await.expect(name);
            io.read_exact(&mut [0; 5]).await.expect(name);
        });
        server.assert_free_after(2);
        server.wait_until("a program is left", || server.seen.ended.load(Ordering::SeqCst) == 2);
        // The program leaves, and what it does not read may break the connection.
        runtime.block_on(async {
            let mut io = open(&server, "/breaks").await;
            let read = timeout(PATIENCE, io.read(&mut [0; 5])).await.expect("an end");
            assert!(matches!(read, Ok(0) | Err(_)), "{name}: {read:?}");
            let write = async {
                while io.write_all(b"hello").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(PATIENCE, write).await.expect("a write fails");
        });
        server.assert_free_after(3);
    });
}

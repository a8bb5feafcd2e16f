//! A WebSocket client that opens its connections over SCGI or over HTTP, in the same way.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

pub(crate) const HTTP: &str = "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The same request, as nginx passes it on.
pub(crate) fn scgi() -> String {
    let params = "CONTENT_LENGTH\x000\x00SCGI\x001\x00REQUEST_METHOD\0GET\0REQUEST_URI\0/echo\0\
        SERVER_PROTOCOL\0HTTP/1.1\0HTTP_HOST\0localhost\0HTTP_CONNECTION\0Upgrade\0\
        HTTP_UPGRADE\0websocket\0HTTP_SEC_WEBSOCKET_VERSION\x0013\0\
        HTTP_SEC_WEBSOCKET_KEY\0dGhlIHNhbXBsZSBub25jZQ==\0";
    format!("{}:{params},", params.len())
}

/// Sends a request and reads the head of its response.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    (stream, String::from_utf8(head).expect("text"))
}

/// A WebSocket that is open.
pub(crate) async fn open(address: SocketAddr, request: &str) -> WebSocketStream<TcpStream> {
    let (stream, head) = ask(address, request).await;
    assert!(head.contains("101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

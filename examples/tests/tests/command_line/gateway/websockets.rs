//! WebSockets through the gateway: HTTP/1.1 upgrades and HTTP/2's extended CONNECT.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::ext::Protocol;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use scgi_tests::process::required;
use scgi_tests::websocket;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{authority, gateway};
use crate::websocket_app::App;

/// Open at the same time: fewer than the gateway takes requests.
const CONNECTIONS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn python_over_http1() {
    if !required("python websockets") {
        return;
    }
    let app = App::start().await;
    let gateway = gateway(&app.tcp.to_string(), &[]);
    let url = format!("{}/echo", gateway.address.replace("http://", "ws://"));
    let client = spawn_blocking(move || websocket::python(&url, CONNECTIONS));
    println!("{}", client.await.expect("no panic").expect("all of it holds"));
    assert_eq!(app.upgraded(), CONNECTIONS as u64 + 2);
    app.wait_until_idle().await;
    assert_eq!(gateway.said(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn extended_connect_over_http2() {
    let app = App::start().await;
    let gateway = gateway(&app.tcp.to_string(), &[]);
    let stream = TcpStream::connect(authority(&gateway)).await.expect("a connection");
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let request = |path: &str| {
        Request::builder()
            .method(Method::CONNECT)
            .uri(format!("{}{path}", gateway.address))
            .header("sec-websocket-version", "13")
            .extension(Protocol::from_static("websocket"))
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .expect("a request")
    };
    // The settings of the server must come first.
    let response = loop {
        match sender.send_request(request("/echo")).await {
            Ok(response) => break response,
            Err(error) if error.is_user() => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error:?}"),
        }
    };
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    let io = TokioIo::new(hyper::upgrade::on(response).await.expect("a tunnel"));
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    socket.send(Message::text("over HTTP/2")).await.expect("sent");
    let echo = socket.next().await.expect("an echo").expect("an echo");
    assert_eq!(echo.into_text().expect("text"), "over HTTP/2");
    socket.close(None).await.expect("closed");
    while let Some(Ok(_)) = socket.next().await {}
    // An ordinary answer would mean to HTTP/2 that the tunnel is open.
    let response = sender.send_request(request("/hello")).await.expect("a response");
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(app.upgraded(), 1);
    app.wait_until_idle().await;
}

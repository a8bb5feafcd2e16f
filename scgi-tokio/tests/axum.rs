//! What an axum app learns of its connection.

#![cfg(all(feature = "axum", unix))]

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use scgi_tokio::extract::FrontServer;
use scgi_tokio::{Address, Client, Error, Listener, Peer, Request, RequestHead, serve};

async fn peer(FrontServer(peer): FrontServer) -> String {
    peer.to_string()
}

async fn client(ConnectInfo(address): ConnectInfo<SocketAddr>) -> String {
    address.to_string()
}

/// What the app answers to GET `uri`.
async fn ask(address: &Address, uri: &str) -> Result<String, Error> {
    let head = RequestHead::builder("GET", uri)
        .param("REMOTE_ADDR", "192.0.2.1")
        .param("REMOTE_PORT", "50000")
        .build();
    let response = Client::connect(address).await?.request(Request::new(head, "")).await?;
    assert_eq!(response.status().code(), 200, "{uri}");
    let body = response.into_body().collect(1000).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn app() -> Router {
    Router::new().route("/peer", get(peer)).route("/client", get(client))
}

#[tokio::test]
async fn the_process_at_a_unix_socket() -> Result<(), Error> {
    let path = std::env::temp_dir().join(format!("scgi-tokio-axum-{}.sock", std::process::id()));
    let address = Address::Unix(path);
    let listener = Listener::bind(&address).await?;
    tokio::spawn(serve(listener, app()).into_future());
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let expected = if cfg!(target_os = "linux") {
        format!("uid {uid}, gid {gid}, pid {}", std::process::id())
    } else {
        Peer::Unix(None).to_string()
    };
    assert_eq!(ask(&address, "/peer").await?, expected);
    Ok(())
}

#[tokio::test]
async fn the_front_server_and_its_client() -> Result<(), Error> {
    let listener = Listener::bind(&"127.0.0.1:0".parse().expect("an address")).await?;
    let address = listener.local_address()?;
    tokio::spawn(serve(listener, app()).into_future());
    let peer = ask(&address, "/peer").await?;
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    assert_eq!(ask(&address, "/client").await?, "192.0.2.1:50000");
    Ok(())
}

//! What an axum app learns of its connection.

#![cfg(all(feature = "axum", unix))]

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{Method, Uri};
use axum::routing::get;
use scgi_tokio::extract::{Client as Browser, FrontServer};
use scgi_tokio::{
    Address, Client, ConnectionConfig, Error, Listener, PathSource, Peer, Policy, Request,
    RequestHead, serve, serve_connection,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
    let listener = Listener::bind("127.0.0.1:0").await?;
    let address = listener.local_address()?;
    tokio::spawn(serve(listener, app()).into_future());
    let peer = ask(&address, "/peer").await?;
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    assert_eq!(ask(&address, "/client").await?, "192.0.2.1:50000");
    Ok(())
}

/// The whole response of an app that shows its request to these bytes.
async fn reply(request: &[u8], policy: Policy) -> String {
    let browser = async |browser: Option<Browser>| match browser {
        Some(Browser(address)) => address.to_string(),
        None => "no address".to_owned(),
    };
    let show = async |method: Method, uri: Uri, body: String| format!("{method} {uri} {body}");
    let app = Router::new()
        .route("/who", get(client))
        .route("/browser", get(browser))
        .route("/app/admin/{*rest}", get(|| async { "the admin's" }))
        .fallback(show);
    let (mut near, far) = tokio::io::duplex(4096);
    near.write_all(request).await.expect("room");
    let config = ConnectionConfig::default().with_policy(policy);
    tokio::spawn(async move { serve_connection(far, app, &config).await });
    let mut reply = Vec::new();
    near.read_to_end(&mut reply).await.expect("a reply");
    String::from_utf8(reply).expect("text")
}

/// A request with these params.
fn with_params(pairs: &[(&str, &str)]) -> Vec<u8> {
    let block: String = pairs.iter().map(|(name, value)| format!("{name}\0{value}\0")).collect();
    format!("{}:{block},", block.len()).into_bytes()
}

macro_rules! field {
    ($name:literal) => {
        include_bytes!(concat!("../../scgi-proto/tests/vectors/field/", $name, ".scgi"))
    };
}

#[tokio::test]
async fn what_the_field_sends_is_answered() {
    let mapped = Policy::default().with_path_source(PathSource::Mapped);
    let get = |uri| with_params(&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", uri)]);
    let unix = with_params(&[
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", "/browser"),
        ("REMOTE_ADDR", "unix:"),
    ]);
    let rows: &[(&[u8], Policy, &str, &str)] = &[
        (field!("zone"), Policy::default(), "200", "[fe80::5054:ff:fe12:3456]:50412"),
        (field!("bare_call"), Policy::default(), "200", "POST / <methodCall><methodName>"),
        (&with_params(&[("SCGI", "1")]), Policy::default(), "200", "GET / "),
        (field!("empty_path"), Policy::default(), "200", "GET /?a=1 "),
        (field!("internal_redirect"), Policy::default(), "200", "GET /old?x=1 "),
        (field!("internal_redirect"), mapped, "200", "GET /new "),
        (&unix, Policy::default(), "200", "no address"),
        (field!("unix_browser"), Policy::default(), "500", ""),
        (&get("/app/admin/x"), Policy::default(), "200", "the admin's"),
        (&get("/app/admin/x/../../hello"), Policy::default(), "400", "a segment . or .."),
        (&get("/app/admin/%2E%2e/hello"), Policy::default(), "400", "a segment . or .."),
        (
            &get("/app/admin/../hello"),
            Policy::default().with_dot_segments(true),
            "200",
            "the admin's",
        ),
        (&with_params(&[("REQUEST_METHOD", "GET")]), Policy::default(), "400", "no path"),
        (&with_params(&[("REQUEST_URI", "/a")]), Policy::default(), "400", "no REQUEST_METHOD"),
    ];
    for (request, policy, status, body) in rows {
        let reply = reply(request, *policy).await;
        let request = request.escape_ascii();
        assert!(reply.starts_with(&format!("Status: {status} ")), "{request}: {reply}");
        let (_, text) = reply.split_once("\r\n\r\n").expect("a body");
        assert!(text.contains(body), "{request}: {reply}");
    }
}

//! An axum app behind a front server, over SCGI instead of HTTP.
//!
//! Run: `cargo run -p scgi-examples --features axum --example axum_app -- 127.0.0.1:4000`
//! One page with a form, an upload with progress, a clock of Server-Sent Events, a download of
//! 1 GiB, and a login cookie.

use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Form};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use scgi_examples::{BoxError, address, stop_signal};
use scgi_tokio::extract::Client;
use scgi_tokio::{Listener, serve};
use serde::Deserialize;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

/// Bytes of the download.
const DOWNLOAD: usize = 1 << 30;

/// Bytes of one of its chunks.
const CHUNK: usize = 64 * 1024;

/// Time for a response's head; streams go on after it.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Greeting {
    name: String,
}

async fn page(client: Option<Client>, headers: HeaderMap) -> Html<String> {
    let address = client.map_or_else(|| "unknown".into(), |Client(address)| address.to_string());
    let cookie = headers.get(COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let login = cookie.split("; ").find_map(|pair| pair.strip_prefix("login="));
    let page = include_str!("axum_app.html").replace("{address}", &address);
    Html(page.replace("{login}", login.unwrap_or("nobody")))
}

async fn greet(Form(Greeting { name }): Form<Greeting>) -> String {
    format!("Hello, {name}!")
}

async fn login(Form(Greeting { name }): Form<Greeting>) -> impl IntoResponse {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let cookie = format!("login={name}; HttpOnly; SameSite=Lax; Path=/");
    ([(SET_COOKIE, cookie)], Redirect::to("/"))
}

async fn upload(body: Body) -> Result<String, StatusCode> {
    let mut chunks = body.into_data_stream();
    let mut len = 0;
    while let Some(chunk) = chunks.next().await {
        len += chunk.map_err(|_| StatusCode::BAD_REQUEST)?.len();
    }
    Ok(format!("{len} bytes"))
}

async fn clock() -> impl IntoResponse {
    let events = Sse::new(stream::unfold(false, async |started| {
        if started {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some((Ok::<_, Infallible>(Event::default().data(now.as_millis().to_string())), true))
    }));
    // nginx would collect the events otherwise.
    ([("X-Accel-Buffering", "no")], events)
}

async fn download() -> impl IntoResponse {
    let chunk = Bytes::from(vec![b'.'; CHUNK]);
    let chunks = stream::repeat(chunk).take(DOWNLOAD / CHUNK).map(Ok::<_, Infallible>);
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, DOWNLOAD.to_string()),
    ];
    (headers, Body::from_stream(chunks))
}

pub(crate) fn app() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/greet", post(greet))
        .route("/login", post(login))
        .route("/upload", post(upload).layer(DefaultBodyLimit::disable()))
        .route("/clock", get(clock))
        .route("/download", get(download))
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, TIMEOUT))
        .layer(TraceLayer::new_for_http())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = Listener::bind(&address()?).await?;
    println!("Listening on {}", listener.local_address()?);
    serve(listener, app()).with_graceful_shutdown(stop_signal()).await?;
    Ok(())
}

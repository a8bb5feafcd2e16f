//! What an operator reads where a browser asks for a WebSocket and the feature for it is off.

#![cfg(all(feature = "axum", feature = "tracing", not(feature = "upgrade")))]

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::UPGRADE;
use axum::routing::get;
use scgi_tokio::{Client, Error, Listener, RequestHead, serve};
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As axum's `WebSocketUpgrade` does, which looks for what hyper makes.
async fn open(request: Request) -> (StatusCode, &'static str) {
    assert_eq!(request.headers()[UPGRADE], "websocket");
    (StatusCode::UPGRADE_REQUIRED, "cannot be upgraded")
}

#[tokio::test]
async fn the_log_names_the_feature() -> Result<(), Error> {
    let lines = Lines::default();
    let writer = lines.clone();
    // The tasks of the server run on this thread.
    let _logging = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time()
        .finish()
        .set_default();
    let listener = Listener::bind("127.0.0.1:0").await?;
    let server = serve(listener, Router::new().route("/", get(open)));
    let address = server.local_addr()?;
    let counters = server.counters();
    tokio::spawn(server.into_future());
    let ask = async |upgrade: &[(&str, &str)]| {
        let head = upgrade
            .iter()
            .fold(RequestHead::builder("GET", "/"), |head, (name, value)| head.param(name, value));
        let request = scgi_tokio::Request::new(head.build(), "");
        let response = Client::connect(&address).await?.request(request).await?;
        Ok::<_, Error>(response.status().code())
    };
    let websocket = [("HTTP_CONNECTION", "Upgrade"), ("HTTP_UPGRADE", "websocket")];
    assert_eq!(ask(&websocket).await?, 426);
    let told = String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("text");
    let warning = "a client asks for a WebSocket: that needs the feature `upgrade` of scgi-tokio";
    assert_eq!(told.matches(warning).count(), 1, "{told}");
    assert!(told.contains("WARN"), "{told}");
    assert_eq!(counters.upgraded(), 0);
    Ok(())
}

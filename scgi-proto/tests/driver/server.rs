//! The server side.

mod arrivals;
mod deadlines;
mod requests;
mod responses;
mod upgrades;

use std::future::pending;
use std::time::Duration;

use scgi_proto::driver::{Body, Connection};
use scgi_proto::{BoxError, ConnectionConfig, Request, Response};

use crate::script::{Done, Read, Script};

const GET: Read = Read::Bytes(b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,");
const POST: Read = Read::Bytes(b"24:CONTENT_LENGTH\x009\x00SCGI\x001\x00,ab");
const HELLO: &str = "Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn connection(script: &Script) -> Connection<Script, Script> {
    // The default deadlines: 10 s for the head, 60 s between pieces, 10 minutes for all.
    let config = ConnectionConfig::default()
        .with_head_timeout(Duration::from_secs(10))
        .with_body_timeout(Duration::from_secs(60))
        .with_write_timeout(Duration::from_secs(60))
        .with_request_timeout(Duration::from_secs(600))
        .with_drain_timeout(Duration::from_secs(5))
        // Of this, `flow` has tests of its own.
        .with_min_body_rate(0)
        .with_min_write_rate(0);
    Connection::new(script.clone(), script.clone(), &config)
}

async fn hello(_: Request<Body>) -> Result<Response<Body>, BoxError> {
    Ok(Response::new("hello"))
}

async fn echo(request: Request<Body>) -> Result<Response<Body>, BoxError> {
    echo_body(request.into_body()).await
}

async fn never(_: Request<Body>) -> Result<Response<Body>, BoxError> {
    pending().await
}

fn wrote(text: &str) -> Done {
    Done::Wrote(text.into())
}

async fn echo_body(body: Body) -> Result<Response<Body>, BoxError> {
    Ok(Response::new(body.collect(100).await?))
}

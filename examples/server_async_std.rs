//! A server on async-std that answers each request with a page that shows it.
//!
//! Usage: `server_async_std ADDR`. Try `printf '0:,' | nc host port`, or put nginx in front of it.

use async_std::task::spawn_blocking;
use scgi_async_std::async_std::serve;
use scgi_async_std::{Error, Listener, Request, Response};
use scgi_examples::{BoxError, address, page, wait_for_stop};

/// What the page shows of a body at most, in bytes.
const BODY_LIMIT: usize = 1 << 20;

async fn answer(request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let body = body.collect(BODY_LIMIT).await?;
    let page = page(head.params(), &body);
    Ok(Response::new(page).with_field("Content-Type", "text/html; charset=utf-8"))
}

fn main() -> Result<(), BoxError> {
    async_std::task::block_on(run())
}

async fn run() -> Result<(), BoxError> {
    let listener = Listener::bind(&address()?).await?;
    println!("Listening on {}", listener.local_address()?);
    serve(listener, answer).with_graceful_shutdown(spawn_blocking(wait_for_stop)).await?;
    Ok(())
}

//! A server that answers each request with a page that shows it.
//!
//! Usage: `server ADDR`. Try `printf '0:,' | nc host port`, or put nginx in front of it.

use scgi_examples::{BoxError, address, page, stop_signal};
use scgi_tokio::{Error, Listener, Request, Response, serve};

/// What the page shows of a body at most, in bytes.
const BODY_LIMIT: usize = 1 << 20;

async fn answer(request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let body = body.collect(BODY_LIMIT).await?;
    let page = page(head.params(), &body);
    Ok(Response::new(page).with_field("Content-Type", "text/html; charset=utf-8"))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = Listener::bind(&address()?).await?;
    println!("Listening on {}", listener.local_address()?);
    serve(listener, answer).with_graceful_shutdown(stop_signal()).await?;
    Ok(())
}

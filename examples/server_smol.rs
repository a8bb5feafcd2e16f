//! A server on smol that answers each request with a page that shows it.
//!
//! Usage: `server_smol ADDR`. Try `printf '0:,' | nc host port`, or put nginx in front of it.

use scgi_async_std::smol::serve;
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
    smol::block_on(run())
}

async fn run() -> Result<(), BoxError> {
    let listener = Listener::bind(&address()?).await?;
    println!("Listening on {}", listener.local_address()?);
    serve(listener, answer).with_graceful_shutdown(smol::unblock(wait_for_stop)).await?;
    Ok(())
}

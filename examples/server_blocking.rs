//! A server on plain threads that answers each request with a page that shows it.
//!
//! Usage: `server_blocking ADDR`. Try `printf '0:,' | nc host port`, or put nginx in front of it.

use scgi_blocking::{Error, Listener, Request, Response, serve};
use scgi_examples::{BoxError, address, page, wait_for_stop};

/// What the page shows of a body at most, in bytes.
const BODY_LIMIT: usize = 1 << 20;

fn answer(request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let body = body.collect(BODY_LIMIT)?;
    let page = page(head.params(), &body);
    Ok(Response::new(page).with_field("Content-Type", "text/html; charset=utf-8"))
}

fn main() -> Result<(), BoxError> {
    let listener = Listener::bind(&address()?)?;
    println!("Listening on {}", listener.local_address()?);
    serve(listener, answer).with_graceful_shutdown(wait_for_stop).run()?;
    Ok(())
}

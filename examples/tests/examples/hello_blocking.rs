//! The smallest complete server on plain threads: answers `You asked for URI`.
//!
//! Usage: `hello_blocking [--max-connections N] ADDR`

use scgi_blocking::{Error, Listener, Request, Response, serve};
use scgi_tests::{BoxError, HelloArgs, hello};

fn answer(mut request: Request) -> Result<Response, Error> {
    request.body_mut().discard()?;
    let uri = request.head().request_uri().unwrap_or_default();
    Ok(Response::new(hello(uri)).with_field("Content-Type", "text/plain"))
}

fn main() -> Result<(), BoxError> {
    let args = HelloArgs::from_command_line();
    let listener = Listener::bind(&args.address)?;
    println!("Listening on {}", listener.local_address()?);
    let mut server = serve(listener, answer);
    if let Some(count) = args.max_connections {
        server = server.with_max_connections(count);
    }
    server.run()?;
    Ok(())
}

//! The smallest complete server on tokio: answers `You asked for URI`.
//!
//! Usage: `hello_tokio [--multi] [--max-connections N] ADDR`

use scgi_tests::{BoxError, HelloArgs, hello};
use scgi_tokio::{Error, Listener, Request, Response, serve};

async fn answer(mut request: Request) -> Result<Response, Error> {
    request.body_mut().discard().await?;
    let uri = request.head().request_uri().unwrap_or_default();
    Ok(Response::new(hello(uri)).with_field("Content-Type", "text/plain"))
}

fn main() -> Result<(), BoxError> {
    let args = HelloArgs::from_command_line();
    let mut runtime = if args.multi {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    runtime.enable_all().build()?.block_on(run(args))
}

pub(crate) async fn run(args: HelloArgs) -> Result<(), BoxError> {
    let listener = Listener::bind(&args.address).await?;
    println!("Listening on {}", listener.local_address()?);
    let mut server = serve(listener, answer);
    if let Some(count) = args.max_connections {
        server = server.with_max_connections(count);
    }
    server.await?;
    Ok(())
}

//! The answer of the `hello_*` programs from an axum app, over SCGI: what the bridge costs.
//!
//! Usage: `hello_axum [--multi] [--max-connections N] ADDR`

use axum::Router;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use axum::routing::any;
use scgi_tests::{BoxError, HelloArgs, hello};
use scgi_tokio::{Listener, serve};

async fn page(uri: Uri) -> impl IntoResponse {
    let asked = uri.path_and_query().map_or("/", |asked| asked.as_str());
    ([(header::CONTENT_TYPE, "text/plain")], hello(asked.as_bytes()))
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
    let mut server = serve(listener, Router::new().fallback(any(page)));
    if let Some(count) = args.max_connections {
        server = server.with_max_connections(count);
    }
    server.await?;
    Ok(())
}

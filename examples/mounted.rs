//! An axum app under a prefix: nginx passes `/app/...` to it, and its routes begin at `/`.
//!
//! Run: `cargo run -p scgi-examples --features axum --example mounted -- 127.0.0.1:4000`
//!
//! nginx:
//! ```text
//! location /app/ {
//!     include scgi_params;
//!     scgi_param SCRIPT_NAME /app;
//!     scgi_pass 127.0.0.1:4000;
//! }
//! ```

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use scgi_examples::{BoxError, address};
use scgi_tokio::extract::Mount;
use scgi_tokio::{Listener, Mounted, serve};

/// Links begin with the prefix that nginx sends, so that the app need not know it.
async fn home(Mount(prefix): Mount) -> Html<String> {
    Html(format!("<a href=\"{prefix}/about\">About</a>"))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let app = Router::new().route("/", get(home)).route("/about", get(async || "About this app\n"));
    let listener = Listener::bind(&address()?).await?;
    println!("Listening on {}", listener.local_address()?);
    serve(listener, Mounted::new("/app", app)).await?;
    Ok(())
}

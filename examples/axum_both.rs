//! One Router, over HTTP or over SCGI: the address says which.
//!
//! Run: `cargo run -p scgi-examples --features axum --example axum_both -- scgi:127.0.0.1:4000`
//! The address is `http:host:port`, `scgi:host:port` or `unix:PATH`.

use axum::Router;
use axum::routing::get;
use scgi_examples::BoxError;
use scgi_tokio::{Listener, serve};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let app = Router::new().route("/", get(async || "hello"));
    let address = std::env::args().nth(1).ok_or("axum_both http:ADDR | scgi:ADDR | unix:PATH")?;
    if let Some(address) = address.strip_prefix("http:") {
        let listener = tokio::net::TcpListener::bind(address).await?;
        println!("Listening on http:{}", listener.local_addr()?);
        axum::serve(listener, app).await?;
    } else {
        let address = address.strip_prefix("scgi:").unwrap_or(&address);
        let listener = Listener::bind(address).await?;
        println!("Listening on {}", listener.local_address()?);
        serve(listener, app).await?;
    }
    Ok(())
}

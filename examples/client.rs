//! A client that sends a small JSON document and prints the response.
//!
//! Usage: `client ADDR`

use scgi_examples::{BoxError, address};
use scgi_tokio::{Client, Request, RequestHead};

/// What is read of a response at most, in bytes.
const BODY_LIMIT: usize = 16 << 20;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let address = address()?;
    println!("Connecting to {address}");
    let client = Client::connect(&address).await?;
    let head = RequestHead::builder("POST", "/").param("CONTENT_TYPE", "application/json").build();
    let response = client.request(Request::new(head, r#"{"hello":"scgi"}"#)).await?;
    println!("{}", response.status());
    let body = response.into_body().collect(BODY_LIMIT).await?;
    println!("Got {} bytes:\n{}", body.len(), String::from_utf8_lossy(&body));
    Ok(())
}

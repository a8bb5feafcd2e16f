//! A client on std::io that sends a small JSON document and prints the response.
//!
//! Usage: `client_blocking ADDR`

use scgi_blocking::{Client, Request, RequestHead};
use scgi_examples::{BoxError, address};

/// What is read of a response at most, in bytes.
const BODY_LIMIT: usize = 16 << 20;

fn main() -> Result<(), BoxError> {
    let address = address()?;
    println!("Connecting to {address}");
    let client = Client::connect(&address)?;
    let head = RequestHead::builder("POST", "/").param("CONTENT_TYPE", "application/json").build();
    let response = client.request(Request::new(head, r#"{"hello":"scgi"}"#))?;
    println!("{}", response.status());
    let body = response.into_body().collect(BODY_LIMIT)?;
    println!("Got {} bytes:\n{}", body.len(), String::from_utf8_lossy(&body));
    Ok(())
}

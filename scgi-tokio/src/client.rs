//! The client side: calling an SCGI server.

use scgi_proto::adapter;

use crate::runtime::Tokio;

/// The client side of one connection: one request, one response. `IO` is any stream with tokio's
/// `AsyncRead` and `AsyncWrite` that is `Unpin` and `'static`; that of `Client::connect` is a
/// [`Stream`](crate::Stream).
///
/// # Examples
/// ```no_run
/// use scgi_tokio::{Client, Request, RequestHead};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("/run/rtorrent.sock").await?;
/// let call = "<methodCall><methodName>system.client_version</methodName></methodCall>";
/// let head = RequestHead::builder("POST", "/RPC2").param("CONTENT_TYPE", "text/xml").build();
/// let response = client.request(Request::new(head, call)).await?;
/// println!("{}", response.status());
/// let reply = response.into_body().collect(1 << 20).await?;
/// # let _ = reply;
/// # Ok(()) }
/// ```
pub type Client<IO> = adapter::Client<Tokio, IO>;

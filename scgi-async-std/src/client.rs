//! The client side: calling an SCGI server.

use scgi_proto::adapter;

use crate::transport::FuturesIo;

/// The client side of one connection: one request, one response. `IO` is any stream with `AsyncRead`
/// and `AsyncWrite` of futures-io that is `Unpin` and `'static`.
///
/// With a runtime's feature, there are `Client::connect` and `Client::new`; else `with_timer`.
///
/// # Examples
/// ```
/// use scgi_async_std::{Client, ClientConfig, Error, Request, RequestHead, Timer};
///
/// async fn call<S>(stream: S, timer: Timer) -> Result<(), Error>
/// where
///     S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + Send + 'static,
/// {
///     let client = Client::with_timer(stream, &ClientConfig::default(), timer);
///     let head = RequestHead::builder("POST", "/RPC2").param("CONTENT_TYPE", "text/xml").build();
///     let response = client.request(Request::new(head, "<methodCall/>")).await?;
///     println!("{}", response.status());
///     let reply = response.into_body().collect(1 << 20).await?;
///     # let _ = reply;
///     Ok(())
/// }
/// ```
pub type Client<IO> = adapter::Client<FuturesIo, IO>;

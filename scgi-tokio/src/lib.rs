//! SCGI servers and clients on tokio.
//!
//! A program behind nginx, Apache or lighttpd:
//! ```no_run
//! use scgi_tokio::{Listener, Request, Response, serve};
//!
//! async fn hello(request: Request) -> Response {
//!     let uri = request.head().request_uri().unwrap_or_default().to_vec();
//!     Response::new(uri).with_field("Content-Type", "text/plain")
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = Listener::bind(&"127.0.0.1:4000".parse()?).await?;
//! serve(listener, hello).await?;
//! # Ok(()) }
//! ```
//!
//! - [`serve`] runs a [`Handler`] on a [`Listener`]; [`serve_connection`] on one stream.
//! - [`Client`] calls an SCGI server.
//! - [`Connection`] is one request and its reply, piece by piece.
//! - [`ServerCodec`] and [`ClientCodec`] are for [`tokio_util::codec::Framed`].
//!
//! Every rule of the protocol is in `scgi_proto`, whose types are exported here.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(unix)]
mod accepted;
mod answer;
mod body;
mod client;
mod codec;
mod connection;
mod first;
mod handler;
mod listener;
mod message;
mod serve;
mod stream;
mod upload;

pub use scgi_proto::{
    Address, AddressError, BindOptions, Config, Counters, DecodeError, EncodeError, Error, Fields,
    Limits, Params, Policy, RequestEvent, RequestHead, RequestHeadBuilder, ResponseEvent,
    ResponseHead, Status, Timeout,
};
pub use {
    body::Body,
    client::Client,
    codec::{ClientCodec, ServerCodec},
    connection::Connection,
    handler::{BoxError, Handler, IntoResponse},
    listener::Listener,
    message::{Request, Response},
    serve::{Serve, Summary, serve, serve_connection},
    stream::Stream,
};

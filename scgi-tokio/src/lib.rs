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
//! # Features
//! - `tower`: [`serve`] takes any tower service, an axum `Router` for example, and `Backend` is a
//!   service that calls an SCGI server.
//! - `axum`: extractors for the params, the client's address and the mount point.
//!
//! Every rule of the protocol is in `scgi_proto`, whose types are exported here.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(unix)]
mod accepted;
mod body;
mod client;
mod codec;
mod connection;
#[cfg(feature = "axum")]
pub mod extract;
mod first;
mod handler;
mod listener;
mod message;
mod serve;
#[cfg(feature = "tower")]
mod service;
mod stream;
mod transport;

#[cfg(feature = "tower")]
pub use scgi_proto::http::{ClientAddress, ConvertError, MountPoint};
pub use scgi_proto::{
    Address, AddressError, AllowList, BindOptions, BoxError, Config, Counters, Credentials,
    DecodeError, EncodeError, Error, Fields, IntoResponse, Limits, Network, NetworkError, Params,
    Peer, Policy, RequestEvent, RequestHead, RequestHeadBuilder, ResponseEvent, ResponseHead,
    Status, Timeout,
};
#[cfg(feature = "tower")]
pub use service::{Backend, Mounted, Tower};
pub use {
    body::Body,
    client::Client,
    codec::{ClientCodec, ServerCodec},
    connection::Connection,
    handler::Handler,
    listener::Listener,
    message::{Request, Response},
    serve::{Serve, Summary, serve, serve_connection},
    stream::Stream,
};

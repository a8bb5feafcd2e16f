//! SCGI servers and clients on `futures-io`, for smol, async-std or any other runtime.
//!
//! With the feature `smol`:
//! ```
//! # #[cfg(feature = "smol")] mod example {
//! use scgi_async_std::smol::serve;
//! use scgi_async_std::{Listener, Request, Response};
//!
//! async fn hello(request: Request) -> Response {
//!     let uri = request.head().request_uri().unwrap_or_default().to_vec();
//!     Response::new(uri).with_field("Content-Type", "text/plain")
//! }
//!
//! async fn run() -> Result<(), Box<dyn std::error::Error>> {
//!     let listener = Listener::bind(&"127.0.0.1:4000".parse()?).await?;
//!     serve(listener, hello).await?;
//!     Ok(())
//! }
//! # }
//! ```
//!
//! The default build knows no runtime and no socket: [`Connection`], [`Client`] and
//! [`serve_connection`] work on any stream with `AsyncRead` and `AsyncWrite` of futures-io.
//!
//! # Features
//! - `smol`: `Listener`, `Stream`, `Client::connect`, and `smol::serve`.
//! - `async-std`: the same with `async_std::serve`. **async-std is discontinued**
//!   (RUSTSEC-2025-0052); this feature is for programs that are built on it. New code should
//!   use smol.
//!
//! Every rule of the protocol is in `scgi_proto`, whose types are exported here.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(feature = "net", unix))]
mod accepted;
mod body;
mod client;
mod connection;
#[cfg(feature = "net")]
mod first;
#[cfg(feature = "net")]
mod group;
mod handler;
#[cfg(feature = "net")]
mod listener;
mod message;
#[cfg(feature = "net")]
mod serve;
mod serve_connection;
#[cfg(feature = "net")]
mod stream;
mod transport;

#[cfg(feature = "async-std")]
pub mod async_std;
#[cfg(feature = "smol")]
pub mod smol;

pub use scgi_proto::{
    Address, AddressError, AllowList, BindOptions, BoxError, Config, Counters, Credentials,
    DecodeError, EncodeError, Error, Fields, IntoResponse, Limits, Network, NetworkError, Params,
    Peer, Policy, RequestEvent, RequestHead, RequestHeadBuilder, ResponseEvent, ResponseHead,
    Status, Timeout,
};
pub use {
    body::Body,
    client::Client,
    connection::Connection,
    handler::Handler,
    message::{Request, Response},
    serve_connection::serve_connection,
    transport::{Sleep, Timer},
};
#[cfg(feature = "net")]
pub use {
    listener::Listener,
    serve::{Serve, Summary},
    stream::Stream,
};

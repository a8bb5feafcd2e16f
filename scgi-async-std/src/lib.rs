//! SCGI servers and clients on `futures-io`, for smol, async-std or any other runtime.
//!
//! A program behind nginx, Apache or lighttpd, with the feature `smol`:
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
//!     let listener = Listener::bind("127.0.0.1:4000").await?;
//!     serve(listener, hello).await?;
//!     Ok(())
//! }
//! # }
//! ```
//!
//! and in nginx: `include scgi_params; scgi_pass 127.0.0.1:4000;`. With the feature `async-std`,
//! the same `serve` is in `scgi_async_std::async_std`.
//!
//! # The types
//! - With a runtime's feature, `serve` runs a [`Handler`] on a `Listener`, and `serve_connection` runs
//!   it on any stream with `AsyncRead` and `AsyncWrite` of futures-io. `Serve` sets bounds, deadlines
//!   and a shutdown signal. [`serve_connection_with_timer`] needs no runtime but a [`Timer`].
//! - [`Request`] and [`Response`] are a head and a [`Body`], which is streamed.
//! - [`Client`] calls an SCGI server, on any such stream; `Client::connect` needs a runtime's
//!   feature.
//! - [`Connection`] is one request and its response, event by event. Deadlines need a [`Timer`], as
//!   futures-io has no clock; `serve` brings it.
//!
//! Every rule of the protocol is in [`scgi_proto`], whose types are exported here: [`RequestHead`]
//! and its [`Params`], [`ResponseHead`] and its [`Status`], [`ConnectionConfig`] and [`Limits`], [`Error`].
//!
//! # Features
//! - `smol`: `Listener`, `Stream`, `Client::connect`, and `smol::serve`.
//! - `async-std`: the same with `async_std::serve`. **async-std is discontinued**
//!   (RUSTSEC-2025-0052); this feature is for programs that are built on it. New code should
//!   use smol.
//! - `simd`: decodes heads faster, with one more crate.
//! - `tracing`: a span and an event for each request, warnings for what was refused.
//! - `systemd`: addresses `systemd:NAME`, and `Serve::with_systemd`.
//!
//! None is on by default: the crate then knows no runtime and no socket.
//!
//! # What is not covered
//! TLS and HTTP: they end at the front server. Keep-alive and several requests on a connection,
//! which SCGI does not have. A pool of connections for the [`Client`], for the same reason.
//!
//! The minimum Rust version is 1.85. [`scgi_proto::guide`] has pages on choosing an adapter,
//! streaming, errors, deploying, front servers, security and testing.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod connection;
mod handler;
#[cfg(feature = "net")]
mod listener;
mod message;
#[cfg(feature = "net")]
mod runtime;
#[cfg(feature = "net")]
mod serve;
mod serve_connection;
#[cfg(feature = "net")]
mod stream;
mod transport;
mod upgraded;

#[cfg(feature = "async-std")]
pub mod async_std;
#[cfg(feature = "smol")]
pub mod smol;

#[cfg(feature = "net")]
pub use scgi_proto::{
    Address, AddressError, AllowList, BindOptions, Network, NetworkError, Summary, ToAddress,
};
pub use scgi_proto::{
    BoxError, ClientConfig, ConnectionConfig, Counters, Credentials, DecodeError, EncodeError,
    Error, FieldIter, Fields, IntoResponse, InvalidStatus, KnownLength, Limits, ParamIter, Params,
    Part, PathSource, Peer, Policy, Protocol, RequestEvent, RequestHead, RequestHeadBuilder,
    ResponseEvent, ResponseHead, ResponseKind, ShutdownSignal, Status, Timeout, UpgradeOffer,
    UpgradeRefusal, Upgrades,
};
pub use {
    client::Client,
    connection::Connection,
    handler::Handler,
    message::{Body, Request, Response},
    serve_connection::serve_connection_with_timer,
    transport::{Sleep, Timer},
    upgraded::Upgraded,
};
#[cfg(feature = "net")]
pub use {listener::Listener, serve::Serve, serve_connection::serve_connection, stream::Stream};

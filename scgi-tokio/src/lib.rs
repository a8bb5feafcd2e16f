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
//! let listener = Listener::bind("127.0.0.1:4000").await?;
//! serve(listener, hello).await?;
//! # Ok(()) }
//! ```
//!
//! and in nginx: `include scgi_params; scgi_pass 127.0.0.1:4000;`.
//!
//! # The types
//! - [`serve`] runs a [`Handler`] on a [`Listener`] and has settings for its bounds, deadlines and a
//!   shutdown signal ([`Serve`]); [`serve_connection`] does so on one stream, a
//!   `tokio::io::duplex` for example.
//! - [`Listener`] is where it accepts connections; a program's own listener implements [`Accept`].
//! - [`Request`] and [`Response`] are a head and a [`Body`], which is streamed.
//! - [`Client`] calls an SCGI server.
//! - [`Upgraded`] is a connection after a 101: a WebSocket, for example.
//! - [`Connection`] is one request and its response, event by event.
//! - [`ServerCodec`] and [`ClientCodec`] are for [`tokio_util::codec::Framed`].
//!
//! Every rule of the protocol is in [`scgi_proto`], whose types are exported here: [`RequestHead`]
//! and its [`Params`], [`ResponseHead`] and its [`Status`], [`ConnectionConfig`] and [`Limits`], [`Error`].
//!
//! # Features
//! - `tower`: [`serve`] takes any tower service, and `Backend` is a service that calls an SCGI server.
//! - `axum`: [`serve`] takes whatever `axum::serve` takes, as the guide `axum` shows. Extractors for the
//!   params, the browser's address and scheme, the mount point, and the server's shutdown.
//! - `upgrade`: WebSockets of tower services, axum's for example; see [`scgi_proto::guide::upgrades`].
//! - `simd`: decodes heads faster, with one more crate.
//! - `tracing`: a span and an event for each request, warnings for what was refused.
//! - `systemd`: addresses `systemd:NAME`, and `Serve::with_systemd`.
//!
//! None is on by default.
//!
//! # What is not covered
//! TLS and HTTP: they end at the front server. Keep-alive and several requests on a connection,
//! which SCGI does not have. A pool of connections for the [`Client`], for the same reason.
//!
//! The minimum Rust version is 1.85. [`scgi_proto::guide`] has pages on choosing an adapter,
//! streaming, errors, deploying, front servers, security and testing.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod accept;
mod client;
mod codec;
mod connection;
#[cfg(feature = "axum")]
pub mod extract;
#[cfg(feature = "axum")]
pub mod guide;
mod handler;
#[cfg(feature = "upgrade")]
mod hyper_upgrade;
mod listener;
#[cfg(feature = "tower")]
mod make_service;
mod message;
#[cfg(feature = "tower")]
mod mounted;
#[cfg(all(feature = "tower", not(feature = "upgrade")))]
mod no_upgrade;
mod runtime;
mod serve;
#[cfg(feature = "tower")]
mod service;
mod stream;
mod transport;
mod upgraded;

#[cfg(feature = "tower")]
pub use scgi_proto::http::{ClientAddress, ConvertError, MountPoint, RequestContext, RequestRules};
pub use scgi_proto::{
    Address, AddressError, AllowList, BindOptions, BoxError, ClientConfig, ConnectionConfig,
    Counters, Credentials, DecodeError, EncodeError, Error, FieldIter, Fields, IntoResponse,
    InvalidStatus, KnownLength, Limits, Network, NetworkError, ParamIter, Params, Part, PathSource,
    Peer, Policy, Protocol, RequestEvent, RequestHead, RequestHeadBuilder, ResponseEvent,
    ResponseHead, ResponseKind, ShutdownSignal, Status, Summary, Timeout, ToAddress, UpgradeOffer,
    UpgradeRefusal, Upgrades,
};
pub use {
    accept::{Accept, Listen, TapIo},
    client::Client,
    codec::{ClientCodec, ServerCodec},
    connection::Connection,
    handler::Handler,
    listener::Listener,
    message::{Body, Request, Response},
    serve::{Serve, serve, serve_connection},
    stream::Stream,
    upgraded::Upgraded,
};
#[cfg(feature = "tower")]
pub use {
    axum_core::body::Body as AxumBody,
    make_service::{IncomingRequest, Make},
    mounted::Mounted,
    service::{Backend, ScgiBody, Tower},
    upgraded::UpgradedStream,
};

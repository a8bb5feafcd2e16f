//! SCGI servers and clients on `std::io` and plain threads.
//!
//! A program behind nginx, Apache or lighttpd:
//! ```no_run
//! use scgi_blocking::{Listener, Request, Response, serve};
//!
//! fn hello(request: Request) -> Response {
//!     let uri = request.head().request_uri().unwrap_or_default().to_vec();
//!     Response::new(uri).with_field("Content-Type", "text/plain")
//! }
//!
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = Listener::bind("127.0.0.1:4000")?;
//! serve(listener, hello).run()?;
//! # Ok(()) }
//! ```
//!
//! and in nginx: `include scgi_params; scgi_pass 127.0.0.1:4000;`.
//!
//! # The types
//! - [`serve`] runs a [`Handler`] on a [`Listener`] with a bounded number of threads, and
//!   [`Shutdown`] ends it; [`serve_connection`] does the same for one stream.
//! - [`Request`] and [`Response`] are a head and a [`Body`], which is streamed.
//! - [`Client`] calls an SCGI server.
//! - [`Connection`] is one request and its response, event by event.
//!
//! Every rule of the protocol is in [`scgi_proto`], whose types are exported here: [`RequestHead`]
//! and its [`Params`], [`ResponseHead`] and its [`Status`], [`ConnectionConfig`] and [`Limits`], [`Error`].
//!
//! # Streams and deadlines
//! On sockets ([`Stream`], [`TcpStream`](std::net::TcpStream) and `UnixStream`) every deadline
//! of [`ConnectionConfig`] holds, to some tenths of a second: bytes that trickle in do not put it off. A
//! socket on which a body was waited for, or room for a response, has read and write timeouts of
//! 100 ms from then on.
//!
//! On any other [`Read`](std::io::Read) + [`Write`](std::io::Write) there is nothing to wait with
//! but the calls themselves, so the deadlines are looked at between them: one that blocks for
//! ever blocks indefinitely. If calls return `WouldBlock` or `TimedOut`, as those of a TLS stream do
//! over a socket with a timeout of its own, they are tried again until the deadline. Such a
//! stream has no write side to shut down either: an early response is followed by the close.
//!
//! # Features
//! - `simd`: decodes heads faster, with one more crate.
//! - `tracing`: a span and an event for each request, warnings for what was refused.
//! - `systemd`: addresses `systemd:NAME`, and `Serve::with_systemd`.
//!
//! None is on by default.
//!
//! # What is not covered
//! A request deadline cannot interrupt a handler: it is looked at when the handler returns and
//! between the chunks of its response. And while a handler works, it is not noticed that the front
//! server is gone.
//!
//! TLS and HTTP: they end at the front server. Keep-alive and several requests on a connection,
//! which SCGI does not have. A pool of connections for the [`Client`], for the same reason.
//!
//! The minimum Rust version is 1.85. [`scgi_proto::guide`] has pages on choosing an adapter,
//! streaming, errors, deploying, front servers, security and testing.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod body;
mod client;
mod connect;
mod connection;
#[cfg(test)]
mod deadline_tests;
mod handler;
mod listener;
mod message;
mod pool;
mod serve;
mod shared;
mod socket;
mod stream;
mod transport;
mod upgraded;
#[cfg(test)]
mod virtual_time;
mod wait;

pub use scgi_proto::{
    Address, AddressError, AllowList, BindOptions, BoxError, ClientConfig, ConnectionConfig,
    Counters, Credentials, DecodeError, EncodeError, Error, FieldIter, Fields, IntoResponse,
    InvalidStatus, KnownLength, Limits, Network, NetworkError, ParamIter, Params, Part, PathSource,
    Peer, Policy, Protocol, RequestEvent, RequestHead, RequestHeadBuilder, ResponseEvent,
    ResponseHead, ResponseKind, ShutdownSignal, Status, Summary, Timeout, ToAddress, UpgradeOffer,
    UpgradeRefusal, Upgrades,
};
pub use {
    body::{Body, Chunks},
    client::Client,
    connection::Connection,
    handler::Handler,
    listener::Listener,
    message::{Request, Response},
    pool::Shutdown,
    serve::{Serve, serve, serve_connection},
    stream::Stream,
    upgraded::Upgraded,
};

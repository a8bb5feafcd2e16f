//! The SCGI protocol without I/O: requests and responses, decoding and encoding, and the life of a
//! connection, for any runtime or none.
//!
//! SCGI carries a web request from a front server (nginx, Apache, lighttpd) to a program: one
//! connection, one request, one response. This crate knows every rule of that and touches no socket
//! and no clock. Most programs want an adapter that does: `scgi-tokio`, `scgi-async-std` or
//! `scgi-blocking`; [`guide::adapters`] helps to choose. This crate alone is for an event loop of
//! one's own, for looking at captured bytes, and for writing another adapter.
//!
//! # Examples
//! A request comes in as bytes, the response goes out as bytes:
//! ```
//! use core::time::Duration;
//! use scgi_proto::{ConnectionConfig, ServerExchange, RequestEvent, ResponseEvent, ResponseHead, Status};
//!
//! let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
//! exchange.receive_slice(b"40:CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_URI\0/hi\0,");
//! while let Some(event) = exchange.next_event()? {
//!     if let RequestEvent::Head(head) = event {
//!         let uri = head.request_uri().unwrap_or_default().to_vec();
//!         let head = ResponseHead::new(Status::OK).with_field("Content-Type", "text/plain");
//!         exchange.send(ResponseEvent::Head(head))?;
//!         exchange.send(ResponseEvent::Body(uri.into()))?;
//!         exchange.send(ResponseEvent::End)?;
//!     }
//! }
//! let (response, _) = exchange.pending();
//! assert_eq!(response, b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n/hi");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The types
//!
//! | | server side | client side |
//! |---|---|---|
//! | a connection's life: deadlines, errors, the close | [`ServerExchange`], set by [`ConnectionConfig`] | [`ClientExchange`], set by [`ClientConfig`] |
//! | bytes to events | [`RequestDecoder`] | [`ResponseDecoder`] |
//! | events to bytes | [`ResponseEncoder`] | [`RequestEncoder`] |
//! | events | [`RequestEvent`] | [`ResponseEvent`] |
//! | heads | [`RequestHead`], [`Params`] | [`ResponseHead`], [`Fields`], [`Status`] |
//! | bounds on what a peer may send | [`Limits`], [`Policy`] | [`Limits`] |
//! | errors: the peer's, the caller's | [`DecodeError`], [`EncodeError`] | the same |
//!
//! [`DecodeBuffer`] is a decoder with its buffer; [`Request`] and [`Response`] are a head and a body.
//! This much is the default build. Features add what the adapters share: the loops over a stream and
//! a clock (`driver`), the accept loop and its settings (`server`), addresses and sockets (`net`).
//!
//! # Features
//! - `std` (default): [`Error`], which holds an `io::Error`. Without it the crate is `no_std` and
//!   needs `alloc`.
//! - `driver`: the module `driver`, for whoever writes an adapter: loops that poll a stream and a
//!   clock, bodies, counters, and what an operator sees of them (`trace`).
//! - `adapter`: the module `adapter`, for whoever writes an asynchronous adapter: the types that its
//!   users see. Includes `driver`.
//! - `tokio`: bodies, streams and upgraded connections have the traits of tokio; includes `adapter`.
//! - `futures-io`: the same with the traits of futures-io.
//! - `http-body`: a body is an `http_body::Body`, and is made of one; includes `adapter`.
//! - `server`: the module `server`: the accept loop, its settings, and who may connect. Includes
//!   `driver` and `net`.
//! - `net`: the only part that touches the system: addresses, binding, and what `std` and runtimes
//!   lack of sockets (`socket`).
//! - `simd`: finds the params of a head with vector instructions where the processor has them;
//!   one more crate, and about a sixth less time for a usual head.
//! - `http`: conversions to and from the types of the crate `http`, in the module of that
//!   name.
//! - `tracing`: what an operator sees of a server, as spans and events; includes `driver`.
//! - `systemd`: addresses `systemd:NAME`, and reporting the state of the service to systemd; includes
//!   `net`.
//!
//! # What is not covered
//! FastCGI, HTTP and uwsgi; they are recognised, so that the error can say so. Several requests on
//! one connection, which SCGI does not have. Parsing forms, cookies and multipart bodies.
//!
//! The minimum Rust version is 1.85. The [`guide`] has pages on all of this.

#![no_std]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "adapter")]
pub mod adapter;
#[cfg(feature = "driver")]
pub mod driver;
mod error;
mod exchange;
#[cfg(not(doctest))]
#[cfg_attr(
    not(all(feature = "server", feature = "systemd")),
    allow(rustdoc::broken_intra_doc_links, reason = "its pages link to what the features add")
)]
pub mod guide;
#[cfg(feature = "http")]
pub mod http;
mod message;
#[cfg(feature = "net")]
mod net;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "driver")]
mod shutdown;
mod wire;

#[cfg(feature = "driver")]
pub use driver::{Counters, trace};
#[cfg(feature = "std")]
pub use error::Error;
#[cfg(feature = "net")]
pub use net::socket;
#[cfg(all(feature = "systemd", unix))]
pub use net::systemd;
#[cfg(all(feature = "net", unix))]
pub use net::unix::{SocketFile, unix_address};
#[cfg(feature = "net")]
pub use net::{
    address::{Address, ToAddress},
    address_text::AddressError,
    bind::{bind, bind_with, try_bind_with},
    bound::Bound,
    options::BindOptions,
};
#[cfg(feature = "server")]
pub use server::{AllowList, Network, NetworkError, Summary};
#[cfg(feature = "driver")]
pub use shutdown::ShutdownSignal;
pub use {
    error::BoxError,
    exchange::buffers::Buffers,
    exchange::client::ClientExchange,
    exchange::client::config::ClientConfig,
    exchange::decode_buffer::DecodeBuffer,
    exchange::peer::{Credentials, Peer},
    exchange::server::ServerExchange,
    exchange::server::config::ConnectionConfig,
    exchange::server::deadlines::LastTries,
    exchange::server::flow::ReadPlan,
    exchange::timeout::Timeout,
    message::{
        FromUpgrade, IntoResponse, KnownLength, Request, Response, UpgradeBody, UpgradeOutcome,
    },
    wire::decode::{Decode, RequestDecoder, ResponseDecoder},
    wire::encode::{RequestEncoder, ResponseEncoder},
    wire::error::{DecodeError, EncodeError, Part, Protocol},
    wire::escape::{Escaped, is_secret},
    wire::event::{RequestEvent, ResponseEvent},
    wire::limits::Limits,
    wire::request::params::{ParamIter, Params},
    wire::request::policy::{PathSource, Policy, Upgrades},
    wire::request::upgrade::{UpgradeOffer, UpgradeRefusal},
    wire::request::{RequestHead, RequestHeadBuilder},
    wire::response::fields::{FieldIter, Fields},
    wire::response::{InvalidStatus, ResponseHead, ResponseKind, Status},
};

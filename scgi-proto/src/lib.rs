//! The SCGI protocol without I/O.

#![no_std]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
mod address;
#[cfg(feature = "std")]
mod bind;
mod call;
mod config;
#[cfg(feature = "std")]
mod counters;
mod decimal;
mod decode;
#[cfg(feature = "std")]
pub mod driver;
mod encode;
mod error;
mod escape;
mod event;
mod exchange;
mod field;
#[cfg(not(doctest))]
pub mod guide;
#[cfg(feature = "http")]
pub mod http;
mod limits;
mod memory;
mod message;
mod netstring;
mod params;
mod peer;
#[cfg(feature = "std")]
mod pipe;
mod policy;
mod receiver;
mod request;
mod response;
mod room;
#[cfg(all(feature = "systemd", unix))]
pub mod systemd;
#[cfg(feature = "std")]
pub mod trace;

#[cfg(all(feature = "std", unix))]
pub use bind::{SocketFile, unix_address};
#[cfg(feature = "std")]
pub use {
    address::{Address, AddressError},
    bind::{BindOptions, Bound, bind, bind_with},
    counters::{Counted, Counters},
    error::Error,
    pipe::{Demand, PipeReader, PipeWriter, body_pipe},
};
pub use {
    call::Call,
    config::Config,
    decode::{Decode, RequestDecoder, ResponseDecoder},
    encode::{RequestEncoder, ResponseEncoder},
    error::{BoxError, DecodeError, EncodeError, Part, Protocol, Timeout},
    escape::Escaped,
    event::{RequestEvent, ResponseEvent},
    exchange::Exchange,
    limits::Limits,
    memory::Memory,
    message::{IntoResponse, KnownLength, Request, Response},
    params::Params,
    peer::{AllowList, Credentials, Network, NetworkError, Peer},
    policy::Policy,
    receiver::Receiver,
    request::{RequestHead, RequestHeadBuilder},
    response::{Fields, ResponseHead, ResponseKind, Status},
    room::room,
};

//! The SCGI protocol without I/O.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod decimal;
mod decode;
mod encode;
mod error;
mod escape;
mod event;
mod field;
mod limits;
mod netstring;
mod params;
mod policy;
mod receiver;
mod request;
mod response;

#[cfg(feature = "std")]
pub use error::Error;
pub use {
    decode::{Decode, RequestDecoder, ResponseDecoder},
    encode::{RequestEncoder, ResponseEncoder},
    error::{DecodeError, EncodeError, Part, Protocol, Timeout},
    escape::Escaped,
    event::{RequestEvent, ResponseEvent},
    limits::Limits,
    params::Params,
    policy::Policy,
    receiver::Receiver,
    request::{RequestHead, RequestHeadBuilder},
    response::{Fields, ResponseHead, ResponseKind, Status},
};

//! Bytes to values and back: every rule of the protocol that needs no state of a connection.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod escape;
pub(crate) mod event;
pub(crate) mod field;
pub(crate) mod limits;
pub(crate) mod netstring;
pub(crate) mod number;
pub(crate) mod request;
pub(crate) mod response;

//! The pieces of a message, in both directions.

use bytes::Bytes;

use crate::request::RequestHead;
use crate::response::ResponseHead;

/// A piece of a request: the head once, then any number of body chunks, then the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestEvent {
    /// The params and the length of the body.
    Head(RequestHead),
    /// Some bytes of the body, never none.
    Body(Bytes),
    /// The request is complete.
    End,
}

/// A piece of a response: the head once, then any number of body chunks, then the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseEvent {
    /// The status and the fields.
    Head(ResponseHead),
    /// Some bytes of the body.
    Body(Bytes),
    /// The response is complete.
    End,
}

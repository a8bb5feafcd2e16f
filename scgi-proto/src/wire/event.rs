//! The events of a message, in both directions.

use bytes::Bytes;

use crate::wire::request::RequestHead;
use crate::wire::response::ResponseHead;

/// An event of a request: the head once, then any number of body chunks, then the end.
///
/// # Examples
/// A request without a body:
/// ```
/// use scgi_proto::{RequestEvent, RequestHead};
/// let events = [RequestEvent::Head(RequestHead::builder("GET", "/").build()), RequestEvent::End];
/// # let _ = events;
/// ```
///
/// These are all: whoever takes events must handle each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestEvent {
    /// The params and the length of the body.
    Head(RequestHead),
    /// Some bytes of the body, never none.
    Body(Bytes),
    /// The request is complete.
    End,
}

/// An event of a response: the head once, then any number of body chunks, then the end.
///
/// # Examples
/// ```
/// use scgi_proto::{ResponseEvent, ResponseHead, Status};
/// let events = [
///     ResponseEvent::Head(ResponseHead::new(Status::OK)),
///     ResponseEvent::Body("hello".into()),
///     ResponseEvent::End,
/// ];
/// # let _ = events;
/// ```
///
/// These are all: whoever takes events must handle each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseEvent {
    /// The status and the fields.
    Head(ResponseHead),
    /// Some bytes of the body.
    Body(Bytes),
    /// The response is complete.
    End,
}

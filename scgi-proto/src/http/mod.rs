//! Conversions between SCGI and the types of the crate [`http`]: pure functions, without
//! I/O.
//!
//! | from | to | with |
//! |---|---|---|
//! | [`RequestHead`](crate::RequestHead) | `http::request::Parts` | [`request_to_http`] (a server) |
//! | `http::response::Parts` | [`ResponseHead`](crate::ResponseHead) | [`response_from_http`] (a server) |
//! | `http::request::Parts` | [`RequestHead`](crate::RequestHead) | [`request_from_http`] (a client) |
//! | [`ResponseHead`](crate::ResponseHead) | `http::response::Parts` | [`response_to_http`] (a client) |
//!
//! [`strip_mount`] takes the path that leads to a program off a request's URI.
//!
//! # Examples
//! ```
//! use scgi_proto::RequestHead;
//! use scgi_proto::http::{RequestContext, request_to_http};
//!
//! let head = RequestHead::builder("GET", "/cart?id=7")
//!     .param("HTTP_ACCEPT", "text/html")
//!     .param("REMOTE_ADDR", "192.0.2.1")
//!     .build();
//! let parts = request_to_http(head)?;
//! assert_eq!(parts.uri, "/cart?id=7");
//! assert_eq!(parts.headers["accept"], "text/html");
//! let context = parts.extensions.get::<RequestContext>().expect("always there");
//! let client = context.client().expect("REMOTE_ADDR was sent");
//! assert_eq!(client.ip().to_string(), "192.0.2.1");
//! # Ok::<(), scgi_proto::http::ConvertError>(())
//! ```

mod backend;
mod context;
mod headers;
mod names;
#[cfg(test)]
mod reference;
mod request;
mod response;
mod rules;
mod uri;

use core::fmt;

use ::http::HeaderName;

pub use backend::request_from_http;
pub use context::{ClientAddress, MountPoint, RequestContext};
pub use request::request_to_http;
pub use response::{response_from_http, response_to_http};
pub use rules::{RequestRules, check_request, remove_forwarded, remove_hop_by_hop};
pub use uri::strip_mount;

use crate::wire::response::Status;

/// How many different names an `http::HeaderMap` holds.
const MAX_NAMES: usize = 24_576;

/// A head that has no counterpart on the other side.
///
/// Indexes count params or fields from 0.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are named for what they hold; the variants say more")]
pub enum ConvertError {
    /// REQUEST_METHOD is absent or empty, although there is a path.
    MissingMethod,
    /// REQUEST_METHOD is not a token.
    InvalidMethod,
    /// REQUEST_URI is neither a path nor an absolute URL nor `*`, or there is no path although
    /// there is a method.
    InvalidUri,
    /// A segment of the path is `.` or `..`; see
    /// [`Policy::with_dot_segments`](crate::Policy::with_dot_segments).
    DotSegments,
    /// The URI is longer than `http::Uri` takes (bytes, encoded).
    UriTooLong { len: usize, max: usize },
    /// The value of an `HTTP_*` param holds a control byte.
    InvalidHeaderValue { index: usize },
    /// The request has more headers of different names than an `http::HeaderMap` holds.
    TooManyHeaders { max: usize },
    /// The response has more fields of different names than an `http::HeaderMap` holds.
    TooManyFields { max: usize },
    /// The path does not begin with the mount prefix.
    OutsideMount,
    /// A header that may appear only once appears twice.
    RepeatedHeader { name: HeaderName },
    /// Content-Length is not a number of ASCII digits that fits into 64 bits.
    InvalidContentLength,
    /// The path holds `%00`, which no param can.
    NulInPath,
    /// The path holds a `%` without two hexadecimal digits.
    InvalidPercentEncoding,
    /// The method is CONNECT, which asks for a tunnel.
    UnsupportedMethod,
    /// Transfer-Encoding is not just `chunked`.
    UnsupportedTransferEncoding,
    /// A response field that is not an HTTP field.
    InvalidField { index: usize },
}

impl ConvertError {
    /// The status of the response that a server sends on this error of its client: 404 outside the
    /// mount point, 414 for a long URI, 431 for too many headers, 501 for what is not supported, 502
    /// for a response, 400 for anything else.
    #[must_use]
    pub const fn status_hint(&self) -> Status {
        match self {
            Self::OutsideMount => Status::NOT_FOUND,
            Self::UriTooLong { .. } => Status::URI_TOO_LONG,
            Self::UnsupportedMethod | Self::UnsupportedTransferEncoding => Status::NOT_IMPLEMENTED,
            Self::TooManyHeaders { .. } => Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::InvalidField { .. } | Self::TooManyFields { .. } => Status::BAD_GATEWAY,
            _ => Status::BAD_REQUEST,
        }
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingMethod => f.write_str("the request has no REQUEST_METHOD"),
            Self::InvalidMethod => f.write_str("REQUEST_METHOD is not an HTTP method"),
            Self::InvalidUri => f.write_str("the request has no path"),
            Self::DotSegments => f.write_str(
                "the path has a segment . or .., which the front server resolves and this \
                 program does not",
            ),
            Self::TooManyHeaders { max } => {
                write!(f, "the request has more than {max} different headers")
            }
            Self::TooManyFields { max } => {
                write!(f, "the response has more than {max} different fields")
            }
            Self::UriTooLong { len, max } => {
                write!(f, "a URI of {len} bytes is over the limit of {max} bytes")
            }
            Self::InvalidHeaderValue { index } => {
                write!(f, "param {index}, a header, holds a control byte")
            }
            Self::OutsideMount => f.write_str("the path lies outside the mount point"),
            Self::RepeatedHeader { name } => write!(f, "header {name} appears twice"),
            Self::InvalidContentLength => f.write_str("content-length is not a number"),
            Self::NulInPath => f.write_str("the path holds %00"),
            Self::InvalidPercentEncoding => {
                f.write_str("the path holds a % without two hexadecimal digits")
            }
            Self::UnsupportedMethod => f.write_str("the method CONNECT is not supported"),
            Self::UnsupportedTransferEncoding => {
                f.write_str("transfer-encoding is not just chunked")
            }
            Self::InvalidField { index } => {
                write!(f, "response field {index} is not an HTTP field")
            }
        }
    }
}

impl core::error::Error for ConvertError {}

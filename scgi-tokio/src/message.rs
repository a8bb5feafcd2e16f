//! Requests and responses with the [`Body`] of this crate.

use crate::body::Body;

/// A request: its head and its [`Body`].
///
/// # Examples
/// ```
/// use scgi_tokio::{Request, RequestHead};
/// let request = Request::new(RequestHead::builder("POST", "/").build(), "hello");
/// assert_eq!(request.head().content_length(), 5);
/// ```
pub type Request = scgi_proto::Request<Body>;

/// A response: its head and its [`Body`].
///
/// # Examples
/// ```
/// use scgi_tokio::{Response, Status};
/// let response = Response::new("<p>Not here").with_status(Status::NOT_FOUND);
/// assert_eq!(response.status(), Status::NOT_FOUND);
/// ```
pub type Response = scgi_proto::Response<Body>;

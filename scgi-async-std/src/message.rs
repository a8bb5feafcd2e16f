//! Bodies, requests and responses.

use scgi_proto::driver;

use crate::transport::FuturesIo;

/// The body of a request or response: nothing, bytes at hand, or a stream of chunks. `AsyncRead` is that
/// of futures-io.
///
/// # Examples
/// ```
/// use scgi_async_std::Body;
/// # async fn run() -> Result<(), scgi_async_std::Error> {
/// let mut body = Body::from("hello");
/// assert_eq!(body.len(), Some(5));
/// assert_eq!(body.chunk().await?.as_deref(), Some(&b"hello"[..]));
/// assert_eq!(body.chunk().await?, None);
/// assert_eq!(Body::from("hello").collect(1024).await?, "hello");
/// # Ok(()) }
/// ```
pub type Body = driver::Body<FuturesIo>;

/// A request: its head and its [`Body`].
///
/// # Examples
/// ```
/// use scgi_async_std::{Request, RequestHead};
/// let request = Request::new(RequestHead::builder("POST", "/").build(), "hello");
/// assert_eq!(request.head().content_length(), 5);
/// ```
pub type Request = scgi_proto::Request<Body>;

/// A response: its head and its [`Body`].
///
/// # Examples
/// ```
/// use scgi_async_std::{Response, Status};
/// let response = Response::new("<p>Not here").with_status(Status::NOT_FOUND);
/// assert_eq!(response.status(), Status::NOT_FOUND);
/// ```
pub type Response = scgi_proto::Response<Body>;

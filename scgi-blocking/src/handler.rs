//! The trait of handlers, which answer requests.

use scgi_proto::{BoxError, IntoResponse};

use crate::body::Body;
use crate::message::{Request, Response};

/// Answers requests: any function from [`Request`] to [`Response`], or to a `Result` of one,
/// whose error becomes a reply with status 500.
///
/// `M` only tells kinds of handlers apart and is found by inference; it lets a feature add
/// other kinds without a second `serve`.
///
/// # Examples
/// ```
/// use scgi_blocking::{Handler, Request, Response};
///
/// fn upper(request: Request) -> Result<Response, scgi_blocking::Error> {
///     let body = request.into_body().collect(1 << 20)?;
///     Ok(Response::new(body.to_ascii_uppercase()))
/// }
/// fn is_handler<M>(_: impl Handler<M>) {}
/// is_handler(upper);
/// ```
pub trait Handler<M>: Send + Sync + 'static {
    /// Answers one request.
    ///
    /// # Errors
    /// The handler's own; the reply is then one with status 500.
    fn call(&self, request: Request) -> Result<Response, BoxError>;
}

impl<F, R> Handler<fn(Request) -> R> for F
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: IntoResponse<Body>,
{
    fn call(&self, request: Request) -> Result<Response, BoxError> {
        self(request).into_response()
    }
}

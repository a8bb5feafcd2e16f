//! What answers requests.

use std::future::Future;

use scgi_proto::IntoResponse;

use crate::message::{Body, Request};

/// Answers requests: any async function from [`Request`] to [`Response`](crate::Response), or to a
/// `Result` of one, whose error becomes a reply with status 500.
///
/// `M` only tells kinds of handlers apart and is found by inference; it lets a feature add
/// other kinds without a second `serve`.
///
/// # Examples
/// ```
/// use scgi_async_std::{Handler, Request, Response};
///
/// async fn upper(request: Request) -> Result<Response, scgi_async_std::Error> {
///     let body = request.into_body().collect(1 << 20).await?;
///     Ok(Response::new(body.to_ascii_uppercase()))
/// }
/// fn is_handler<M>(_: impl Handler<M>) {}
/// is_handler(upper);
/// ```
pub trait Handler<M>: Send + Sync + 'static {
    /// Whether every request tells its peer, without
    /// [`with_peers`](crate::Serve::with_peers).
    const ASKS_PEER: bool = false;

    /// Answers one request.
    fn call(&self, request: Request) -> impl Future<Output = impl IntoResponse<Body>> + Send;
}

impl<F, Fut, R> Handler<fn(Request) -> R> for F
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send,
    R: IntoResponse<Body>,
{
    fn call(&self, request: Request) -> impl Future<Output = impl IntoResponse<Body>> + Send {
        // The program's own future: one around it would hold it twice, before and while it runs.
        self(request)
    }
}

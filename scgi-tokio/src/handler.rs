//! What answers requests.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use scgi_proto::IntoResponse;
use scgi_proto::server::RequestHandler;

use crate::message::{Body, Request};

/// Answers requests: any async function from [`Request`] to [`Response`](crate::Response), or to a
/// `Result` of one, whose error becomes a reply with status 500.
///
/// With the feature `tower`, tower services are handlers too, and so are services that make a
/// service for each request: an axum `Router` and its `into_make_service()`. The guide `axum` of this
/// crate lists the forms.
///
/// `M` only tells kinds of handlers apart and is found by inference; it lets a feature add
/// other kinds without a second `serve`.
///
/// # Examples
/// ```
/// use scgi_tokio::{Handler, Request, Response};
///
/// async fn upper(request: Request) -> Result<Response, scgi_tokio::Error> {
///     let body = request.into_body().collect(1 << 20).await?;
///     Ok(Response::new(body.to_ascii_uppercase()))
/// }
/// fn is_handler<M>(_: impl Handler<M>) {}
/// is_handler(upper);
/// ```
#[cfg_attr(
    not(feature = "tower"),
    diagnostic::on_unimplemented(
        message = "`{Self}` does not answer SCGI requests",
        label = "an async function from `scgi_tokio::Request` to a response does",
        note = "an axum `Router` needs the feature `axum`: `cargo add scgi-tokio --features axum`",
        note = "any other tower service needs the feature `tower`"
    )
)]
#[cfg_attr(
    feature = "tower",
    diagnostic::on_unimplemented(
        message = "`{Self}` does not answer SCGI requests",
        label = "an async function from `scgi_tokio::Request` to a response does, and a service",
        note = "a `Router` with a state needs `with_state(..)` first",
        note = "a service answers `http::Request<axum::body::Body>`, and is `Clone + Send`; one that \
                answers `http::Request<scgi_tokio::Body>` goes into a `scgi_tokio::ScgiBody`"
    )
)]
pub trait Handler<M>: Send + 'static {
    /// The handler as the threads of a server share it.
    type Shared: RequestHandler<Body = Body>;

    /// Makes it one that threads can share. A server does this once.
    fn into_shared(self) -> Self::Shared;
}

impl<F, Fut, R> Handler<fn(Request) -> R> for F
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send,
    R: IntoResponse<Body> + 'static,
{
    type Shared = Function<F, R>;

    fn into_shared(self) -> Function<F, R> {
        Function { function: self, response: PhantomData }
    }
}

/// A function that answers requests, as a server calls it.
pub struct Function<F, R> {
    function: F,
    response: PhantomData<fn() -> R>,
}

impl<F, R> fmt::Debug for Function<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

impl<F, Fut, R> RequestHandler for Function<F, R>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send,
    R: IntoResponse<Body> + 'static,
{
    type Body = Body;

    fn call(&self, request: Request) -> impl Future<Output: IntoResponse<Body>> + Send {
        // The program's own future: one around it would hold it twice, before and while it runs.
        (self.function)(request)
    }
}

/// The kind of [`Handler`] that can be shared as it is: a type of the program that implements
/// [`RequestHandler`].
#[derive(Debug)]
pub struct Shareable(());

impl<H: RequestHandler<Body = Body>> Handler<Shareable> for H {
    type Shared = H;

    fn into_shared(self) -> H {
        self
    }
}

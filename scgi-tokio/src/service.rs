//! Serving tower services: an axum `Router`, or anything that answers `http` requests.

use std::fmt;
use std::future::{Future, poll_fn, ready};
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use ::http::{Extensions, Method, Request as HttpRequest, Response as HttpResponse, StatusCode};
use axum_core::body::Body as AxumBody;
use http_body::Body as HttpBody;
use scgi_proto::driver::{self, BodyWrapper};
use scgi_proto::http::{
    ConvertError, RequestRules, request_to_http, response_from_http, response_to_http,
};
use scgi_proto::server::RequestHandler;
use scgi_proto::{Address, BoxError, ClientConfig, IntoResponse, Peer, ToAddress, UpgradeBody};
use tower_service::Service;

use crate::client::Client;
use crate::handler::Handler;
#[cfg(feature = "upgrade")]
use crate::hyper_upgrade::PendingUpgrade;
use crate::message::{Body, Request, Response};
#[cfg(not(feature = "upgrade"))]
use crate::no_upgrade::PendingUpgrade;
use crate::upgraded::{Upgraded, UpgradedStream};

/// The kind of [`Handler`] that tower services are; found by inference.
///
/// A `Service<http::Request<AxumBody>>` whose responses have any `http_body::Body` is a handler as
/// it is: [`serve`](crate::serve()) takes a `Router` in the place where `axum::serve` does. Each
/// request has a clone of the service, so it need not be `Sync`. Bodies
/// stream both ways. An error of the service is answered with status 500, a request that has no
/// counterpart in HTTP with [`ConvertError::status_hint`].
///
/// A service for requests with any body, as a `Router` is one, would be two kinds of handler if
/// services over [`Body`] were another kind. So there is one kind, and [`ScgiBody`] wraps those.
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use scgi_tokio::{AxumBody, Body, Handler, ScgiBody};
///
/// let hello = tower::service_fn(async |_: http::Request<AxumBody>| {
///     Ok::<_, Infallible>(http::Response::new("hello".to_owned()))
/// });
/// let echo = tower::service_fn(async |request: http::Request<Body>| {
///     Ok::<_, Infallible>(http::Response::new(request.into_body()))
/// });
/// fn is_handler<M>(_: impl Handler<M>) {}
/// is_handler(hello);
/// is_handler(ScgiBody(echo));
/// ```
pub struct Tower<B> {
    body: PhantomData<fn() -> B>,
}

impl<B> fmt::Debug for Tower<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tower")
    }
}

impl<S, B> Handler<Tower<B>> for S
where
    S: Service<HttpRequest<AxumBody>, Response = HttpResponse<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Shared = SharedService<S>;

    fn into_shared(self) -> SharedService<S> {
        SharedService { service: Cloned::new(self) }
    }
}

/// A service that answers requests, as a server calls it.
#[derive(Debug)]
pub struct SharedService<S> {
    service: Cloned<S>,
}

impl<S, B> RequestHandler for SharedService<S>
where
    S: Service<HttpRequest<AxumBody>, Response = HttpResponse<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Body = Body;
    // An extension of the request.
    const ASKS_PEER: bool = true;

    fn call(&self, request: Request) -> impl Future<Output: IntoResponse<Body>> + Send {
        // A service is ready for the clone that was asked, so each request has its own.
        let service = self.service.get();
        let request = request_to_service(request);
        async move {
            match request {
                Ok(request) => answer(service, request).await,
                Err(error) => Ok(refuse(&error)),
            }
        }
    }
}

/// What each request has a clone of. A lock makes it `Sync`: it is held only while it is cloned.
#[derive(Debug)]
pub(crate) struct Cloned<S> {
    original: Mutex<S>,
}

impl<S: Clone> Cloned<S> {
    pub(crate) fn new(original: S) -> Self {
        Self { original: Mutex::new(original) }
    }

    pub(crate) fn get(&self) -> S {
        // A clone that panicked has changed nothing.
        self.original.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A request as a service gets it.
pub(crate) struct ServiceRequest {
    pub(crate) http: HttpRequest<AxumBody>,
    /// Waits for the connection, if the service may upgrade it.
    upgrade: Option<Box<PendingUpgrade<Upgraded>>>,
}

/// The request that a service gets, with what the connection knows.
pub(crate) fn request_to_service(request: Request) -> Result<ServiceRequest, ConvertError> {
    let connection = FromConnection {
        peer: request.peer(),
        #[cfg(feature = "axum")]
        shutdown: request.shutdown_signal(),
    };
    let (head, body) = request.into_parts();
    let may_upgrade = PendingUpgrade::<Upgraded>::may_begin(&head);
    let mut parts = request_to_http(head)?;
    let upgrade = if may_upgrade { PendingUpgrade::offer(&mut parts.extensions) } else { None };
    extend(&mut parts.extensions, connection);
    // An empty body takes no allocation.
    let body = if body.len() == Some(0) { AxumBody::empty() } else { AxumBody::new(body) };
    Ok(ServiceRequest { http: HttpRequest::from_parts(parts, body), upgrade })
}

/// Calls a service that is this request's own.
pub(crate) async fn answer<S, B>(
    mut service: S,
    ServiceRequest { http: request, upgrade }: ServiceRequest,
) -> Result<Response, BoxError>
where
    S: Service<HttpRequest<AxumBody>, Response = HttpResponse<B>>,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Error: Into<BoxError>,
{
    let is_head = request.method() == Method::HEAD;
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
    let response = service.call(request).await.map_err(Into::into)?;
    let is_switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let response = response_to_scgi(response, is_head);
    Ok(match upgrade.filter(|_| is_switching) {
        Some(upgrade) => response.with_upgrade(move |io| ready(upgrade.complete(io))),
        None => response,
    })
}

/// A service for requests with the [`Body`] of this crate, as one for requests with axum's body:
/// for [`serve`](crate::serve()), or inside a `Router`.
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use scgi_tokio::{Body, ScgiBody};
///
/// let len = tower::service_fn(async |request: http::Request<Body>| {
///     let bytes = request.into_body().collect(1 << 20).await.unwrap_or_default();
///     Ok::<_, Infallible>(http::Response::new(bytes.len().to_string()))
/// });
/// let app: axum::Router = axum::Router::new().route_service("/len", ScgiBody(len));
/// # let _ = app;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ScgiBody<S>(pub S);

impl<S, B> Service<HttpRequest<B>> for ScgiBody<S>
where
    S: Service<HttpRequest<Body>>,
    B: HttpBody + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest<B>) -> S::Future {
        self.0.call(request.map(Body::from_http))
    }
}

/// What only the connection knows of a request: one value in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct FromConnection {
    pub(crate) peer: Option<Peer>,
    /// For an extractor of axum.
    #[cfg(feature = "axum")]
    pub(crate) shutdown: crate::ShutdownSignal,
}

/// Adds that, and the client's address where axum looks for it.
fn extend(extensions: &mut Extensions, connection: FromConnection) {
    #[cfg(feature = "axum")]
    if let Some(client) = extensions.get().and_then(scgi_proto::http::RequestContext::client) {
        let address = client.to_socket_addr();
        extensions.insert(axum::extract::ConnectInfo(address));
    }
    extensions.insert(connection);
}

pub(crate) fn refuse(error: &ConvertError) -> Response {
    Response::new(format!("{error}\n"))
        .with_status(error.status_hint())
        .with_field("Content-Type", "text/plain; charset=utf-8")
}

fn response_to_scgi<B>(response: HttpResponse<B>, is_head: bool) -> Response
where
    B: HttpBody + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (parts, body) = response.into_parts();
    let head = response_from_http(&parts);
    // What the app gives for a HEAD says nothing about the length that a GET would have.
    let body = match (is_head, head.status().has_no_body()) {
        (true, _) => Body::wrap(driver::Body::empty().without_len()),
        (_, true) => Body::empty(),
        _ => Body::from_http(body),
    };
    Response::from_parts(head, body)
}

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A tower service that sends `http` requests to an SCGI server, each on a connection of its own.
///
/// The request's body needs a length: a Content-Length, or a body that knows its own. CONTENT_LENGTH
/// comes first in SCGI.
///
/// A valid upgrade of HTTP/1.1, to a WebSocket for example, is passed on. After a 101 the connection is
/// in the response's extensions, as an [`UpgradedStream`].
///
/// # Errors
/// [`Error`](crate::Error) of the connection, among them [`Error::Timeout`](crate::Error::Timeout) for each deadline of
/// [`ClientConfig`], and [`ConvertError`] of a request or response that has no counterpart.
///
/// # Examples
/// ```no_run
/// use scgi_tokio::{Backend, Body};
/// use tower_service::Service;
///
/// # async fn run() -> Result<(), scgi_tokio::BoxError> {
/// let mut backend = Backend::new("/run/app/app.sock")?;
/// let request = http::Request::post("/cart").body(Body::from("id=7"))?;
/// let response = backend.call(request).await?;
/// println!("{}", response.status());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Backend {
    address: Address,
    rules: Arc<RequestRules>,
    config: ClientConfig,
}

impl Backend {
    /// The server at `address`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if a text is not an address.
    pub fn new(address: impl ToAddress) -> io::Result<Self> {
        address.to_address().map(Self::from)
    }

    /// Which headers reach the server, and the params that the program adds. By default Forwarded,
    /// X-Forwarded-*, X-Real-IP and names with `_` do not.
    #[must_use]
    pub fn with_request_rules(mut self, rules: RequestRules) -> Self {
        self.rules = Arc::new(rules);
        self
    }

    /// The deadlines of each call, and the bounds on its response.
    #[must_use]
    pub fn with_config(mut self, config: ClientConfig) -> Self {
        self.config = config;
        self
    }

    /// Time for connecting: 10 s by default; see [`ClientConfig::with_connect_timeout`].
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: std::time::Duration) -> Self {
        self.config = self.config.with_connect_timeout(timeout);
        self
    }

    /// Time from the end of the request to the response's head: 60 s by default; see
    /// [`ClientConfig::with_head_timeout`].
    #[must_use]
    pub fn with_head_timeout(mut self, timeout: std::time::Duration) -> Self {
        self.config = self.config.with_head_timeout(timeout);
        self
    }
}

impl From<Address> for Backend {
    fn from(address: Address) -> Self {
        Self { address, rules: Arc::default(), config: ClientConfig::default() }
    }
}

impl<B> Service<HttpRequest<B>> for Backend
where
    B: HttpBody + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = HttpResponse<Body>;
    type Error = BoxError;
    type Future = BoxFuture<Result<HttpResponse<Body>, BoxError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let backend = self.clone();
        let (parts, body) = request.into_parts();
        let head = self.rules.convert(&parts);
        let body = Body::from_http(body);
        Box::pin(async move {
            let head = head?;
            if body.len().is_none() && !parts.headers.contains_key(::http::header::CONTENT_LENGTH) {
                return Err("a request to an SCGI server needs the length of its body".into());
            }
            let client = Client::connect_with(&backend.address, &backend.config).await?;
            let response = client.request(Request::new(head, body)).await?;
            let (head, mut body) = response.into_parts();
            let upgraded = body.take_upgraded();
            // RFC 9110 section 15.3.6: there is no content; the front server would send it.
            let body = if head.status().code() == 205 { Body::empty() } else { body };
            let mut parts = response_to_http(&head)?;
            if let Some(upgraded) = upgraded {
                parts.extensions.insert(UpgradedStream::new(upgraded));
            }
            Ok(HttpResponse::from_parts(parts, body))
        })
    }
}

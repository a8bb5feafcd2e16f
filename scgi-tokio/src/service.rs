//! Serving tower services: an axum `Router`, or anything that answers `http` requests.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::http::{Extensions, Method, Request as HttpRequest, Response as HttpResponse};
use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use scgi_proto::driver::{self, BodyWrapper, Source};
use scgi_proto::http::{
    ConvertError, RequestRules, request_to_http, response_from_http, response_to_http, strip_mount,
};
use scgi_proto::{Address, BoxError, ClientConfig, Error, IntoResponse, Peer, ToAddress};
use tower_service::Service;

use crate::body::Body;
use crate::client::Client;
use crate::handler::Handler;
use crate::message::{Request, Response};

/// The kind of [`Handler`] that tower services are; found by inference.
///
/// A `Service<http::Request<Body>>` whose responses have any `http_body::Body` is a handler as it
/// is: [`serve`](crate::serve()) takes a `Router` in the place where `axum::serve` does. Bodies
/// stream both ways. An error of the service is answered with status 500, a request that has no
/// counterpart in HTTP with [`ConvertError::status_hint`].
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use scgi_tokio::{Body, Handler};
///
/// let hello = tower::service_fn(async |_: http::Request<Body>| {
///     Ok::<_, Infallible>(http::Response::new(Body::from("hello")))
/// });
/// fn is_handler<M>(_: &impl Handler<M>) {}
/// is_handler(&hello);
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
    S: Service<HttpRequest<Body>, Response = HttpResponse<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Error: Into<BoxError>,
{
    // An extension of the request.
    const ASKS_PEER: bool = true;

    fn call(&self, request: Request) -> impl Future<Output = impl IntoResponse<Body>> + Send {
        // A service is ready for the clone that was asked, so each request has its own.
        let mut service = self.clone();
        let (peer, shutdown) = (request.peer(), request.shutdown_signal());
        let (head, body) = request.into_parts();
        let request = request_to_http(head).map(|mut parts| {
            extend(&mut parts.extensions, peer);
            parts.extensions.insert(shutdown);
            HttpRequest::from_parts(parts, body)
        });
        async move {
            let request = match request {
                Ok(request) => request,
                Err(error) => return Ok::<_, BoxError>(refuse(&error)),
            };
            let is_head = request.method() == Method::HEAD;
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
            let response = Service::call(&mut service, request).await.map_err(Into::into)?;
            Ok(response_to_scgi(response, is_head))
        }
    }
}

/// Adds what only the connection knows, and the client's address where axum looks for it.
fn extend(extensions: &mut Extensions, peer: Option<Peer>) {
    if let Some(peer) = peer {
        extensions.insert(peer);
    }
    #[cfg(feature = "axum")]
    if let Some(client) = extensions.get::<scgi_proto::http::ClientAddress>() {
        let address = client.to_socket_addr();
        extensions.insert(axum::extract::ConnectInfo(address));
    }
}

fn refuse(error: &ConvertError) -> Response {
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

/// A service whose paths begin where the program is mounted: a `Router` written for `/` that
/// runs under a prefix.
///
/// Front servers disagree about SCRIPT_NAME and PATH_INFO; this takes the prefix off the URI, and
/// answers 404 outside it.
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use scgi_tokio::{Body, Mounted};
///
/// let app = tower::service_fn(async |request: http::Request<Body>| {
///     Ok::<_, Infallible>(http::Response::new(request.uri().path().to_owned()))
/// });
/// let _under_app = Mounted::new("/app", app);
/// ```
#[derive(Debug, Clone)]
pub struct Mounted<S> {
    prefix: String,
    service: S,
}

impl<S> Mounted<S> {
    /// `service` under `prefix`, which is a path as in `/app`.
    pub fn new(prefix: impl Into<String>, service: S) -> Self {
        Self { prefix: prefix.into(), service }
    }
}

impl<S, R, B> Service<HttpRequest<R>> for Mounted<S>
where
    S: Service<HttpRequest<R>, Response = HttpResponse<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: HttpBody + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = HttpResponse<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Result<HttpResponse<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest<R>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        if let Err(error) = strip_mount(&mut parts, &self.prefix) {
            let mut response = HttpResponse::new(Body::from(format!("{error}\n")));
            let status = ::http::StatusCode::from_u16(error.status_hint().code());
            *response.status_mut() = status.unwrap_or(::http::StatusCode::NOT_FOUND);
            return Box::pin(std::future::ready(Ok(response)));
        }
        let response = self.service.call(HttpRequest::from_parts(parts, body));
        Box::pin(async move { Ok(response.await?.map(Body::from_http)) })
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A tower service that sends `http` requests to an SCGI server, each on a connection of its own.
///
/// The request's body needs a length: a Content-Length, or a body that knows its own. CONTENT_LENGTH
/// comes first in SCGI.
///
/// # Errors
/// [`Error`] of the connection, among them [`Error::Timeout`] for each deadline of
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
            let (head, body) = response.into_parts();
            // RFC 9110 section 15.3.6: there is no content; the front server would send it.
            let body = if head.status().code() == 205 { Body::empty() } else { body };
            Ok(HttpResponse::from_parts(response_to_http(&head)?, body))
        })
    }
}

impl Body {
    /// A body that streams an `http_body::Body`; trailers are left out, CGI has none.
    pub fn from_http<B>(body: B) -> Self
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let len = body.size_hint().exact();
        if len == Some(0) {
            return Self::empty();
        }
        Self::from_source(FromHttp { body }, len)
    }
}

pin_project! {
    struct FromHttp<B> {
        #[pin]
        body: B,
    }
}

impl<B> Source for FromHttp<B>
where
    B: HttpBody + Send,
    B::Error: Into<BoxError>,
{
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let frame = ready!(self.as_mut().project().body.poll_frame(cx));
            let frame = match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(Error::Body(error.into())))),
                Some(Ok(frame)) => frame,
            };
            if let Ok(mut data) = frame.into_data() {
                let len = data.remaining();
                return Poll::Ready(Some(Ok(data.copy_to_bytes(len))));
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.poll_chunk(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

//! Serving services that make a service for each request: `into_make_service()` of an axum `Router`.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;

use ::http::{Extensions, Request as HttpRequest, Response as HttpResponse};
use axum_core::body::Body as AxumBody;
use http_body::Body as HttpBody;
use scgi_proto::http::{ClientAddress, RequestContext};
use scgi_proto::server::RequestHandler;
use scgi_proto::{BoxError, IntoResponse, Params, Peer};
use tower_service::Service;

use crate::handler::Handler;
use crate::message::{Body, Request};
use crate::service::{Cloned, FromConnection, answer, refuse, request_to_service};

/// What a service is made for: over SCGI a request, because its head brings the browser's address.
///
/// axum's `Connected` can be implemented for a type of the program, which
/// `into_make_service_with_connect_info` then takes. For a `std::net::SocketAddr` it is the browser's
/// address; `0.0.0.0:0` where the front server sends none, as nginx does for a browser on a Unix
/// socket. It is never the front server's own address, which a program might trust.
///
/// # Examples
/// ```
/// use axum::Router;
/// use axum::extract::ConnectInfo;
/// use axum::extract::connect_info::Connected;
/// use axum::routing::get;
/// use scgi_tokio::{IncomingRequest, Listener, serve};
///
/// #[derive(Clone)]
/// struct Info {
///     country: String,
/// }
///
/// impl Connected<IncomingRequest> for Info {
///     fn connect_info(request: IncomingRequest) -> Self {
///         let country = request.params().get_str("GEOIP_COUNTRY").unwrap_or("unknown");
///         Self { country: country.to_owned() }
///     }
/// }
///
/// async fn country(ConnectInfo(info): ConnectInfo<Info>) -> String {
///     info.country
/// }
///
/// # async fn run() -> std::io::Result<()> {
/// let app = Router::new().route("/", get(country));
/// let listener = Listener::bind("127.0.0.1:4000").await?;
/// serve(listener, app.into_make_service_with_connect_info::<Info>()).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct IncomingRequest {
    params: Params,
    client: Option<ClientAddress>,
    peer: Option<Peer>,
}

impl IncomingRequest {
    fn of(extensions: &Extensions) -> Self {
        let context = extensions.get::<RequestContext>();
        Self {
            params: context.map(|context| context.params().clone()).unwrap_or_default(),
            client: context.and_then(RequestContext::client),
            peer: extensions.get::<FromConnection>().and_then(|connection| connection.peer),
        }
    }

    /// All params of the request.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The browser's address, if the front server sends one.
    #[must_use]
    pub const fn client(&self) -> Option<ClientAddress> {
        self.client
    }

    /// The program that connected: the front server.
    #[must_use]
    pub const fn peer(&self) -> Option<Peer> {
        self.peer
    }
}

#[cfg(feature = "axum")]
impl axum::extract::connect_info::Connected<IncomingRequest> for std::net::SocketAddr {
    fn connect_info(request: IncomingRequest) -> Self {
        let unknown = Self::from(([0, 0, 0, 0], 0));
        request.client.map_or(unknown, |client| client.to_socket_addr())
    }
}

/// The kind of [`Handler`] that services are which make a service for each request; found by
/// inference.
///
/// A `Service<IncomingRequest>` whose response is a service as [`Tower`](crate::Tower) describes
/// it. Each request has a clone of it. An error of it is answered with status 500.
///
/// # Examples
/// ```
/// use axum::Router;
/// use scgi_tokio::Handler;
///
/// fn is_handler<M>(_: impl Handler<M>) {}
/// is_handler(Router::new().into_make_service());
/// ```
pub struct Make<S, B> {
    made: PhantomData<fn() -> (S, B)>,
}

impl<S, B> fmt::Debug for Make<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Make")
    }
}

impl<M, S, B> Handler<Make<S, B>> for M
where
    M: Service<IncomingRequest, Response = S> + Clone + Send + 'static,
    M::Future: Send,
    M::Error: Into<BoxError>,
    S: Service<HttpRequest<AxumBody>, Response = HttpResponse<B>> + Send,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Shared = SharedMake<M>;

    fn into_shared(self) -> SharedMake<M> {
        SharedMake { make: Cloned::new(self) }
    }
}

/// A service that makes services, as a server calls it.
#[derive(Debug)]
pub struct SharedMake<M> {
    make: Cloned<M>,
}

impl<M, S, B> RequestHandler for SharedMake<M>
where
    M: Service<IncomingRequest, Response = S> + Clone + Send + 'static,
    M::Future: Send,
    M::Error: Into<BoxError>,
    S: Service<HttpRequest<AxumBody>, Response = HttpResponse<B>> + Send,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Body = Body;
    // As for the service that it makes.
    const ASKS_PEER: bool = true;

    fn call(&self, request: Request) -> impl Future<Output: IntoResponse<Body>> + Send {
        let mut make = self.make.get();
        let request = request_to_service(request);
        async move {
            let request = match request {
                Ok(request) => request,
                Err(error) => return Ok(refuse(&error)),
            };
            poll_fn(|cx| make.poll_ready(cx)).await.map_err(Into::into)?;
            let incoming = IncomingRequest::of(request.http.extensions());
            let service = make.call(incoming).await.map_err(Into::into)?;
            answer(service, request).await
        }
    }
}

//! Serves a program under a prefix.

use std::borrow::Cow;
use std::task::{Context, Poll};

use ::http::request::Parts;
use ::http::{Request as HttpRequest, Response as HttpResponse, StatusCode};
use axum_core::body::Body as AxumBody;
use bytes::Bytes;
use http_body::Body as HttpBody;
use scgi_proto::BoxError;
use scgi_proto::http::{ConvertError, RequestContext, strip_mount};
use tower_service::Service;

use crate::service::BoxFuture;

/// A service whose paths begin where the program is mounted: a `Router` written for `/` that
/// runs under a prefix.
///
/// Front servers disagree about SCRIPT_NAME and PATH_INFO; this takes the prefix off the URI, and
/// answers 404 outside it. The extractor `Mount` then returns the prefix.
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use scgi_tokio::{AxumBody, Mounted};
///
/// let app = tower::service_fn(async |request: http::Request<AxumBody>| {
///     Ok::<_, Infallible>(http::Response::new(request.uri().path().to_owned()))
/// });
/// let _under_app = Mounted::new("/app", app);
/// ```
#[derive(Debug, Clone)]
pub struct Mounted<S> {
    prefix: Prefix,
    service: S,
}

#[derive(Debug, Clone)]
enum Prefix {
    Path(String),
    /// The value of this param.
    Param(Cow<'static, str>),
}

impl<S> Mounted<S> {
    /// `service` under `prefix`, which is a path as in `/app`.
    pub fn new(prefix: impl Into<String>, service: S) -> Self {
        Self { prefix: Prefix::Path(prefix.into()), service }
    }

    /// `service` under the prefix that each request has in its param `name`: one process serves
    /// several mounts. Where a request has no such param, the prefix is empty.
    ///
    /// `SCRIPT_NAME` is the param for it, if the front server sends the prefix there: nginx does with
    /// `scgi_param SCRIPT_NAME /app;`. Apache and lighttpd send the whole path in it; set a param of
    /// another name there. The guide `axum` of this crate has the lines. Take no param whose name begins
    /// with `HTTP_`: that is a header, which any browser can send.
    ///
    /// # Examples
    /// ```
    /// use axum::{Router, routing::get};
    /// use scgi_tokio::Mounted;
    ///
    /// let app: Router = Router::new().route("/", get(async || "home"));
    /// let app = Mounted::from_param("SCRIPT_NAME", app);
    /// # let _ = app;
    /// ```
    pub fn from_param(name: impl Into<Cow<'static, str>>, service: S) -> Self {
        Self { prefix: Prefix::Param(name.into()), service }
    }
}

impl Prefix {
    /// Takes the prefix off a request's path.
    fn strip(&self, parts: &mut Parts) -> Result<(), ConvertError> {
        let name = match self {
            Self::Path(path) => return strip_mount(parts, path),
            Self::Param(name) => name,
        };
        let context = parts.extensions.get::<RequestContext>();
        let prefix = context.and_then(|context| context.params().get(name)).unwrap_or_default();
        let prefix = prefix.to_vec();
        strip_mount(parts, prefix)
    }
}

impl<S, R, B> Service<HttpRequest<R>> for Mounted<S>
where
    S: Service<HttpRequest<R>, Response = HttpResponse<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = HttpResponse<AxumBody>;
    type Error = S::Error;
    type Future = BoxFuture<Result<HttpResponse<AxumBody>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest<R>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        if let Err(error) = self.prefix.strip(&mut parts) {
            let mut response = HttpResponse::new(AxumBody::from(format!("{error}\n")));
            let status = StatusCode::from_u16(error.status_hint().code());
            *response.status_mut() = status.unwrap_or(StatusCode::NOT_FOUND);
            return Box::pin(std::future::ready(Ok(response)));
        }
        let response = self.service.call(HttpRequest::from_parts(parts, body));
        Box::pin(async move { Ok(response.await?.map(AxumBody::new)) })
    }
}

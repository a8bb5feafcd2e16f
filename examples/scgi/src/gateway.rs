//! `scgi gateway`: HTTP in front of an SCGI server, for front servers that have no SCGI.

mod args;
mod checks;
mod cross_site;
mod forwarded;
mod host;
mod refusal;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::CONTENT_LENGTH;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use scgi_proto::BoxError;
use scgi_tokio::{Backend, Body};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service as _;

pub(crate) use self::args::GatewayArgs;
use self::checks::{Checks, Connected};
use self::refusal::{Refusal, of_call};

/// A body whose length is not stated is read first, up to so many bytes: SCGI sends the length
/// ahead.
const UNSTATED_LIMIT: usize = 64 << 20;

pub(crate) fn run(args: &GatewayArgs) -> Result<ExitCode, BoxError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

/// What every request needs.
struct Gateway {
    checks: Checks,
    backend: Backend,
}

async fn serve(args: &GatewayArgs) -> Result<ExitCode, BoxError> {
    let listener = TcpListener::bind(&args.listen).await?;
    println!("Listening on http://{}", listener.local_addr()?);
    let gateway = Arc::new(Gateway { checks: args.checks(), backend: args.backend() });
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let gateway = Arc::clone(&gateway);
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, peer, gateway).await {
                        eprintln!("scgi gateway: {peer}: {error}");
                    }
                });
            }
            Err(error) => {
                eprintln!("scgi gateway: {error}");
                // Out of descriptors, most likely: accepting again immediately would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    gateway: Arc<Gateway>,
) -> Result<(), BoxError> {
    let is_loopback = stream.local_addr()?.ip().to_canonical().is_loopback();
    let connected = Connected { peer: Some(peer), is_loopback };
    let service = service_fn(move |request| {
        let gateway = Arc::clone(&gateway);
        async move { Ok::<_, Infallible>(gateway.answer(request, connected).await) }
    });
    Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
}

impl Gateway {
    async fn answer(&self, request: Request<Incoming>, connected: Connected) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let response = match self.checks.apply(&mut parts, connected) {
            Ok(()) => self.call(parts, body).await.map_err(|error| of_call(&*error)),
            Err(refusal) => Err(refusal),
        };
        response.unwrap_or_else(|refusal: Refusal| {
            let status = refusal.status.as_u16();
            eprintln!("scgi gateway: {method} {uri}: {status}: {}", refusal.reason());
            refusal.into_response()
        })
    }

    /// Sends the request; a body without a length is read first.
    async fn call(&self, parts: Parts, body: Incoming) -> Result<Response<Body>, BoxError> {
        let is_stated = parts.headers.contains_key(CONTENT_LENGTH);
        let body = Body::from_http(body);
        let body = if is_stated || body.len().is_some() {
            body
        } else {
            let all = http_body_util::Limited::new(body, UNSTATED_LIMIT).collect().await?;
            Body::from(all.to_bytes())
        };
        self.backend.clone().call(Request::from_parts(parts, body)).await
    }
}

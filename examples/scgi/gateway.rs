//! `scgi gateway`: HTTP in front of an SCGI server, for front servers that have no SCGI.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use scgi_examples::BoxError;
use scgi_proto::Address;
use scgi_tokio::{Backend, Body};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service as _;

use crate::failure::chain;
use crate::units::duration;

/// A body whose length is not stated is read first, up to so many bytes: SCGI sends the length
/// ahead.
const UNSTATED_LIMIT: usize = 64 << 20;

/// Serves HTTP/1.1 and HTTP/2 (cleartext) from an SCGI server
///
/// For front servers without SCGI, such as Caddy, Traefik or HAProxy. A server that cannot be
/// reached is answered for with status 502, one that is late with 504; the reason goes to
/// standard error. X-Forwarded-For gets the client's address appended and X-Forwarded-Proto is
/// set to http unless it is there; both reach the server as HTTP_X_FORWARDED_*.
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Where to listen for HTTP: host:port
    #[arg(value_name = "LISTEN")]
    listen: String,
    /// Where the SCGI server listens: host:port, tcp:host:port, a path with a slash, or unix:PATH
    #[arg(value_name = "ADDR")]
    address: Address,
    /// Time for connecting to the server, as 2s, 500ms, 1m, or seconds
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s")]
    connect_timeout: Duration,
    /// Time until the head of its response
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    head_timeout: Duration,
}

pub(crate) fn run(args: &GatewayArgs) -> Result<ExitCode, BoxError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: &GatewayArgs) -> Result<ExitCode, BoxError> {
    let listener = TcpListener::bind(&args.listen).await?;
    println!("Listening on http://{}", listener.local_addr()?);
    let backend = Backend::new(args.address.clone())
        .with_connect_timeout(args.connect_timeout)
        .with_head_timeout(args.head_timeout);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let backend = backend.clone();
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, peer, backend).await {
                        eprintln!("scgi gateway: {peer}: {error}");
                    }
                });
            }
            Err(error) => {
                eprintln!("scgi gateway: {error}");
                // Out of descriptors, most likely: accepting again at once would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, backend: Backend) -> Result<(), BoxError> {
    let service = service_fn(move |request| {
        let backend = backend.clone();
        async move { Ok::<_, Infallible>(answer(request, peer, backend).await) }
    });
    Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    mut backend: Backend,
) -> Response<Body> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = match prepare(request, peer).await {
        Ok(request) => backend.call(request).await,
        Err(error) => Err(error),
    };
    response.unwrap_or_else(|error| {
        let status = status(&*error);
        eprintln!("scgi gateway: {method} {uri}: {}: {}", status.as_u16(), chain(&*error));
        let mut response = Response::new(Body::from(format!("{status}\n")));
        *response.status_mut() = status;
        response
    })
}

/// Adds who asked, and makes sure that the body has a length.
async fn prepare(request: Request<Incoming>, peer: SocketAddr) -> Result<Request<Body>, BoxError> {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(scgi_tokio::ClientAddress::from(peer));
    forwarded(&mut parts.headers, peer.ip());
    let stated = parts.headers.contains_key(CONTENT_LENGTH);
    parts.headers.remove(TRANSFER_ENCODING);
    let body = Body::from_http(body);
    let body = if stated || body.len().is_some() {
        body
    } else {
        let all = http_body_util::Limited::new(body, UNSTATED_LIMIT).collect().await?;
        Body::from(all.to_bytes())
    };
    Ok(Request::from_parts(parts, body))
}

fn forwarded(headers: &mut HeaderMap, client: IpAddr) {
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    let earlier = headers.get_all(FOR).iter().filter_map(|value| value.to_str().ok());
    let mut chain: Vec<_> = earlier.map(str::to_owned).collect();
    chain.push(client.to_string());
    if let Ok(value) = HeaderValue::try_from(chain.join(", ")) {
        headers.insert(FOR, value);
    }
    headers.entry(PROTO).or_insert(HeaderValue::from_static("http"));
}

/// 504 for a server that is late, 413 for a body over the limit, 502 for anything else.
fn status(error: &(dyn Error + 'static)) -> StatusCode {
    if error.is::<http_body_util::LengthLimitError>() {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    match error.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    }
}

//! One connection, and each request on it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, EXPECT};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use scgi_proto::Address;
use scgi_proto::BoxError;
use scgi_tokio::{Backend, Body};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower_service::Service as _;
use tracing::debug;

use super::access_log::{AccessLog, Entry};
use super::checks::{Checks, Connected};
use super::connection::{Connection, Exchange};
use super::connections::Connections;
use super::download::{AtEnd, Outcome, Response, ResponseBody};
use super::limits::BrowserLimits;
use super::note::Notes;
use super::refusal::{Refusal, of_call};
use super::socket::Socket;
use super::spool::Spool;
use super::stream::Stream;
use super::tunnel::{Offer, Tunnel};
use super::upload::UploadBody;
use crate::failure::chain;

/// The largest head of HTTP/1 and the largest list of headers of HTTP/2, in bytes; also what of a
/// response may wait in memory for its browser.
const MAX_HEAD: usize = 64 * 1024;

/// What of uploads may wait in memory on an HTTP/2 connection, in bytes: the least that HTTP/2
/// allows, about.
const HTTP2_WINDOW: u32 = 64 * 1024;

/// Requests at the same time on an HTTP/2 connection.
const HTTP2_STREAMS: u32 = 100;

/// What a browser is said to have got that left before there was a response, as in nginx's log.
const LEFT: u16 = 499;

/// What every request needs.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) address: Address,
    pub(crate) checks: Checks,
    pub(crate) backend: Backend,
    pub(crate) limits: Arc<BrowserLimits>,
    pub(crate) spool: Spool,
    /// Requests that may be in progress.
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) log: Option<AccessLog>,
    pub(crate) notes: Notes,
    pub(crate) served: AtomicU64,
}

/// Serves a connection to its end. When `stop` changes, only what is in progress is finished.
pub(crate) async fn serve_connection(
    gateway: Arc<Gateway>,
    stream: Stream,
    connected: Connected,
    stop: watch::Receiver<bool>,
) {
    let connection = Arc::new(Connection::new(stream, Arc::clone(&gateway.limits)));
    let _place = gateway.connections.add(&connection);
    serve_http(&gateway, &connection, connected, stop).await;
    connection.end_tunnels().await;
}

async fn serve_http(
    gateway: &Arc<Gateway>,
    connection: &Arc<Connection>,
    connected: Connected,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let (gateway, connection) = (Arc::clone(gateway), Arc::clone(connection));
        async move { Ok::<_, Infallible>(gateway.answer(request, connected, &connection).await) }
    });
    let builder = http_builder();
    let io = TokioIo::new(Socket::new(Arc::clone(connection)));
    let mut http = pin!(builder.serve_connection_with_upgrades(io, service));
    let mut watch = pin!(connection.watch());
    let (mut is_stopping, mut is_tunnel) = (false, false);
    loop {
        tokio::select! {
            result = http.as_mut(), if !is_tunnel => {
                if let Err(error) = result {
                    gateway.connection_failed(connected, &error);
                    return;
                }
                is_tunnel = connection.is_tunnel();
                if !is_tunnel {
                    return;
                }
            }
            ended = watch.as_mut() => {
                debug!(target: "scgi", peer = ?connected.peer, ?ended, "connection ended");
                if connection.in_progress() > 0 {
                    connection.reset();
                }
                return;
            }
            _ = stop.wait_for(|stop| *stop), if !is_stopping => {
                is_stopping = true;
                connection.stop();
                if !is_tunnel {
                    http.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn http_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // The deadline of a head is that of the connection, which covers silence, too.
    builder.http1().header_read_timeout(None).max_buf_size(MAX_HEAD);
    builder
        .http2()
        .enable_connect_protocol()
        .max_header_list_size(MAX_HEAD as u32)
        .initial_stream_window_size(HTTP2_WINDOW)
        .initial_connection_window_size(HTTP2_WINDOW)
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_send_buf_size(MAX_HEAD);
    builder
}

impl Gateway {
    fn connection_failed(&self, connected: Connected, error: &BoxError) {
        let peer = connected.peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
        if error.downcast_ref().is_some_and(hyper::Error::is_parse) {
            self.notes.write(format_args!("{peer}: {}", chain(&**error)));
        } else {
            debug!(target: "scgi", peer, error = chain(&**error), "connection failed");
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        connected: Connected,
        connection: &Arc<Connection>,
    ) -> hyper::Response<ResponseBody> {
        self.served.fetch_add(1, Ordering::Relaxed);
        let (mut parts, incoming) = request.into_parts();
        let waits = parts.headers.contains_key(EXPECT);
        let limits = &self.limits;
        let body = UploadBody::new(incoming, waits, limits.body_timeout, limits.max_body);
        let response = Arc::new(Response::default());
        let exchange =
            Exchange { upload: Arc::clone(body.upload()), response: Arc::clone(&response) };
        let version = parts.version;
        connection.begin(version, Arc::new(exchange));
        let mut open = OpenRequest {
            gateway: Arc::clone(&self),
            connection: Arc::clone(connection),
            response: Arc::clone(&response),
            entry: Entry::new(&parts, connected.peer),
            status: None,
            bytes: 0,
            is_complete: false,
            place: None,
            tunnel: None,
        };
        let answer = self.call(&mut parts, body, connected, &mut open).await;
        let answer = answer.unwrap_or_else(|refusal| {
            let (status, entry) = (refusal.status.as_u16(), &open.entry);
            self.notes.write(format_args!(
                "{} {}: {status}: {}",
                entry.method,
                entry.uri,
                refusal.reason()
            ));
            refusal.into_response()
        });
        open.status = Some(answer.status());
        let has_no_body = open.entry.method == Method::HEAD
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&answer.status());
        let tunnel = open.tunnel.take();
        let has_no_body = has_no_body || tunnel.is_some();
        let at_end: AtEnd = match tunnel {
            Some(tunnel) => {
                connection.start_tunnel(tunnel.takes_connection(), open.run(tunnel));
                Box::new(drop)
            }
            None => Box::new(move |outcome| open.finish(outcome)),
        };
        let (connection, resets) = (Arc::clone(connection), version < Version::HTTP_11);
        answer
            .map(|body| ResponseBody::new(response, body, has_no_body, connection, resets, at_end))
    }

    /// Checks the request and sends it; a body without a length is read first.
    async fn call(
        &self,
        parts: &mut Parts,
        body: UploadBody,
        connected: Connected,
        open: &mut OpenRequest,
    ) -> Result<hyper::Response<Body>, Refusal> {
        let offer = Offer::take(parts);
        self.checks.apply(parts, connected)?;
        if let Some(offer) = &offer {
            offer.restore(parts);
        }
        open.entry.set_client(parts);
        open.place = Arc::clone(&self.requests).try_acquire_owned().ok();
        if open.place.is_none() {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests are in progress (--max-requests)",
            ));
        }
        let stated = hyper::body::Body::size_hint(&body).exact();
        if let Some(max) = self.limits.max_body.filter(|max| stated.is_some_and(|len| len > *max)) {
            let text = format!("the body is over {max} bytes (--max-body)");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        let is_stated = stated.is_some() || parts.headers.contains_key(CONTENT_LENGTH);
        let body = if is_stated {
            Body::from_http(body)
        } else {
            let all = self.spool.collect(body).await;
            Body::from_http(all.map_err(|error| of_call(&error))?)
        };
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.version_mut() = parts.version;
        *request.headers_mut() = std::mem::take(&mut parts.headers);
        *request.extensions_mut() = std::mem::take(&mut parts.extensions);
        let response = self.backend.clone().call(request).await;
        let mut response = response.map_err(|error| of_call(&*error))?;
        if let Some(offer) = offer {
            open.tunnel = offer.answer(&mut response)?;
        }
        Ok(response)
    }
}

/// A request in progress. However it ends, its connection learns of it, and the log.
struct OpenRequest {
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    response: Arc<Response>,
    entry: Entry,
    /// `None` until there is a response.
    status: Option<StatusCode>,
    bytes: u64,
    is_complete: bool,
    /// Among the requests that may be in progress.
    place: Option<OwnedSemaphorePermit>,
    /// What follows the response, if the server has accepted an upgrade.
    tunnel: Option<Tunnel>,
}

impl OpenRequest {
    /// What follows an upgrade. The request lasts as long.
    async fn run(mut self, tunnel: Tunnel) {
        let write_timeout = self.gateway.limits.write_timeout;
        let counted = Counted(AtomicU64::new(0), &mut self);
        let result = tunnel.run(&counted.0, write_timeout).await;
        counted.1.is_complete = result.is_ok();
        if let Err(error) = result {
            debug!(target: "scgi", %error, "the tunnel was broken");
        }
    }

    fn finish(mut self, outcome: Outcome) {
        self.bytes = outcome.bytes;
        self.is_complete = outcome.is_complete;
        if let Some(error) = outcome.error {
            let Entry { method, uri, .. } = &self.entry;
            let address = &self.gateway.address;
            self.gateway.notes.write(format_args!(
                "{method} {uri}: the response of {address} was cut after {} bytes: {}",
                outcome.bytes,
                chain(&error)
            ));
        }
    }
}

/// Writes down the bytes of a tunnel, however it ends.
struct Counted<'a>(AtomicU64, &'a mut OpenRequest);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.1.bytes = self.0.load(Ordering::Relaxed);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.connection.end(&self.response);
        if let Some(log) = &self.gateway.log {
            let status = self.status.map_or(LEFT, |status| status.as_u16());
            log.write(&self.entry, status, self.bytes, self.is_complete);
        }
    }
}

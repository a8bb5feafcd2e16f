//! Upgrades: after a 101, the browser's connection and the server's are one tunnel. In HTTP/2 it is
//! one stream of the browser's connection.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::ext::Protocol;
use hyper::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{HeaderMap, Method, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use scgi_tokio::{Body, Upgraded, UpgradedStream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::websocket;

/// Read at once, in bytes.
const READ: usize = 8 * 1024;

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// An upgrade that a browser asks for.
#[derive(Debug)]
pub(crate) struct Offer {
    on_upgrade: OnUpgrade,
    protocols: Vec<HeaderValue>,
    is_http2: bool,
}

impl Offer {
    /// Takes it out of a request. An extended CONNECT (RFC 8441) becomes the request of HTTP/1.1 that
    /// programs expect.
    pub(crate) fn take(parts: &mut Parts) -> Option<Self> {
        let on_upgrade = parts.extensions.remove::<OnUpgrade>()?;
        let is_http2 = parts.version == Version::HTTP_2;
        if is_http2 {
            let protocol = parts.extensions.remove::<Protocol>()?;
            let headers = &mut parts.headers;
            // So that the checks see an upgrade.
            headers.insert(UPGRADE, HeaderValue::from_str(protocol.as_str()).ok()?);
            if protocol.as_str().eq_ignore_ascii_case("websocket") {
                // HTTP/2 has none.
                headers.insert(KEY, HeaderValue::from_str(&websocket::key()).ok()?);
            }
            parts.method = Method::GET;
            parts.version = Version::HTTP_11;
        } else if !names_upgrade(&parts.headers) {
            return None;
        }
        let protocols = parts.headers.get_all(UPGRADE).iter().cloned().collect();
        Some(Self { on_upgrade, protocols, is_http2 })
    }

    /// Puts the headers of the upgrade back. The checks remove them, as they concern only the browser's
    /// connection.
    pub(crate) fn restore(&self, parts: &mut Parts) {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        parts.headers.remove(UPGRADE);
        for protocol in &self.protocols {
            parts.headers.append(UPGRADE, protocol.clone());
        }
    }

    /// Makes the server's response the browser's. With the tunnel if the server has accepted.
    pub(crate) fn answer(self, response: &mut Response<Body>) -> Result<Option<Tunnel>, Refusal> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // In HTTP/2 this status would open the tunnel.
            let is_misleading = self.is_http2 && response.status().is_success();
            return if is_misleading { Err(not_upgraded()) } else { Ok(None) };
        }
        let server = response.extensions_mut().remove::<UpgradedStream>();
        let server = server.and_then(|stream| stream.take()).ok_or_else(not_upgraded)?;
        if self.is_http2 {
            *response.status_mut() = StatusCode::OK;
            for name in [CONNECTION, UPGRADE, ACCEPT] {
                response.headers_mut().remove(name);
            }
        }
        Ok(Some(Tunnel { browser: self.on_upgrade, server, is_http2: self.is_http2 }))
    }
}

/// Whether Connection names `upgrade`.
fn names_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
}

fn not_upgraded() -> Refusal {
    Refusal::new(StatusCode::BAD_GATEWAY, "the server did not accept the upgrade")
}

/// The two ends, before the browser has got its response.
#[derive(Debug)]
pub(crate) struct Tunnel {
    browser: OnUpgrade,
    server: Upgraded,
    is_http2: bool,
}

impl Tunnel {
    /// Whether it takes the whole connection of the browser.
    pub(crate) fn takes_connection(&self) -> bool {
        !self.is_http2
    }

    /// Passes everything on until both sides have ended their output, or one has broken off. A browser
    /// that takes nothing for as long as `write_timeout` has. Counts the bytes for the browser in
    /// `bytes`.
    pub(crate) async fn run(self, bytes: &AtomicU64, write_timeout: Duration) -> io::Result<()> {
        let browser = TokioIo::new(self.browser.await.map_err(io::Error::other)?);
        let (mut from_browser, mut to_browser) = split(browser);
        let (mut from_server, mut to_server) = split(self.server);
        // The server's end has its own write timeout, and that of HTTP/1.1 too; a stream of HTTP/2 has
        // none.
        let up = pass(&mut from_browser, &mut to_server, Duration::MAX, |_| ());
        let down = pass(&mut from_server, &mut to_browser, write_timeout, |count| {
            bytes.fetch_add(count, Ordering::Relaxed);
        });
        tokio::try_join!(up, down).map(drop)
    }
}

fn late(_: Elapsed) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the browser does not read")
}

/// Passes one direction on, and its end.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    write_timeout: Duration,
    count: impl Fn(u64),
) -> io::Result<()> {
    let mut buf = vec![0; READ];
    loop {
        let len = from.read(&mut buf).await?;
        if len == 0 {
            // In HTTP/2 it waits until all that was written has left.
            return timeout(write_timeout, to.shutdown()).await.map_err(late)?;
        }
        let mut rest = &buf[..len];
        while !rest.is_empty() {
            // A part at a time: whatever is taken is a sign of life.
            let written = timeout(write_timeout, to.write(rest)).await.map_err(late)??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = &rest[written..];
        }
        timeout(write_timeout, to.flush()).await.map_err(late)??;
        count(len as u64);
    }
}

//! The program itself, written once for the async crates: they have the same names.

use std::io;
use std::iter::{once, once_with};
use std::time::Duration;

use bytes::Bytes;

/// Pieces of the streamed answer, and the time between them.
pub(crate) const PIECES: u32 = 5;
pub(crate) const PAUSE: Duration = Duration::from_millis(200);

/// Text that marks the failures that are part of a test.
pub(crate) const ON_PURPOSE: &str = "as the test wants it";

/// What a streamed body is made of, and the length that it states.
type Streamed = (Box<dyn Iterator<Item = io::Result<Bytes>> + Send>, Option<u64>);

/// The streamed answer of a route, if it is one: a good one, and four that go wrong after the
/// first piece.
pub(crate) fn streamed(route: &str) -> Option<Streamed> {
    let first = once(Ok(Bytes::from("abc")));
    Some(match route {
        "stream" => {
            (Box::new((0..PIECES).map(|piece| Ok(format!("data: {piece}\n\n").into()))), None)
        }
        "short" => (Box::new(first), Some(10)),
        "long" => (Box::new(first.chain(once(Ok(Bytes::from("defghijkl"))))), Some(10)),
        "late-error" => (Box::new(first.chain(once_with(|| Err(failure())))), None),
        "late-panic" => (Box::new(first.chain(once_with(|| panic!("{ON_PURPOSE}")))), None),
        _ => return None,
    })
}

/// What a handler or a body fails with.
pub(crate) fn failure() -> io::Error {
    io::Error::other(ON_PURPOSE)
}

/// `async fn answer(Request) -> Result<Response, Error>` on the types of one crate.
macro_rules! async_answer {
    ($krate:ident, $sleep:path) => {
        async fn answer(request: $krate::Request) -> Result<$krate::Response, $krate::Error> {
            use $crate::support::app::{ON_PURPOSE, PAUSE, failure, streamed};
            use $krate::{Body, Response, Status};
            let (head, mut body) = request.into_parts();
            let uri = String::from_utf8_lossy(head.request_uri().unwrap_or_default()).into_owned();
            let route = uri.rsplit('/').next().unwrap_or_default();
            if let Some((pieces, len)) = streamed(route) {
                let pieces =
                    futures_util::stream::unfold((pieces, 0), async |(mut pieces, nth)| {
                        if nth > 0 {
                            $sleep(PAUSE).await;
                        }
                        let piece = pieces.next()?;
                        Some((piece, (pieces, nth + 1)))
                    });
                let body = Body::from_stream(pieces);
                let body = if let Some(len) = len { body.with_len(len) } else { body };
                return Ok(Response::new(body).with_field("Content-Type", "text/event-stream"));
            }
            let response = match route {
                "refuse" => Response::new("too large").with_status(Status::CONTENT_TOO_LARGE),
                // nginx sends no more of a request once a reply has begun: no streaming here.
                "echo" => Response::new(body.collect(1 << 20).await?),
                "panic" => panic!("{ON_PURPOSE}"),
                "error" => return Err(failure().into()),
                "line-break" => Response::new("x").with_field("X-A", "b\r\nSet-Cookie: c"),
                "wrong-length" => Response::new("four").with_field("Content-Length", "5"),
                _ => {
                    use sha2::Digest;
                    let mut hash = sha2::Sha256::new();
                    let mut len = 0;
                    while let Some(chunk) = body.chunk().await? {
                        len += chunk.len();
                        hash.update(&chunk);
                    }
                    let params: usize = head.params().iter().map(|(n, v)| n.len() + v.len()).sum();
                    let hash = hash.finalize();
                    Response::new(format!("{uri} {params} {len} {hash:x}"))
                }
            };
            Ok(response.with_field("X-Served-By", stringify!($krate)))
        }
    };
}

/// How a program with an accept loop of its own serves a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    ServeConnection,
    /// `Connection::new`, event by event.
    Connection,
}

/// Time for a head in a program with an accept loop of its own: enough for a busy machine to send one.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for a body, between two of its bytes.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// `async fn serve_one(Way, impl Read + Write)` on the types of one crate, without its `serve`.
macro_rules! async_serve_one {
    ($krate:ident, $sleep:path, $read:path, $write:path) => {
        async fn serve_one<S>(way: $crate::support::app::Way, stream: S)
        where
            S: $read + $write + Unpin + Send + 'static,
        {
            use $crate::support::app::{BODY_TIMEOUT, HEAD_TIMEOUT, PAUSE, Way, streamed};
            use $krate::{
                Connection, ConnectionConfig, RequestEvent, ResponseEvent, ResponseHead, Status,
            };
            let config = ConnectionConfig::default()
                .with_head_timeout(HEAD_TIMEOUT)
                .with_body_timeout(BODY_TIMEOUT);
            if let Way::ServeConnection = way {
                _ = $krate::serve_connection(stream, answer, &config).await;
                return;
            }
            let mut connection = Connection::new(stream, &config);
            let mut route = String::new();
            while let Ok(Some(event)) = connection.next_event().await {
                if let RequestEvent::Head(head) = event {
                    let uri = String::from_utf8_lossy(head.request_uri().unwrap_or_default());
                    uri.trim_start_matches('/').clone_into(&mut route);
                }
            }
            let (pieces, len) =
                streamed(&route).unwrap_or_else(|| (Box::new(std::iter::empty()), None));
            let mut head = ResponseHead::new(Status::OK);
            if let Some(len) = len {
                head.fields_mut().append("Content-Length", len.to_string());
            }
            _ = connection.send(ResponseEvent::Head(head)).await;
            for piece in pieces {
                let sent = match piece {
                    Ok(piece) => connection.send(ResponseEvent::Body(piece)).await.is_ok(),
                    Err(_) => false,
                };
                if !sent {
                    connection.fail(Status::INTERNAL_SERVER_ERROR);
                }
                if route == "stream" {
                    $sleep(PAUSE).await;
                }
            }
            if connection.send(ResponseEvent::End).await.is_err() {
                connection.fail(Status::INTERNAL_SERVER_ERROR);
            }
            _ = connection.finish().await;
        }
    };
}

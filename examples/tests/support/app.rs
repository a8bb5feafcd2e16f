//! The program itself, written once for the async crates: they have the same names.

/// Pieces of the streamed answer, and the time between them.
pub(crate) const PIECES: u32 = 5;
pub(crate) const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// `async fn answer(Request) -> Result<Response, Error>` on the types of one crate.
macro_rules! async_answer {
    ($krate:ident, $sleep:path) => {
        async fn answer(request: $krate::Request) -> Result<$krate::Response, $krate::Error> {
            use $krate::{Body, Response, Status};
            let (head, mut body) = request.into_parts();
            let uri = String::from_utf8_lossy(head.request_uri().unwrap_or_default()).into_owned();
            let route = uri.rsplit('/').next().unwrap_or_default();
            let response = match route {
                "refuse" => Response::new("too large").with_status(Status::CONTENT_TOO_LARGE),
                // nginx sends no more of a request once a reply has begun: no streaming here.
                "echo" => Response::new(body.collect(1 << 20).await?),
                "stream" => {
                    let pieces = futures_util::stream::unfold(0, async |piece| {
                        if piece == $crate::support::app::PIECES {
                            return None;
                        }
                        if piece > 0 {
                            $sleep($crate::support::app::PAUSE).await;
                        }
                        let event = bytes::Bytes::from(format!("data: {piece}\n\n"));
                        Some((Ok::<_, std::io::Error>(event), piece + 1))
                    });
                    Response::new(Body::from_stream(pieces))
                        .with_field("Content-Type", "text/event-stream")
                }
                "panic" => panic!("as the test wants it"),
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

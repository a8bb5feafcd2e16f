//! The program on plain threads.

use std::io;
use std::thread;

use bytes::Bytes;
use scgi_blocking::{Address, Body, Error, Listener, Request, Response, Status, serve};
use sha2::{Digest, Sha256};

use super::App;
use super::app::{PAUSE, PIECES};

fn answer(request: Request) -> Result<Response, Error> {
    let (head, mut body) = request.into_parts();
    let uri = String::from_utf8_lossy(head.request_uri().unwrap_or_default()).into_owned();
    let response = match uri.rsplit('/').next().unwrap_or_default() {
        "refuse" => Response::new("too large").with_status(Status::CONTENT_TOO_LARGE),
        "echo" => Response::new(body.collect(1 << 20)?),
        "stream" => {
            let pieces = (0..PIECES).map(|piece| {
                if piece > 0 {
                    thread::sleep(PAUSE);
                }
                Ok::<_, io::Error>(Bytes::from(format!("data: {piece}\n\n")))
            });
            Response::new(Body::from_chunks(pieces)).with_field("Content-Type", "text/event-stream")
        }
        "panic" => panic!("as the test wants it"),
        _ => {
            let mut hash = Sha256::new();
            let mut len = 0;
            while let Some(chunk) = body.chunk()? {
                len += chunk.len();
                hash.update(&chunk);
            }
            let params: usize = head.params().iter().map(|(n, v)| n.len() + v.len()).sum();
            Response::new(format!("{uri} {params} {len} {:x}", hash.finalize()))
        }
    };
    Ok(response.with_field("X-Served-By", "scgi_blocking"))
}

/// Starts it.
pub(crate) fn app() -> App {
    App::start(|unix, ready| {
        let unix = Listener::bind(&Address::Unix(unix)).expect("a Unix listener");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a TCP listener");
        let address = tcp.local_addr().expect("its address");
        let tcp = thread::spawn(|| serve(tcp, answer).run());
        ready(address);
        let unix = serve(unix, answer).run();
        let _ = (tcp.join(), unix);
    })
}

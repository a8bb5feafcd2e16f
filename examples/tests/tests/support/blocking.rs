//! The program on plain threads.

use std::thread;

use scgi_blocking::{Address, Body, Error, Listener, Request, Response, Status, serve};
use sha2::{Digest, Sha256};

use super::App;
use super::app::{ON_PURPOSE, PAUSE, failure, streamed};

fn answer(request: Request) -> Result<Response, Error> {
    let (head, mut body) = request.into_parts();
    let uri = String::from_utf8_lossy(head.request_uri().unwrap_or_default()).into_owned();
    let route = uri.rsplit('/').next().unwrap_or_default();
    if let Some((mut pieces, len)) = streamed(route) {
        let mut nth = 0;
        let body = Body::from_chunks(std::iter::from_fn(move || {
            if nth > 0 {
                thread::sleep(PAUSE);
            }
            nth += 1;
            pieces.next()
        }));
        let body = if let Some(len) = len { body.with_len(len) } else { body };
        return Ok(Response::new(body).with_field("Content-Type", "text/event-stream"));
    }
    let response = match route {
        "refuse" => Response::new("too large").with_status(Status::CONTENT_TOO_LARGE),
        "echo" => Response::new(body.collect(1 << 20)?),
        "panic" => panic!("{ON_PURPOSE}"),
        "error" => return Err(failure().into()),
        "line-break" => Response::new("x").with_field("X-A", "b\r\nSet-Cookie: c"),
        "wrong-length" => Response::new("four").with_field("Content-Length", "5"),
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

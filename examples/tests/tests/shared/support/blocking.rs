//! The program on plain threads.

use std::thread;

use scgi_blocking::{Address, Body, Error, Listener, Request, Response, Status, serve};
use sha2::{Digest, Sha256};

use super::App;
use super::app::{BODY_TIMEOUT, HEAD_TIMEOUT, ON_PURPOSE, PAUSE, Way, failure, streamed};

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
        let unix = Listener::bind(Address::Unix(unix)).expect("a Unix listener");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a TCP listener");
        let address = tcp.local_addr().expect("its address");
        let tcp = thread::spawn(|| serve(tcp, answer).run());
        ready(address);
        let unix = serve(unix, answer).run();
        let _ = (tcp.join(), unix);
    })
}

fn serve_one<S>(way: Way, stream: S)
where
    S: std::io::Read + std::io::Write + Send + 'static,
{
    use scgi_blocking::{Connection, ConnectionConfig, RequestEvent, ResponseEvent, ResponseHead};
    let config =
        ConnectionConfig::default().with_head_timeout(HEAD_TIMEOUT).with_body_timeout(BODY_TIMEOUT);
    if let Way::ServeConnection = way {
        _ = scgi_blocking::serve_connection(stream, answer, &config);
        return;
    }
    let mut connection = Connection::new(stream, &config);
    let mut route = String::new();
    while let Ok(Some(event)) = connection.next_event() {
        if let RequestEvent::Head(head) = event {
            let uri = String::from_utf8_lossy(head.request_uri().unwrap_or_default());
            uri.trim_start_matches('/').clone_into(&mut route);
        }
    }
    let (pieces, len) = streamed(&route).unwrap_or_else(|| (Box::new(std::iter::empty()), None));
    let mut head = ResponseHead::new(Status::OK);
    if let Some(len) = len {
        head.fields_mut().append("Content-Length", len.to_string());
    }
    _ = connection.send(ResponseEvent::Head(head));
    for piece in pieces {
        let sent = piece.is_ok_and(|piece| connection.send(ResponseEvent::Body(piece)).is_ok());
        if !sent {
            connection.fail(Status::INTERNAL_SERVER_ERROR);
        }
        if route == "stream" {
            thread::sleep(PAUSE);
        }
    }
    if connection.send(ResponseEvent::End).is_err() {
        connection.fail(Status::INTERNAL_SERVER_ERROR);
    }
    _ = connection.finish();
}

/// Starts it with accept loops of its own, and a thread for each stream.
pub(crate) fn app_by(way: Way) -> App {
    App::start(move |unix, ready| {
        let unix = std::os::unix::net::UnixListener::bind(unix).expect("a Unix listener");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a TCP listener");
        ready(tcp.local_addr().expect("its address"));
        thread::spawn(move || {
            for stream in tcp.incoming() {
                let stream = stream.expect("a stream");
                thread::spawn(move || serve_one(way, stream));
            }
        });
        for stream in unix.incoming() {
            let stream = stream.expect("a stream");
            thread::spawn(move || serve_one(way, stream));
        }
    })
}

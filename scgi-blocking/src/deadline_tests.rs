//! Tests deadlines in virtual time, over real sockets whose peer follows a script.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scgi_proto::{ClientConfig, ConnectionConfig, Error, RequestHead, Timeout};

use crate::body::Body;
use crate::client::Client;
use crate::message::{Request, Response};
use crate::serve::serve_connection;
use crate::stream::Stream;
use crate::virtual_time::{Deed, VirtualTime};

const SECOND: Duration = Duration::from_secs(1);

/// The peer's end of a connection.
type Peer = Arc<Mutex<Stream>>;

/// Two ends of a connection of each kind, that of the peer without waiting.
fn pairs() -> Vec<(Stream, Peer)> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    far.set_nonblocking(true).expect("set");
    let near = listener.accept().expect("accepted").0;
    let mut pairs = vec![(near.into(), Arc::new(Mutex::new(far.into())))];
    #[cfg(unix)]
    {
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        far.set_nonblocking(true).expect("set");
        pairs.push((near.into(), Arc::new(Mutex::new(far.into()))));
    }
    pairs
}

fn send(peer: &Peer, bytes: &[u8]) {
    peer.lock().expect("no panic").write_all(bytes).expect("sent");
}

/// Reads what has come.
fn receive(peer: &Peer) -> (Vec<u8>, io::Result<usize>) {
    let mut all = Vec::new();
    let end = peer.lock().expect("no panic").read_to_end(&mut all);
    (all, end)
}

fn received(peer: &Peer) -> String {
    String::from_utf8(receive(peer).0).expect("text")
}

/// Each second, for so many, the peer does the same.
fn each_second(
    seconds: u32,
    peer: &Peer,
    deed: impl Fn(&Peer) + Send + Clone + 'static,
) -> impl Iterator<Item = (Duration, Deed)> {
    (1..=seconds).map(move |second| {
        let (peer, deed) = (Arc::clone(peer), deed.clone());
        (second * SECOND, Box::new(move || deed(&peer)) as Deed)
    })
}

fn head(len: u64) -> Vec<u8> {
    let block = format!("CONTENT_LENGTH\0{len}\0SCGI\x001\0");
    format!("{}:{block},", block.len()).into_bytes()
}

fn hello(_: Request) -> Response {
    Response::new("hello")
}

fn read_all(mut request: Request) -> Result<Response, Error> {
    request.body_mut().discard()?;
    Ok(Response::new("done"))
}

#[test]
fn head_timeout_answers_a_head_that_trickles_in_and_is_silent_to_silence() {
    for (near, peer) in pairs() {
        // The peer does not notice, so the rest is drained for 5 s.
        let time = VirtualTime::set(each_second(14, &peer, |peer| send(peer, b"A")));
        send(&peer, b"900:");
        let config = ConnectionConfig::default();
        let result = serve_connection(near, hello, &config);
        assert!(matches!(result, Err(Error::Timeout(Timeout::Head))), "{result:?}");
        assert!(received(&peer).starts_with("Status: 408 "));
        assert_eq!(time.now(), 15 * SECOND);
    }
    for (near, peer) in pairs() {
        let time = VirtualTime::set([]);
        let result = serve_connection(near, hello, &ConnectionConfig::default());
        assert!(matches!(result, Err(Error::Timeout(Timeout::Head))), "{result:?}");
        assert_eq!(received(&peer), "");
        assert_eq!(time.now(), 10 * SECOND);
    }
}

#[test]
fn body_timeout_is_renewed_by_bytes_and_ends_a_body_that_stops() {
    for (near, peer) in pairs() {
        let time = VirtualTime::set(each_second(100, &peer, |peer| send(peer, b"x")));
        send(&peer, &head(200));
        let config = ConnectionConfig::default().with_min_body_rate(0);
        let result = serve_connection(near, read_all, &config);
        assert!(result.is_ok(), "{result:?}");
        assert!(received(&peer).starts_with("Status: 408 "));
        assert_eq!(time.now(), 165 * SECOND, "60 s after the last byte, and 5 s to drain");
    }
}

#[test]
fn request_timeout_ends_a_body_that_flows() {
    for (near, peer) in pairs() {
        let time = VirtualTime::set(each_second(200, &peer, |peer| send(peer, &[b'x'; 4096])));
        send(&peer, &head(1 << 40));
        let config = ConnectionConfig::default().with_request_timeout(100 * SECOND);
        let result = serve_connection(near, read_all, &config);
        assert!(result.is_ok(), "{result:?}");
        assert!(received(&peer).starts_with("Status: 503 "));
        assert_eq!(time.now(), 105 * SECOND);
    }
}

#[test]
fn request_timeout_is_noticed_after_a_handler_or_the_first_chunk_that_took_too_long() {
    let config = ConnectionConfig::default().with_request_timeout(100 * SECOND);
    for (near, peer) in pairs() {
        let time = VirtualTime::set([]);
        send(&peer, &head(0));
        let slow = move |_: Request| {
            time.advance(101 * SECOND);
            Response::new("late")
        };
        assert!(serve_connection(near, slow, &config).is_ok());
        assert!(received(&peer).starts_with("Status: 503 "));
    }
    for (near, peer) in pairs() {
        let time = VirtualTime::set([]);
        send(&peer, &head(0));
        let slow = move |_: Request| {
            let time = time.clone();
            let late = std::iter::once_with(move || {
                time.advance(101 * SECOND);
                Ok::<_, Error>("late".into())
            });
            Response::new(Body::from_chunks(late))
        };
        let result = serve_connection(near, slow, &config);
        assert!(matches!(result, Err(Error::Timeout(Timeout::Request))), "{result:?}");
        assert!(received(&peer).starts_with("Status: 503 "));
    }
}

fn large(_: Request) -> Response {
    Response::new(vec![b'x'; 64 << 20])
}

#[test]
fn write_timeout_breaks_a_response_that_the_peer_does_not_take() {
    for (near, peer) in pairs() {
        let time = VirtualTime::set([]);
        send(&peer, &head(0));
        let result = serve_connection(near, large, &ConnectionConfig::default());
        assert!(matches!(result, Err(Error::Timeout(Timeout::Write))), "{result:?}");
        assert_eq!(time.now(), 60 * SECOND);
        assert!(receive(&peer).0.len() < 64 << 20);
    }
}

#[test]
fn request_timeout_breaks_a_response_that_is_taken_slowly() {
    for (near, peer) in pairs() {
        let take = |peer: &Peer| {
            let mut buf = vec![0; 64 * 1024];
            let _ = peer.lock().expect("no panic").read(&mut buf);
        };
        let time = VirtualTime::set(each_second(200, &peer, take));
        send(&peer, &head(0));
        let config = ConnectionConfig::default().with_request_timeout(100 * SECOND);
        let result = serve_connection(near, large, &config);
        assert!(matches!(result, Err(Error::Timeout(Timeout::Request))), "{result:?}");
        assert_eq!(time.now(), 100 * SECOND);
    }
}

#[test]
fn drain_timeout_ends_what_a_peer_still_sends_after_an_early_response() {
    for (near, peer) in pairs() {
        let time = VirtualTime::set(each_second(200, &peer, |peer| send(peer, b"x")));
        send(&peer, &head(1 << 40));
        let result = serve_connection(near, hello, &ConnectionConfig::default());
        assert!(result.is_ok(), "{result:?}");
        assert!(received(&peer).ends_with("hello"));
        assert_eq!(time.now(), 5 * SECOND);
    }
}

fn request(body: impl Into<Body>) -> Request {
    Request::new(RequestHead::builder("POST", "/").build(), body.into())
}

#[test]
fn client_deadlines_end_a_silent_server_and_a_response_that_stops() {
    let config = ClientConfig::default();
    for (near, _peer) in pairs() {
        let time = VirtualTime::set([]);
        let result = Client::new(near, &config).request(request("hello"));
        assert!(matches!(result, Err(Error::Timeout(Timeout::ResponseHead))), "{result:?}");
        assert_eq!(time.now(), 60 * SECOND);
    }
    for (near, peer) in pairs() {
        let time = VirtualTime::set([]);
        send(&peer, b"Content-Length: 100\r\n\r\n4 of");
        let response = Client::new(near, &config).request(request("hello")).expect("a head");
        let result = response.into_body().collect(1000);
        assert!(matches!(result, Err(Error::Timeout(Timeout::ResponseBody))), "{result:?}");
        assert_eq!(time.now(), 60 * SECOND);
    }
    for (near, _peer) in pairs() {
        let time = VirtualTime::set([]);
        let result = Client::new(near, &config).request(request(vec![b'x'; 64 << 20]));
        assert!(matches!(result, Err(Error::Timeout(Timeout::RequestWrite))), "{result:?}");
        assert_eq!(time.now(), 60 * SECOND);
    }
}

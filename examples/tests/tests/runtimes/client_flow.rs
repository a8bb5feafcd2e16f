//! Flow and time on the client's side, on each runtime and over TCP and Unix sockets: servers that
//! answer before, during and after the request, and that close, reset or fall silent.
//!
//! The rules are tested in scgi-proto, without a socket (`tests/client_states.rs`,
//! `tests/client_model.rs`, `tests/driver/client_flow.rs`).

#![cfg(target_os = "linux")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::{Address, ClientConfig, DecodeError, Error, RequestHead, Timeout};

use crate::peers::Peer;
use crate::places::Listener;
use crate::tool;

pub(super) const RUNTIMES: [&str; 4] = ["tokio", "smol", "async-std", "blocking"];

/// More than the buffers of a socket hold.
const LARGE: usize = 32 << 20;

/// How a call ended: what came of the body, if there was a head, and the error.
pub(super) struct Outcome {
    body: Option<Vec<u8>>,
    pub(super) result: Result<(), Error>,
}

impl Outcome {
    pub(super) fn timeout(&self) -> Option<Timeout> {
        match self.result {
            Err(Error::Timeout(timeout)) => Some(timeout),
            _ => None,
        }
    }

    fn is_cut(&self) -> bool {
        matches!(self.result, Err(Error::Decode(DecodeError::ResponseCut)))
    }

    /// The whole response came.
    fn is_whole(&self, body: &[u8]) -> bool {
        self.result.is_ok() && self.body.as_deref() == Some(body)
    }
}

macro_rules! call {
    ($adapter:ident, $address:ident, $config:ident, $upload:ident $(, [$await:tt])?) => {{
        use $adapter::{Body, Client, Request};
        let mut body = None;
        let head = RequestHead::builder("POST", "/").build();
        let upload = Body::from(vec![b'x'; $upload]);
        let client = Client::connect_with($address, $config)$(.$await)?;
        let result = match client {
            Err(error) => Err(error),
            Ok(client) => match client.request(Request::new(head, upload))$(.$await)? {
                Err(error) => Err(error),
                Ok(response) => {
                    let came: &mut Vec<u8> = body.insert(Vec::new());
                    let mut body = response.into_body();
                    loop {
                        match body.chunk()$(.$await)? {
                            Ok(Some(chunk)) => came.extend_from_slice(&chunk),
                            Ok(None) => break Ok(()),
                            Err(error) => break Err(error),
                        }
                    }
                }
            },
        };
        Outcome { body, result }
    }};
}

pub(super) fn call(
    runtime: &str,
    address: &Address,
    config: &ClientConfig,
    upload: usize,
) -> Outcome {
    match runtime {
        "tokio" => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(async { call!(scgi_tokio, address, config, upload, [await]) }),
        "smol" => smol::block_on(async { call!(scgi_async_std, address, config, upload, [await]) }),
        "async-std" => async_std::task::block_on(async {
            call!(scgi_async_std, address, config, upload, [await])
        }),
        _ => call!(scgi_blocking, address, config, upload),
    }
}

/// A connection of the server, whose client may be gone already.
struct Socket(Peer);

impl Socket {
    fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    fn read_some(&mut self) -> usize {
        self.0.read(&mut [0; 1000]).unwrap_or(0)
    }

    fn read_all(&mut self, count: usize) {
        let mut left = count;
        let mut buf = vec![0; 1 << 16];
        while left > 0 {
            match self.0.read(&mut buf) {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
    }

    fn shutdown_write(&self) {
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write);
    }

    /// Waits until the client has closed.
    fn wait_for_close(&mut self) {
        self.read_all(usize::MAX);
    }
}

/// Runs `serve` for the first connection, and calls that server on each runtime over TCP and a Unix
/// socket, all at the same time.
fn each(
    config: ClientConfig,
    upload: usize,
    serve: fn(Socket),
    check: fn(Outcome, Duration, &str, bool),
) {
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            for is_unix in [false, true] {
                scope.spawn(move || {
                    let case = format!("{runtime}, {}", if is_unix { "Unix" } else { "TCP" });
                    let (listener, place) = Listener::bind(is_unix);
                    let address = place.server();
                    let server = thread::spawn(move || serve(Socket(listener.accept())));
                    let start = Instant::now();
                    let outcome = call(runtime, &address, &config, upload);
                    check(outcome, start.elapsed(), &case, is_unix);
                    server.join().expect("no panic");
                });
            }
        }
    });
}

const OK: &[u8] = b"Status: 200 OK\r\n\r\nhello";

#[test]
fn an_early_answer_without_a_length_whose_server_closes_may_be_cut_on_tcp() {
    let serve = |mut socket: Socket| {
        socket.read_some();
        socket.write(OK);
    };
    each(ClientConfig::default(), LARGE, serve, |outcome, _, case, is_unix| {
        assert_eq!(outcome.body.as_deref(), Some(&b"hello"[..]), "{case}");
        // There it looks like a plain close.
        assert_eq!(outcome.is_cut(), !is_unix, "{case}: {:?}", outcome.result);
        assert_eq!(outcome.result.is_ok(), is_unix, "{case}: {:?}", outcome.result);
    });
}

#[test]
fn an_early_answer_with_a_length_is_whole() {
    let serve = |mut socket: Socket| {
        socket.read_some();
        socket.write(b"Content-Length: 5\r\n\r\nhello");
    };
    each(ClientConfig::default(), LARGE, serve, |outcome, _, case, _| {
        assert!(outcome.is_whole(b"hello"), "{case}: {:?}", outcome.result);
    });
}

#[test]
fn an_early_answer_that_ends_before_the_reset_is_whole() {
    let serve = |mut socket: Socket| {
        socket.read_some();
        socket.write(OK);
        socket.shutdown_write();
        // The end is there before the reset.
        thread::sleep(Duration::from_millis(100));
    };
    each(ClientConfig::default(), LARGE, serve, |outcome, _, case, _| {
        assert!(outcome.is_whole(b"hello"), "{case}: {:?}", outcome.result);
    });
}

#[test]
fn an_answer_during_and_after_the_upload_is_whole() {
    let during = |mut socket: Socket| {
        socket.write(OK);
        socket.read_all(LARGE);
        socket.write(b" again");
        socket.shutdown_write();
        socket.wait_for_close();
    };
    let after = |mut socket: Socket| {
        socket.read_all(LARGE);
        socket.write(b"Status: 200 OK\r\n\r\nhello again");
        socket.shutdown_write();
        socket.wait_for_close();
    };
    for serve in [during as fn(Socket), after] {
        each(ClientConfig::default(), LARGE, serve, |outcome, _, case, _| {
            assert!(outcome.is_whole(b"hello again"), "{case}: {:?}", outcome.result);
        });
    }
}

#[test]
fn a_server_that_closes_without_an_answer_is_a_failed_write_or_no_response() {
    let serve = |mut socket: Socket| {
        socket.read_some();
    };
    each(ClientConfig::default(), LARGE, serve, |outcome, _, case, _| {
        assert!(outcome.body.is_none(), "{case}");
        let Err(Error::Io(error)) = &outcome.result else {
            panic!("{case}: {:?}", outcome.result);
        };
        let kind = error.kind();
        let expected = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(expected.contains(&kind), "{case}: {error}");
    });
}

#[test]
fn a_server_that_takes_nothing_is_past_the_write_deadline() {
    let config = ClientConfig::default().with_write_timeout(Duration::from_millis(200));
    let serve = |mut socket: Socket| {
        // What the system takes meanwhile counts as taken, and may take it long on a busy machine.
        thread::sleep(Duration::from_secs(3));
        socket.wait_for_close();
    };
    each(config, LARGE, serve, |outcome, _, case, _| {
        let timeout = outcome.timeout();
        assert_eq!(timeout, Some(Timeout::RequestWrite), "{case}: {:?}", outcome.result);
    });
}

#[test]
fn a_head_that_comes_byte_by_byte_is_past_its_deadline() {
    let config = ClientConfig::default().with_head_timeout(Duration::from_millis(200));
    let serve = |mut socket: Socket| {
        for byte in b"Status: 200 OK\r\nX-Long: and so on and so on".chunks(1) {
            socket.write(byte);
            thread::sleep(Duration::from_millis(20));
        }
        socket.wait_for_close();
    };
    each(config, 10, serve, |outcome, _, case, _| {
        let timeout = outcome.timeout();
        assert_eq!(timeout, Some(Timeout::ResponseHead), "{case}: {:?}", outcome.result);
    });
}

#[test]
fn the_head_deadline_does_not_run_during_the_upload() {
    let config = ClientConfig::default().with_head_timeout(Duration::from_millis(700));
    let serve = |mut socket: Socket| {
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(150));
            socket.read_all(LARGE / 50);
        }
        // More than the system holds was still to come, so that the deadline begins only now.
        socket.read_all(LARGE / 50 * 35);
        socket.write(OK);
        socket.shutdown_write();
        socket.wait_for_close();
    };
    each(config, LARGE, serve, |outcome, elapsed, case, _| {
        assert!(elapsed > Duration::from_millis(1500), "{case}: {elapsed:?}");
        assert!(outcome.is_whole(b"hello"), "{case}: {:?}", outcome.result);
    });
}

#[test]
fn a_server_that_stops_in_the_body_is_past_the_idle_deadline() {
    let config = ClientConfig::default().with_body_timeout(Duration::from_millis(200));
    let serve = |mut socket: Socket| {
        socket.write(b"Content-Length: 100\r\n\r\nfour");
        socket.wait_for_close();
    };
    each(config, 10, serve, |outcome, _, case, _| {
        assert_eq!(outcome.body.as_deref(), Some(&b"four"[..]), "{case}");
        let timeout = outcome.timeout();
        assert_eq!(timeout, Some(Timeout::ResponseBody), "{case}: {:?}", outcome.result);
    });
}

#[test]
fn a_body_that_trickles_ends_with_the_whole_call() {
    let config = ClientConfig::default().with_call_timeout(Duration::from_millis(300));
    let serve = |mut socket: Socket| {
        socket.write(OK);
        for _ in 0..40 {
            socket.write(b"x");
            thread::sleep(Duration::from_millis(20));
        }
        socket.wait_for_close();
    };
    each(config, 10, serve, |outcome, elapsed, case, _| {
        let timeout = outcome.timeout();
        assert_eq!(timeout, Some(Timeout::Call), "{case}: {:?}", outcome.result);
        assert!(elapsed >= Duration::from_millis(300), "{case}: {elapsed:?}");
    });
}

/// A server that sends this as its response to each request, whatever it is.
fn scripted(response: &'static [u8]) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("it has one").into();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(response);
        }
    });
    address
}

/// Responses with what their status does not allow.
const BODILESS: [(u16, &[u8]); 3] = [
    (204, b"Status: 204 No Content\r\nContent-Length: 0\r\nX-Kept: 1\r\n\r\n"),
    (205, b"Status: 205 Reset Content\r\nContent-Length: 5\r\nX-Kept: 1\r\n\r\nhello"),
    (205, b"Status: 205 Reset Content\r\nX-Kept: 1\r\n\r\nhello"),
];

#[test]
fn a_backend_drops_what_the_status_does_not_allow() -> io::Result<()> {
    use scgi_tokio::{Backend, Body};
    use tower_service::Service as _;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (status, bytes) in BODILESS {
        let mut backend = Backend::new(scripted(bytes))?;
        let request = axum::http::Request::get("/").body(Body::empty()).expect("a request");
        runtime.block_on(async {
            let response = backend.call(request).await.expect("a response");
            assert_eq!(response.status(), status);
            let headers = response.headers();
            assert_eq!(headers.get("content-length"), None, "{status}");
            assert_eq!(headers["x-kept"], "1", "{status}");
            assert_eq!(response.into_body().collect(100).await.expect("a body"), "");
        });
    }
    Ok(())
}

#[test]
fn a_gateway_drops_what_the_status_does_not_allow() {
    for (status, bytes) in BODILESS {
        let backend = scripted(bytes).to_string();
        let mut command = std::process::Command::new(scgi_tests::programs::scgi());
        command.args(["gateway", "127.0.0.1:0", &backend]);
        let gateway = tool::EchoServer::start_command(command);
        let address = gateway.address.strip_prefix("http://").expect("a URL");
        let mut browser = TcpStream::connect(address).expect("a connection");
        // A second request on the connection: nothing of the first response may be in between.
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n\
            GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        browser.write_all(request).expect("it is sent");
        let mut reply = String::new();
        browser.read_to_string(&mut reply).expect("a reply and a close");
        let begin = format!("HTTP/1.1 {status} ");
        assert!(reply.starts_with(&begin), "{reply}");
        assert_eq!(reply.matches(&begin).count(), 2, "{reply}");
        assert!(!reply.contains("hello"), "{reply}");
        assert!(status != 204 || !reply.to_lowercase().contains("content-length"), "{reply}");
    }
}

#[test]
fn a_blocking_client_looks_at_the_response_between_two_chunks() {
    let (listener, place) = Listener::bind(false);
    let address = place.server();
    thread::spawn(move || {
        let mut stream = listener.accept();
        let _ = stream.read(&mut [0; 100]);
        let _ = stream.write_all(b"Content-Length: 5\r\n\r\nhello");
        stream.shutdown(Shutdown::Write);
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    let chunks = (0..100).map(|_| {
        thread::sleep(Duration::from_millis(50));
        Ok::<_, io::Error>(vec![b'x'; 10].into())
    });
    let body = scgi_blocking::Body::from_chunks(chunks).with_len(1000);
    let start = Instant::now();
    let head = RequestHead::builder("POST", "/").build();
    let client = scgi_blocking::Client::connect(&address).expect("a connection");
    let response = client.request(scgi_blocking::Request::new(head, body)).expect("a response");
    assert_eq!(response.into_body().collect(100).expect("a body"), "hello");
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(3), "after {elapsed:?}, of 5 s for the whole body");
}

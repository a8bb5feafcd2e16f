//! Clients of a server whose queue is full, on each runtime: connecting is late in time, and holds up
//! nothing else.

#![cfg(target_os = "linux")]

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::{Address, ClientConfig, Error, RequestHead, Timeout};

use super::client_flow::{RUNTIMES, call};
use crate::peers::Peer;
use crate::places::{Listener, Place};
use crate::tool;

/// A Unix socket whose queue is full, and what fills it.
struct Full {
    place: Place,
    _listener: Listener,
    _waiting: Vec<Peer>,
}

impl Full {
    fn new() -> Self {
        let (listener, place) = Listener::bind(true);
        let waiting = listener.fill(&place);
        Self { place, _listener: listener, _waiting: waiting }
    }

    fn server(&self) -> Address {
        self.place.server()
    }
}

#[test]
fn a_full_queue_is_past_the_connect_deadline() {
    let full = Full::new();
    let config = ClientConfig::default().with_connect_timeout(Duration::from_millis(200));
    for runtime in RUNTIMES {
        let start = Instant::now();
        let outcome = call(runtime, &full.server(), &config, 10);
        assert_eq!(outcome.timeout(), Some(Timeout::Connect), "{runtime}: {:?}", outcome.result);
        let elapsed = start.elapsed().as_millis();
        assert!((200..5000).contains(&elapsed), "{runtime}: {elapsed} ms");
    }
}

/// A server that answers each request, on a thread.
fn answering() -> Address {
    let address = Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = scgi_blocking::Listener::bind(&address).expect("a listener");
    let address = listener.local_address().expect("it has one");
    let answer = |_: scgi_blocking::Request| scgi_blocking::Response::new("hello");
    thread::spawn(move || scgi_blocking::serve(listener, answer).run());
    address
}

#[test]
fn a_full_queue_does_not_hold_up_the_runtime() -> io::Result<()> {
    let queue = Full::new();
    let full = queue.server();
    let working = answering();
    let config = ClientConfig::default().with_connect_timeout(Duration::from_secs(2));
    macro_rules! both {
        ($adapter:ident) => {
            async {
                use futures_util::future::{Either, select};
                use $adapter::{Body, Client, Request};
                let stuck = Box::pin(Client::connect_with(&full, &config));
                let works = Box::pin(async {
                    let head = RequestHead::builder("GET", "/").build();
                    let client = Client::connect_with(&working, &config).await?;
                    let response = client.request(Request::new(head, Body::empty())).await?;
                    response.into_body().collect(100).await
                });
                match select(stuck, works).await {
                    Either::Left(_) => panic!("the full one has no place"),
                    Either::Right((answer, stuck)) => {
                        assert_eq!(answer.expect("an answer"), "hello");
                        stuck.await.map(drop)
                    }
                }
            }
        };
    }
    let is_late = |result| matches!(result, Err(Error::Timeout(Timeout::Connect)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    assert!(is_late(runtime.block_on(both!(scgi_tokio))));
    assert!(is_late(smol::block_on(both!(scgi_async_std))));
    assert!(is_late(async_std::task::block_on(both!(scgi_async_std))));
    Ok(())
}

#[test]
fn a_backend_that_is_full_is_late_and_another_works_meanwhile() -> io::Result<()> {
    use scgi_tokio::{Backend, Body};
    use tower_service::Service as _;

    let full = Full::new();
    let limit = Duration::from_millis(500);
    let mut stuck = Backend::new(full.server())?.with_connect_timeout(limit);
    let mut works = Backend::new(answering())?;
    let request = || axum::http::Request::get("/").body(Body::empty()).expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stuck = stuck.call(request());
        let response = works.call(request()).await.expect("a response");
        assert_eq!(response.into_body().collect(100).await.expect("a body"), "hello");
        let error = stuck.await.expect_err("it is full");
        let timeout = error.downcast_ref::<Error>();
        assert!(matches!(timeout, Some(Error::Timeout(Timeout::Connect))), "{error:?}");
    });
    Ok(())
}

#[test]
fn the_tool_is_late_at_a_full_queue_on_each_runtime() {
    let full = Full::new();
    let address = full.server().to_string();
    thread::scope(|scope| {
        for runtime in tool::RUNTIMES {
            for (option, text) in [
                ("--connect-timeout", "the server was not connected in time; the server accepts"),
                ("--timeout", "sent no complete response within 300ms"),
            ] {
                let address = &address;
                scope.spawn(move || {
                    let start = Instant::now();
                    let args = ["request", address, option, "300ms", "--runtime", runtime];
                    let run = tool::scgi(args);
                    assert_eq!(run.code, Some(1), "{runtime}, {option}: {}", run.stderr);
                    assert!(run.stderr.contains(text), "{runtime}, {option}: {}", run.stderr);
                    let elapsed = start.elapsed();
                    assert!(elapsed < Duration::from_secs(8), "{runtime}, {option}: {elapsed:?}");
                });
            }
        }
    });
}

#[test]
fn a_proxy_before_a_full_queue_gives_up_in_time_and_stops() {
    let full = Full::new();
    let backend = full.server().to_string();
    let start = |limit: &str| {
        let mut command = std::process::Command::new(scgi_tests::programs::scgi());
        command.args(["proxy", "127.0.0.1:0", &backend, "--connect-timeout", limit]);
        tool::EchoServer::start_command(command)
    };
    let late = start("300ms");
    // More than the proxy has threads.
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let mut front = TcpStream::connect(&late.address).expect("a connection");
                front.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
                let error = front.read(&mut [0]).expect_err("it is reset");
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            });
        }
    });
    // One that still tries stops as soon as it is asked to.
    let stuck = start("1h");
    let _fronts: Vec<_> =
        (0..12).map(|_| TcpStream::connect(&stuck.address).expect("a connection")).collect();
    thread::sleep(Duration::from_millis(200));
    for proxy in [late, stuck] {
        proxy.signal(rustix::process::Signal::TERM);
        let (code, said) = proxy.wait();
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn a_gateway_before_a_full_queue_answers_504_to_each_and_stops() {
    let full = Full::new();
    let backend = full.server().to_string();
    let args = ["gateway", "127.0.0.1:0", &backend, "--connect-timeout", "500ms"];
    let mut command = std::process::Command::new(scgi_tests::programs::scgi());
    command.args(args);
    let gateway = tool::EchoServer::start_command(command);
    let address = gateway.address.strip_prefix("http://").expect("a URL");
    // More than the gateway has threads.
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let mut browser = TcpStream::connect(address).expect("a connection");
                let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
                browser.write_all(request).expect("it is sent");
                let mut reply = String::new();
                browser.read_to_string(&mut reply).expect("a reply and a close");
                assert!(reply.starts_with("HTTP/1.1 504 "), "{reply}");
            });
        }
    });
    gateway.signal(rustix::process::Signal::TERM);
    let (code, said) = gateway.wait();
    assert_eq!(code, Some(0), "{said}");
}

//! Uploads that take longer than the head timeout, through `Backend` and `scgi gateway`: while bytes
//! flow, the response is not late.

#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::unfold;
use scgi_proto::Address;
use scgi_tests::programs;
use scgi_tokio::{Backend, Body};
use tokio::runtime::Builder;
use tower_service::Service as _;

use crate::tool;

const CHUNK: usize = 20_000;
const PAUSE: Duration = Duration::from_millis(100);

/// So many chunks take so long.
fn chunks(time: Duration) -> usize {
    (time.as_millis() / PAUSE.as_millis()) as usize
}

/// A server that answers with how much it got, after it has got all.
fn server() -> Address {
    let address = Address::from(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = scgi_blocking::Listener::bind(&address).expect("a listener");
    let address = listener.local_address().expect("it has one");
    let count = |request: scgi_blocking::Request| {
        let (mut body, mut len) = (request.into_body(), 0);
        while let Some(chunk) = body.chunk()? {
            len += chunk.len();
        }
        Ok::<_, scgi_blocking::Error>(scgi_blocking::Response::new(format!("{len} bytes")))
    };
    thread::spawn(move || scgi_blocking::serve(listener, count).run());
    address
}

/// Uploads through `Backend`, which may have another head timeout than the default.
fn through_backend(time: Duration, head_timeout: Option<Duration>) {
    let count = chunks(time);
    let mut backend = Backend::new(server()).expect("a backend");
    if let Some(timeout) = head_timeout {
        backend = backend.with_head_timeout(timeout);
    }
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let body = Body::from_stream(unfold(0, move |sent| async move {
        tokio::time::sleep(PAUSE).await;
        let chunk = Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; CHUNK]));
        (sent < count).then_some((chunk, sent + 1))
    }));
    let body = body.with_len((count * CHUNK) as u64);
    let request = axum::http::Request::post("/").body(body).expect("a request");
    let begun = Instant::now();
    let response = runtime.block_on(async {
        let response = backend.call(request).await.expect("a response");
        response.into_body().collect(100).await.expect("a body")
    });
    assert_eq!(response, format!("{} bytes", count * CHUNK));
    assert!(begun.elapsed() >= time);
    println!("Backend: {} bytes in {:?}", count * CHUNK, begun.elapsed());
}

/// Uploads through the gateway, with these options.
fn through_gateway(time: Duration, options: &[&str]) {
    let count = chunks(time);
    let mut command = Command::new(programs::scgi());
    command.args(["gateway", "127.0.0.1:0", &server().to_string()]).args(options);
    let gateway = tool::EchoServer::start_command(command);
    let address = gateway.address.strip_prefix("http://").expect("a URL");
    let mut browser = TcpStream::connect(address).expect("a connection");
    let length = count * CHUNK;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let begun = Instant::now();
    browser.write_all(head.as_bytes()).expect("it is sent");
    for _ in 0..count {
        thread::sleep(PAUSE);
        browser.write_all(&[b'x'; CHUNK]).expect("it is sent");
    }
    let mut reply = String::new();
    browser.read_to_string(&mut reply).expect("a reply and a close");
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert!(reply.contains(&format!("{length} bytes")), "{reply}");
    assert!(begun.elapsed() >= time);
    println!("scgi gateway: {length} bytes in {:?}", begun.elapsed());
}

/// At the same time, as both mostly wait.
fn both(time: Duration, head_timeout: Option<Duration>, options: &[&str]) {
    thread::scope(|scope| {
        scope.spawn(|| through_backend(time, head_timeout));
        through_gateway(time, options);
    });
}

#[test]
fn an_upload_may_take_longer_than_the_head_timeout() {
    let timeout = Duration::from_secs(2);
    both(2 * timeout, Some(timeout), &["--head-timeout", "2s"]);
}

#[test]
#[ignore = "takes three minutes: .ci/heavy flow"]
fn an_upload_of_three_minutes_with_the_defaults() {
    both(Duration::from_secs(185), None, &[]);
}

//! Bodies of 64 MiB, in and out: memory stays flat. Alone in its process, to be measured.
#![cfg(target_os = "linux")]

use std::fs;
use std::io;

use bytes::Bytes;
use scgi_blocking::{
    Address, Body, Client, Error, Listener, Request, RequestHead, Response, serve,
};

const LEN: u64 = 64 << 20;

/// Peak of resident memory in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn body() -> Body {
    let chunks = std::iter::repeat_n(Bytes::from_static(&[b'x'; 65_536]), (LEN / 65_536) as usize);
    Body::from_chunks(chunks.map(Ok::<_, io::Error>)).with_len(LEN)
}

fn count(body: Body) -> Result<u64, Error> {
    body.into_iter().map(|chunk| chunk.map(|chunk| chunk.len() as u64)).sum()
}

fn answer(request: Request) -> Result<Response, Error> {
    let (head, request_body) = request.into_parts();
    Ok(match head.method() {
        Some(b"GET") => Response::new(body()),
        Some(b"PUT") => Response::new(request_body),
        _ => Response::new(count(request_body)?.to_string()),
    })
}

fn exchange(address: &Address, method: &str, body: Body) -> Result<Body, Error> {
    let head = RequestHead::builder(method, "/").build();
    Ok(Client::connect(address)?.request(Request::new(head, body))?.into_body())
}

#[test]
fn memory_is_flat() -> Result<(), Error> {
    let listener = Listener::bind("127.0.0.1:0")?;
    let address = listener.local_address()?;
    let server = serve(listener, answer);
    let shutdown = server.shutdown_handle();
    let thread = std::thread::spawn(|| server.run());
    exchange(&address, "POST", Body::from("warm"))?.discard()?;

    let before = peak();
    let text = exchange(&address, "POST", body())?.collect(100)?;
    assert_eq!(text, LEN.to_string());
    assert_eq!(count(exchange(&address, "GET", Body::empty())?)?, LEN);
    assert_eq!(count(exchange(&address, "PUT", body())?)?, LEN);
    let grown = peak() - before;
    assert!(grown < 2048, "{grown} KiB more");
    shutdown.stop();
    assert_eq!(thread.join().expect("no panic")?.served, 4);
    Ok(())
}

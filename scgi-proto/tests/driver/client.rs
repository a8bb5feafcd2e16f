//! The client side.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use scgi_proto::driver::{Body, Client, Source};
use scgi_proto::{
    ClientConfig, DecodeError, EncodeError, Error, Request, RequestEvent, RequestHead,
    ResponseEvent,
};

use crate::script::{Read, Script, finish, poll};

const REPLY: Read = Read::Bytes(b"Status: 200 OK\r\nContent-Length: 5\r\n\r\nhel");

fn client(script: &Script) -> Client<Script, Script> {
    Client::new(script.clone(), script.clone(), &ClientConfig::default())
}

fn request(body: impl Into<Body>) -> Request<Body> {
    Request::new(RequestHead::builder("POST", "/").build(), body)
}

/// A body of a hundred chunks that counts how many were taken.
struct Counting {
    chunk: Bytes,
    taken: Arc<AtomicUsize>,
}

impl Source for Counting {
    fn poll_chunk(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self.taken.fetch_add(1, Ordering::Relaxed) {
            100 => Poll::Ready(None),
            _ => Poll::Ready(Some(Ok(self.chunk.clone()))),
        }
    }
}

/// Of chunks of `len` bytes.
fn counting(len: usize) -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::<AtomicUsize>::default();
    let source = Counting { chunk: vec![b'x'; len].into(), taken: Arc::clone(&taken) };
    (Body::from_source(source, Some(100 * len as u64)), taken)
}

#[test]
fn a_whole_call() {
    let script = Script::new([Read::Wait, REPLY, Read::Wait, Read::Bytes(b"lo"), Read::End]);
    let response =
        finish(client(&script).request(request("hi"), script.clone())).expect("a response");
    assert!(script.written().ends_with(",hi"), "{}", script.written());
    assert_eq!(script.flushed(), 1, "a stream may hold back what it took");
    let body = response.into_body();
    assert_eq!(body.len(), Some(5));
    assert_eq!(finish(body.collect(10)).expect("the body"), "hello");
}

#[test]
fn a_response_that_has_come_whole_needs_its_connection_no_more() {
    let script = Script::new([REPLY, Read::Bytes(b"lo")]);
    let response =
        finish(client(&script).request(request("hi"), script.clone())).expect("a response");
    assert!(!script.is_dropped(), "some of the body is missing");
    drop(response);
    assert!(script.is_dropped());
    let script = Script::new([Read::Bytes(b"Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello")]);
    let response =
        finish(client(&script).request(request("hi"), script.clone())).expect("a response");
    assert!(script.is_dropped());
    let body = response.into_body();
    assert_eq!(body.len(), Some(5));
    assert_eq!(finish(body.collect(10)).expect("the body"), "hello");
}

#[test]
fn a_request_that_is_held_back_keeps_its_connection_although_the_response_is_there() {
    let script = Script::new([Read::Bytes(b"Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello")]);
    script.let_flush_wait(true);
    let response =
        finish(client(&script).request(request("hi"), script.clone())).expect("a response");
    assert!(!script.is_dropped());
    script.let_flush_wait(false);
    assert_eq!(finish(response.into_body().collect(10)).expect("the body"), "hello");
    assert_eq!(script.flushed(), 1);
}

#[test]
fn a_head_is_read_into_memory_that_is_shared_and_a_body_to_where_it_stays() {
    let head = Read::Bytes(b"Status: 200 OK\r\nContent-Length: 100000\r\n\r\n");
    let script = Script::new([Read::Wait, head]);
    let response =
        finish(client(&script).request(request("hi"), script.clone())).expect("a response");
    assert_eq!(script.read_room(), 16 * 1024);
    let mut body = response.into_body();
    assert!(poll(pin!(poll_fn(|cx| body.poll_chunk(cx)))).is_pending());
    assert_eq!(script.read_room(), 64 * 1024);
}

#[test]
fn one_piece_after_the_other() {
    let script = Script::new([]);
    let mut client = client(&script);
    let flush = |client: &mut Client<Script, Script>| {
        finish(poll_fn(|cx| client.poll_flush(cx))).expect("it is taken");
    };
    let head = RequestHead::builder("POST", "/").content_length(4).build();
    client.send(RequestEvent::Head(head)).expect("a legal head");
    flush(&mut client);
    assert_eq!(script.written(), "", "the head waits for the first chunk");
    client.flush();
    flush(&mut client);
    assert!(script.written().ends_with(','));
    let too_long = client.send(RequestEvent::Body("hello".into()));
    assert_eq!(too_long, Err(EncodeError::BodyTooLong { excess: 1 }));
    client.send(RequestEvent::Body("hell".into())).expect("as long as said");
    flush(&mut client);
    assert!(script.written().ends_with(",hell"));
    client.send(RequestEvent::End).expect("all of it");
    script.then([REPLY, Read::Fails(ErrorKind::Interrupted), Read::Bytes(b"lo"), Read::End]);
    let mut events = Vec::new();
    while let Some(event) = finish(poll_fn(|cx| client.poll_next_event(cx))).expect("legal") {
        events.push(event);
    }
    let [ResponseEvent::Head(_), ResponseEvent::Body(hel), ResponseEvent::Body(lo), end] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((&hel[..], &lo[..], end), (&b"hel"[..], &b"lo"[..], &ResponseEvent::End));
}

#[test]
fn a_stream_that_fails() {
    let script = Script::new([Read::Fails(ErrorKind::ConnectionReset), REPLY]);
    match finish(client(&script).request(request("hi"), script.clone())) {
        Err(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn small_chunks_leave_together() {
    let (body, _) = counting(1000);
    let script = Script::new([Read::Wait, Read::Wait, Read::Wait, REPLY, Read::Bytes(b"lo")]);
    finish(client(&script).request(request(body), script.clone())).expect("a response");
    let writes = script.done().len();
    assert_eq!(writes, 100_usize.div_ceil(17), "of 16 KiB and what is over");
}

#[test]
fn the_body_goes_on_while_the_response_comes() {
    let (body, taken) = counting(5000);
    let script = Script::new([REPLY, Read::Wait, Read::Bytes(b"lo"), Read::End]);
    script.take_at_most(None);
    let response =
        finish(client(&script).request(request(body), script.clone())).expect("an early response");
    assert_eq!(taken.load(Ordering::Relaxed), 1, "no more than can be sent");
    script.take_at_most(Some(64));
    assert_eq!(finish(response.into_body().collect(10)).expect("the body"), "hello");
    assert_eq!(taken.load(Ordering::Relaxed), 101);
}

#[test]
fn a_server_that_answers_early_and_closes() {
    let (body, taken) = counting(5000);
    let script = Script::new([REPLY, Read::Bytes(b"lo"), Read::End]);
    script.fail_next_write(ErrorKind::BrokenPipe);
    let response =
        finish(client(&script).request(request(body), script.clone())).expect("a response");
    assert_eq!(finish(response.into_body().collect(10)).expect("the body"), "hello");
    assert_eq!(taken.load(Ordering::Relaxed), 1, "nobody takes the rest");
}

#[test]
fn without_a_response_the_failed_write_says_more() {
    let script = Script::new([Read::End]);
    script.fail_next_write(ErrorKind::BrokenPipe);
    match finish(client(&script).request(request("hi"), script.clone())) {
        Err(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
        other => panic!("{other:?}"),
    }
    let script = Script::new([Read::End]);
    script.fail_next_flush(ErrorKind::BrokenPipe);
    match finish(client(&script).request(request("hi"), script.clone())) {
        Err(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
        other => panic!("{other:?}"),
    }
    // A response that is there and wrong says more still.
    let script = Script::new([Read::Bytes(b"no colon\n\n")]);
    script.fail_next_write(ErrorKind::BrokenPipe);
    let result = finish(client(&script).request(request("hi"), script.clone()));
    assert!(matches!(result, Err(Error::Decode(DecodeError::InvalidField { .. }))), "{result:?}");
    let script = Script::new([Read::End]);
    let result = finish(client(&script).request(request("hi"), script.clone()));
    assert!(matches!(result, Err(Error::Decode(DecodeError::NoResponse))), "{result:?}");
}

#[test]
fn a_source_that_is_too_short() {
    let script = Script::new([]);
    let (body, _) = counting(10);
    let result = finish(client(&script).request(request(body.with_len(1001)), script.clone()));
    assert!(matches!(result, Err(Error::Encode(_))), "{result:?}");
}

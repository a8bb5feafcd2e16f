//! Requests and their bodies.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::pin;

use scgi_proto::driver::{Advice, Body};
use scgi_proto::{BoxError, DecodeError, Error, Request, Response};

use super::{GET, HELLO, POST, connection, echo, echo_body, hello, never, wrote};
use crate::script::{Done, Read, Script, finish, poll};

#[test]
fn a_body_comes_in_any_pieces() {
    let rest = [Read::Wait, Read::Bytes(b"cde"), Read::Fails(ErrorKind::Interrupted), Read::Wait];
    let script = Script::new([POST].into_iter().chain(rest).chain([Read::Bytes(b"fghi")]));
    script.take_at_most(Some(7));
    assert!(finish(connection(&script).answer(echo)).is_ok());
    assert_eq!(script.written(), "Status: 200 OK\r\nContent-Length: 9\r\n\r\nabcdefghi");
}

#[test]
fn a_handler_that_waits_for_its_body_is_polled_once_for_each_chunk() {
    let chunks = [Read::Wait, Read::Bytes(b"cde"), Read::Wait, Read::Bytes(b"fghi")];
    let script = Script::new([POST].into_iter().chain(chunks));
    let mut polled = 0;
    let counts = async |request| {
        let mut echo = pin!(echo(request));
        poll_fn(|cx| {
            polled += 1;
            echo.as_mut().poll(cx)
        })
        .await
    };
    assert!(finish(connection(&script).answer(counts)).is_ok());
    assert!(script.written().ends_with("abcdefghi"));
    assert_eq!(polled, 4, "at first, with each of two chunks, and at the end");
}

#[test]
fn a_body_is_read_only_on_demand() {
    let script = Script::new([POST, Read::Bytes(b"cdefghi")]);
    let mut connection = connection(&script);
    let mut answer = pin!(connection.answer(never));
    assert!(poll(answer.as_mut()).is_pending());
    assert_eq!(script.reads_left(), 1);
}

#[test]
fn a_connection_that_waits_for_its_body_does_not_hold_what_its_head_took() {
    let block = format!("CONTENT_LENGTH\x009\x00SCGI\x001\x00A\x00{}\x00", "a".repeat(200_000));
    let head = format!("{}:{block},", block.len()).leak().as_bytes();
    let script = Script::new(head.chunks(10_000).map(Read::Bytes));
    let mut connection = connection(&script);
    let keeps_the_body = async |request: Request<Body>| echo_body(request.into_body()).await;
    let mut answer = pin!(connection.answer(keeps_the_body));
    let counted = allocation_counter::measure(|| assert!(poll(answer.as_mut()).is_pending()));
    assert_eq!(script.reads_left(), 0);
    assert!(counted.bytes_max > 200_000 && counted.bytes_current < 20_000, "{counted:?}");
}

#[test]
fn an_upload_that_flows_allocates_as_much_as_a_short_one() {
    let upload = |chunks: usize| {
        const CHUNK: &[u8] = &[b'x'; 64 * 1024];
        let block = format!("CONTENT_LENGTH\x00{}\x00SCGI\x001\x00", chunks * CHUNK.len());
        let head = format!("{}:{block},", block.len()).leak().as_bytes();
        let chunks = [Read::Wait, Read::Bytes(CHUNK)].into_iter().cycle().take(2 * chunks);
        let script = Script::new([Read::Bytes(head)].into_iter().chain(chunks));
        let mut connection = connection(&script);
        let discards = async |request: Request<Body>| {
            request.into_body().discard().await?;
            Ok::<_, BoxError>(Response::new("hello"))
        };
        let mut answer = pin!(connection.answer(discards));
        let counted = allocation_counter::measure(|| {
            assert!((0..5000).any(|_| poll(answer.as_mut()).is_ready()));
        });
        assert_eq!((script.reads_left(), script.done()), (0, vec![wrote(HELLO)]));
        (counted.count_total, counted.bytes_max)
    };
    upload(1);
    assert_eq!(upload(2), upload(1000));
}

#[test]
fn an_unread_body_is_read_away_after_the_reply() {
    let script = Script::new([POST, Read::Bytes(b"cdef"), Read::End]);
    assert!(finish(connection(&script).answer(hello)).is_ok());
    assert_eq!(script.done(), [wrote(HELLO), Done::ShutDown]);
    assert_eq!(script.reads_left(), 0);
}

#[test]
fn a_peer_that_leaves_cancels_the_handler() {
    let script = Script::new([GET, Read::Wait, Read::End]);
    assert!(matches!(finish(connection(&script).answer(never)), Err(Error::Closed)));
    assert_eq!(script.done(), [Done::Advised(Advice::ResetOnClose)]);
}

#[test]
fn malformed_and_absent_requests() {
    let script = Script::new([Read::Bytes(b"GET / HTTP/1.1\r\n"), Read::End]);
    let result = finish(connection(&script).answer(hello));
    assert!(matches!(result, Err(Error::Decode(DecodeError::NotScgi { .. }))), "{result:?}");
    assert!(script.written().starts_with("HTTP/1.1 400 Bad Request\r\n"));

    let script = Script::new([Read::End]);
    assert!(finish(connection(&script).answer(hello)).is_ok());
    assert_eq!(script.done(), []);

    let script = Script::new([Read::Fails(ErrorKind::ConnectionReset)]);
    assert!(matches!(finish(connection(&script).answer(hello)), Err(Error::Io(_))));
}

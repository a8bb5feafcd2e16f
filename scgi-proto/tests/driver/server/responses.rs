//! Replies, whole and in pieces.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use scgi_proto::driver::{Advice, Body, Connection, Source};
use scgi_proto::{
    BoxError, EncodeError, Error, Request, RequestEvent, Response, ResponseEvent, ResponseHead,
    Status,
};

use super::{GET, HELLO, POST, connection, hello, wrote};
use crate::script::{Done, Read, Script, finish, finish_polled, poll};

#[test]
fn a_request_takes_one_write_and_closes() {
    let script = Script::new([GET]);
    assert!(finish(connection(&script).answer(hello)).is_ok());
    assert_eq!(script.done(), [wrote(HELLO)]);
}

#[test]
fn the_head_and_a_large_chunk_leave_in_one_write_though_they_are_not_copied_together() {
    let script = Script::new([GET]);
    let large = "x".repeat(64 * 1024);
    let answer =
        async |_: Request<Body>| Ok::<_, BoxError>(Response::new(Body::from(large.clone())));
    assert!(finish(connection(&script).answer(answer)).is_ok());
    let head = "Status: 200 OK\r\nContent-Length: 65536\r\n\r\n";
    assert_eq!(script.done(), [wrote(&format!("{head}{large}"))]);
}

#[test]
fn one_piece_after_the_other() {
    let script = Script::new([POST]);
    let mut connection = connection(&script);
    let next = |connection: &mut Connection<Script, Script>| {
        poll(pin!(poll_fn(|cx| connection.poll_next_event(cx))))
    };
    let flush = |connection: &mut Connection<Script, Script>| {
        finish(poll_fn(|cx| connection.poll_flush(cx))).expect("a peer that takes it");
    };
    let Poll::Ready(Ok(Some(RequestEvent::Head(_)))) = next(&mut connection) else { panic!() };
    connection.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).expect("legal");
    let twice = connection.send(ResponseEvent::Head(ResponseHead::new(Status::OK)));
    assert_eq!(twice, Err(EncodeError::AlreadySent));
    flush(&mut connection);
    assert_eq!(script.written(), "", "the head waits for the first chunk");
    connection.flush();
    flush(&mut connection);
    assert_eq!(script.written(), "Status: 200 OK\r\n\r\n");
    let Poll::Ready(Ok(Some(RequestEvent::Body(ab)))) = next(&mut connection) else { panic!() };
    assert_eq!(ab, "ab");
    assert!(next(&mut connection).is_pending());
    script.then([Read::Bytes(b"cdefghi")]);
    let Poll::Ready(Ok(Some(RequestEvent::Body(rest)))) = next(&mut connection) else { panic!() };
    assert_eq!(rest, "cdefghi");
    connection.send(ResponseEvent::Body(rest)).expect("legal");
    connection.send(ResponseEvent::End).expect("legal");
    assert!(finish(poll_fn(|cx| connection.poll_finish(cx))).is_ok());
    assert!(script.written().ends_with("\r\n\r\ncdefghi"));
    assert!(!script.done().contains(&Done::ShutDown), "nothing is left to be read");
}

#[test]
fn a_connection_that_fails_on_purpose() {
    let script = Script::new([GET]);
    let mut connection = connection(&script);
    let event = finish(poll_fn(|cx| connection.poll_next_event(cx)));
    assert!(matches!(event, Ok(Some(RequestEvent::Head(_)))));
    connection.fail(Status::NOT_FOUND);
    assert!(finish(poll_fn(|cx| connection.poll_finish(cx))).is_ok());
    assert!(script.written().starts_with("Status: 404 Not Found\r\n"));
}

#[test]
fn failed_handlers() {
    async fn fails(_: Request<Body>) -> Result<Response<Body>, BoxError> {
        Err("no".into())
    }
    async fn panics(_: Request<Body>) -> Result<Response<Body>, BoxError> {
        panic!("on purpose")
    }
    async fn splits(_: Request<Body>) -> Result<Response<Body>, BoxError> {
        Ok(Response::new("").with_field("A", "b\r\nC: d"))
    }
    async fn too_few(_: Request<Body>) -> Result<Response<Body>, BoxError> {
        Ok(Response::new("hello").with_field("Content-Length", "9"))
    }
    fn outcome<R>(answer: impl Future<Output = Result<R, Error>>, script: &Script) {
        assert!(finish(answer).is_ok());
        assert!(script.written().starts_with("Status: 500 Internal Server Error\r\n"));
    }
    let script = Script::new([GET]);
    outcome(connection(&script).answer(fails), &script);
    let script = Script::new([GET]);
    outcome(connection(&script).answer(panics), &script);
    let script = Script::new([GET]);
    outcome(connection(&script).answer(splits), &script);
    let script = Script::new([GET]);
    outcome(connection(&script).answer(too_few), &script);
}

/// A body of one chunk, a wait, and an end or an error.
struct Halting {
    polls: usize,
    fails: bool,
}

impl Source for Halting {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.polls += 1;
        match self.polls {
            1 => Poll::Ready(Some(Ok("one".into()))),
            2 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ if self.fails => Poll::Ready(Some(Err(Error::Body("no more".into())))),
            _ => Poll::Ready(None),
        }
    }
}

fn halting(fails: bool) -> Response<Body> {
    Response::new(Body::from_source(Halting { polls: 0, fails }, None))
}

/// A body whose chunks are there.
struct Flowing(std::vec::IntoIter<String>);

impl Source for Flowing {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        Poll::Ready(self.0.next().map(|chunk| Ok(chunk.into())))
    }
}

/// What is done for a reply of these chunks.
fn flow(chunks: impl IntoIterator<Item = String>) -> Vec<Done> {
    let script = Script::new([GET]);
    let chunks = Vec::from_iter(chunks);
    let streams = async |_: Request<Body>| {
        let body = Body::from_source(Flowing(chunks.clone().into_iter()), None);
        Ok::<_, BoxError>(Response::new(body))
    };
    assert!(finish(connection(&script).answer(streams)).is_ok());
    script.done()
}

#[test]
fn a_streamed_reply_leaves_piece_by_piece() {
    let pieces = ["a", "b", "c"].map(|text| text.repeat(5000));
    let [a, b, c] = pieces.each_ref().map(|piece| wrote(piece));
    let Done::Wrote(a) = a else { panic!("{a:?}") };
    let first = wrote(&format!("Status: 200 OK\r\n\r\n{a}"));
    // The first leaves in any case, and one is reported once.
    assert_eq!(flow(pieces), [first, Done::Advised(Advice::SendAtOnce), b, c]);
}

#[test]
fn small_pieces_that_are_there_leave_together() {
    let head = "Status: 200 OK\r\n\r\n";
    let done = flow(["one", "two", "three"].map(String::from));
    assert_eq!(done, [wrote(&format!("{head}onetwothree"))]);

    let done = flow((0..100).map(|_| "x".repeat(1000)));
    let lens = done.iter().filter_map(|done| match done {
        Done::Wrote(bytes) => Some(bytes.len()),
        _ => None,
    });
    let lens = Vec::from_iter(lens);
    assert_eq!(lens[..2], [head.len() + 17_000, 17_000], "16 KiB and what is over");
    assert_eq!(lens.iter().sum::<usize>(), head.len() + 100_000);
}

/// A body whose chunks are there or must be waited for.
struct Steps(std::vec::IntoIter<Poll<&'static str>>);

impl Source for Steps {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        match self.0.next() {
            Some(Poll::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(chunk) => chunk.map(|chunk| Some(Ok(chunk.into()))),
            None => Poll::Ready(None),
        }
    }
}

#[test]
fn a_reply_that_is_given_up_is_reset_although_its_end_was_queued() {
    for is_late in [false, true] {
        let script = Script::new([GET]);
        let mut connection = connection(&script);
        let streams = async |_: Request<Body>| {
            let steps = vec![Poll::Ready("one"), Poll::Pending, Poll::Ready("two")].into_iter();
            Ok::<_, BoxError>(Response::new(Body::from_source(Steps(steps), None)))
        };
        {
            let mut answer = pin!(connection.answer(streams));
            assert!(poll(answer.as_mut()).is_pending());
            script.take_at_most(None);
            assert!(poll(answer.as_mut()).is_pending(), "nobody takes the end");
            if is_late {
                script.pass(10_000);
                let late = poll(answer.as_mut());
                assert!(matches!(late, Poll::Ready(Err(Error::Timeout(_)))), "{late:?}");
            }
        }
        drop(connection);
        assert!(script.written().ends_with("one"));
        assert!(script.was_advised(Advice::ResetOnClose), "{is_late}");
    }
}

#[test]
fn a_reply_of_one_piece_costs_no_advice() {
    let script = Script::new([GET]);
    let streams = async |_: Request<Body>| Ok::<_, BoxError>(halting(false));
    assert!(finish(connection(&script).answer(streams)).is_ok());
    assert_eq!(script.done(), [wrote("Status: 200 OK\r\n\r\none")]);
}

#[test]
fn a_stream_that_holds_back_what_it_took_is_flushed_for_each_piece() {
    let script = Script::new([GET]);
    let streams = async |_: Request<Body>| Ok::<_, BoxError>(halting(false));
    let mut connection = connection(&script);
    let mut answer = pin!(connection.answer(streams));
    assert!(poll(answer.as_mut()).is_pending());
    assert_eq!((&*script.written(), script.flushed()), ("Status: 200 OK\r\n\r\none", 1));
    assert!(finish_polled(answer).is_ok());
    assert_eq!(script.flushed(), 1, "nothing came after it");
}

#[test]
fn a_source_that_fails_breaks_the_reply() {
    let script = Script::new([GET]);
    let streams = async |_: Request<Body>| Ok::<_, BoxError>(halting(true));
    assert!(finish(connection(&script).answer(streams)).is_ok());
    assert!(script.was_advised(Advice::ResetOnClose));
}

#[test]
fn writes_that_fail() {
    let script = Script::new([GET]);
    script.fail_next_write(ErrorKind::Interrupted);
    assert!(finish(connection(&script).answer(hello)).is_ok());

    let script = Script::new([GET]);
    script.take_at_most(Some(0));
    match finish(connection(&script).answer(hello)) {
        Err(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::WriteZero),
        other => panic!("{other:?}"),
    }

    let script = Script::new([GET]);
    script.fail_next_flush(ErrorKind::BrokenPipe);
    match finish(connection(&script).answer(hello)) {
        Err(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_can_be_shown() {
    let shown = format!("{:?}", connection(&Script::new([])));
    assert!(shown.starts_with("Connection { "), "{shown}");
}

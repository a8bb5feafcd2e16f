//! What ends a wait.

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use scgi_proto::driver::{Advice, Body, Connection, Source};
use scgi_proto::{
    BoxError, ConnectionConfig, Error, Request, RequestEvent, Response, ResponseEvent,
    ResponseHead, Status, Timeout,
};

use super::{GET, POST, connection, echo, hello, never};
use crate::script::{Read, Script, finish, finish_polled, poll};

/// Polls `answer` until it waits, lets time pass, and gives its result.
fn late<R: std::fmt::Debug>(
    script: &Script,
    answer: impl Future<Output = Result<R, Error>>,
    seconds: u64,
) -> Timeout {
    let mut answer = pin!(answer);
    assert!(poll(answer.as_mut()).is_pending());
    script.pass(seconds - 1);
    assert!(poll(answer.as_mut()).is_pending(), "before its time");
    script.pass(1);
    let result = match poll(answer.as_mut()) {
        Poll::Ready(result) => result,
        Poll::Pending => {
            // The reply was sent; the peer closes.
            script.then([Read::End]);
            finish_polled(answer)
        }
    };
    match result {
        Err(Error::Timeout(timeout)) => timeout,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_body_timeout_of_zero_does_not_wait() {
    let config = ConnectionConfig::default().with_body_timeout(Duration::ZERO);
    // What is there is read.
    let script = Script::new([POST, Read::Bytes(b"cdefghi")]);
    let mut connection = Connection::new(script.clone(), script.clone(), &config);
    assert!(finish(connection.answer(echo)).is_ok());
    let script = Script::new([POST]);
    let mut connection = Connection::new(script.clone(), script.clone(), &config);
    let mut answer = pin!(connection.answer(echo));
    assert!(poll(answer.as_mut()).is_pending(), "the peer may still send what is drained");
    script.then([Read::Bytes(b"cdefghi"), Read::End]);
    let _ = finish_polled(answer);
    assert!(script.written().starts_with("Status: 408 Request Timeout\r\n"));
}

#[test]
fn deadlines() {
    let script = Script::new([Read::Bytes(b"24:CONT")]);
    let timeout = late(&script, connection(&script).answer(hello), 10);
    assert_eq!(timeout, Timeout::Head);
    assert!(script.written().starts_with("Status: 408 Request Timeout\r\n"));

    let script = Script::new([GET]);
    script.take_at_most(None);
    let timeout = late(&script, connection(&script).answer(hello), 60);
    assert_eq!(timeout, Timeout::Write);
    assert!(script.was_advised(Advice::ResetOnClose));
}

#[test]
fn the_rest_of_a_body_is_not_waited_for_longer_than_the_drain() {
    let script = Script::new([POST]);
    let mut connection = connection(&script);
    let mut answer = pin!(connection.answer(hello));
    assert!(poll(answer.as_mut()).is_pending());
    script.pass(5);
    assert!(matches!(poll(answer.as_mut()), Poll::Ready(Ok(None))));
}

#[test]
fn a_flush_that_waits_is_a_write_that_waits() {
    let script = Script::new([POST]);
    let mut connection = connection(&script);
    let event = finish(poll_fn(|cx| connection.poll_next_event(cx)));
    assert!(matches!(event, Ok(Some(RequestEvent::Head(_)))));
    connection.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).expect("legal");
    connection.flush();
    let mut flush = || poll(pin!(poll_fn(|cx| connection.poll_flush(cx))));
    script.let_flush_wait(true);
    assert!(flush().is_pending());
    script.pass(59);
    assert!(flush().is_pending());
    script.let_flush_wait(false);
    assert!(matches!(flush(), Poll::Ready(Ok(()))));
    // Its deadline is over: the next piece may come later.
    script.pass(500);
    assert!(matches!(flush(), Poll::Ready(Ok(()))));
    connection.send(ResponseEvent::Body("x".into())).expect("legal");
    let mut flush = || poll(pin!(poll_fn(|cx| connection.poll_flush(cx))));
    script.let_flush_wait(true);
    assert!(flush().is_pending());
    script.pass(60);
    assert!(matches!(flush(), Poll::Ready(Err(Error::Timeout(Timeout::Write)))));
}

#[test]
fn the_end_of_a_reply_that_is_held_back_has_a_deadline_too() {
    let script = Script::new([GET]);
    let mut connection = connection(&script);
    let answers = async |_: Request<Body>| Ok::<_, BoxError>(Response::new(Body::from("x")));
    let mut answer = pin!(connection.answer(answers));
    script.let_flush_wait(true);
    assert!(poll(answer.as_mut()).is_pending());
    assert!(script.written().ends_with('x'), "all of it was taken");
    script.pass(59);
    assert!(poll(answer.as_mut()).is_pending());
    assert_eq!(late(&script, answer, 1), Timeout::Write);
}

#[test]
fn a_late_body_is_answered_although_the_handler_fails_on_it() {
    let script = Script::new([POST]);
    let mut connection = connection(&script);
    let mut answer = pin!(connection.answer(echo));
    assert!(poll(answer.as_mut()).is_pending());
    script.pass(60);
    assert!(poll(answer.as_mut()).is_pending());
    script.then([Read::End]);
    assert!(finish_polled(answer).is_ok());
    assert!(script.written().starts_with("Status: 408 Request Timeout\r\n"));
}

#[test]
fn each_chunk_gives_the_body_its_time_again() {
    let script = Script::new([POST]);
    let mut connection = connection(&script);
    let mut answer = pin!(connection.answer(echo));
    for chunk in [&b"cd"[..], b"e", b"fg"] {
        assert!(poll(answer.as_mut()).is_pending());
        script.pass(59);
        script.then([Read::Bytes(chunk)]);
    }
    assert!(poll(answer.as_mut()).is_pending());
    script.pass(59);
    script.then([Read::Bytes(b"hi")]);
    assert!(finish_polled(answer).is_ok());
    assert!(script.written().ends_with("\r\n\r\nabcdefghi"), "{}", script.written());
}

#[test]
fn a_body_that_nobody_wants_any_more_is_not_late() {
    let script = Script::new([POST]);
    let mut connection = connection(&script);
    let gives_up = async |mut request: Request<Body>| {
        let mut chunk = pin!(poll_fn(|cx| request.body_mut().poll_chunk(cx)));
        assert!(poll(chunk.as_mut()).is_ready());
        poll_fn(|cx| Poll::Ready(request.body_mut().poll_chunk(cx).is_pending())).await;
        // Waits while the connection reads, and then without the body.
        halt_once().await;
        drop(request);
        pending::<Result<Response<Body>, BoxError>>().await
    };
    let mut answer = pin!(connection.answer(gives_up));
    assert!(poll(answer.as_mut()).is_pending());
    script.pass(50);
    assert!(poll(answer.as_mut()).is_pending());
    script.pass(50);
    assert!(poll(answer.as_mut()).is_pending());
    assert_eq!(script.written(), "", "only the deadline of all is left");
    script.pass(500);
    assert!(poll(answer.as_mut()).is_pending());
    assert!(script.written().starts_with("Status: 503 Service Unavailable\r\n"));
}

/// Waits until it is polled again.
async fn halt_once() {
    let mut polls = 0;
    poll_fn(|_| {
        polls += 1;
        if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[test]
fn what_flows_has_an_end_all_the_same() {
    let script = Script::new([POST, Read::Bytes(b"c"), Read::Bytes(b"d"), Read::Bytes(b"e")]);
    let clock = script.clone();
    let slow = async |mut request: Request<Body>| {
        while let Some(chunk) = poll_fn(|cx| request.body_mut().poll_chunk(cx)).await {
            let _ = chunk?;
            clock.pass(250);
        }
        Ok::<_, BoxError>(Response::new("done"))
    };
    let mut flowing = connection(&script);
    let mut answer = pin!(flowing.answer(slow));
    assert!(poll(answer.as_mut()).is_pending(), "the rest is read away");
    assert!(script.written().starts_with("Status: 503 Service Unavailable\r\n"));
    assert_eq!(script.reads_left(), 0);
    script.then([Read::End]);
    assert!(finish_polled(answer).is_ok());

    let endless = async |len| {
        let script = Script::new([GET]);
        let body = Body::from_source(Endless { script: script.clone(), len }, None);
        let answer = async |_: Request<Body>| Ok::<_, BoxError>(Response::new(body));
        let result = finish(connection(&script).answer(answer));
        assert!(matches!(result, Err(Error::Timeout(Timeout::Request))), "{result:?}");
        script
    };
    assert!(finish(endless(5000)).was_advised(Advice::ResetOnClose));
    // Nothing has left.
    let status = "Status: 503 Service Unavailable\r\n";
    assert!(finish(endless(1)).written().starts_with(status));
}

/// A body without end that takes a second for each chunk.
struct Endless {
    script: Script,
    len: usize,
}

impl Source for Endless {
    fn poll_chunk(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        self.script.pass(1);
        Poll::Ready(Some(Ok(vec![b'x'; self.len].into())))
    }
}

#[test]
fn a_reply_of_which_nothing_was_taken_in_time_is_replaced() {
    let script = Script::new([GET]);
    let clock = script.clone();
    let slow = async |_: Request<Body>| {
        clock.pass(590);
        Ok::<_, BoxError>(Response::new("done"))
    };
    let mut connection = connection(&script);
    let mut answer = pin!(connection.answer(slow));
    script.take_at_most(None);
    assert!(poll(answer.as_mut()).is_pending());
    script.pass(10);
    assert!(poll(answer.as_mut()).is_pending(), "nobody takes the other one either");
    script.take_at_most(Some(usize::MAX));
    let result = finish_polled(answer);
    assert!(matches!(result, Err(Error::Timeout(Timeout::Request))), "{result:?}");
    assert!(script.written().starts_with("Status: 503 Service Unavailable\r\n"));
}

#[test]
fn a_write_side_that_does_not_end_has_a_deadline() {
    let script = Script::new([POST]);
    script.let_shutdown_wait(true);
    let timeout = late(&script, connection(&script).answer(hello), 60);
    assert_eq!(timeout, Timeout::Write);
    assert!(script.was_advised(Advice::ResetOnClose));
}

#[test]
fn a_handler_that_takes_too_long() {
    let script = Script::new([GET]);
    let mut connection = connection(&script);
    let mut answer = pin!(connection.answer(never));
    assert!(poll(answer.as_mut()).is_pending());
    script.pass(600);
    assert!(finish_polled(answer).is_ok());
    assert!(script.written().starts_with("Status: 503 Service Unavailable\r\n"));
}

//! The server side.

use std::future::{pending, poll_fn};
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use scgi_proto::driver::{Advice, Arrival, Body, Connection, FirstPoll, Source};
use scgi_proto::server::Settings;
use scgi_proto::{
    BoxError, Config, DecodeError, EncodeError, Error, Peer, Request, RequestEvent, Response,
    ResponseEvent, ResponseHead, Status, Timeout,
};

use crate::script::{Done, Read, Script, finish, poll};

const GET: Read = Read::Bytes(b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,");
const POST: Read = Read::Bytes(b"24:CONTENT_LENGTH\x009\x00SCGI\x001\x00,ab");
const HELLO: &str = "Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn connection(script: &Script) -> Connection<Script, Script> {
    // The default deadlines: 10 s for the head, 60 s between pieces, 10 minutes for all.
    let config = Config::default()
        .with_head_timeout(Duration::from_secs(10))
        .with_body_timeout(Duration::from_secs(60))
        .with_write_timeout(Duration::from_secs(60))
        .with_request_timeout(Duration::from_secs(600))
        .with_drain_timeout(Duration::from_secs(5));
    let mut connection = Connection::new(script.clone(), script.clone(), &config);
    connection.set_advice(Script::note);
    connection
}

async fn hello(_: Request<Body>) -> Result<Response<Body>, BoxError> {
    Ok(Response::new("hello"))
}

async fn echo(request: Request<Body>) -> Result<Response<Body>, BoxError> {
    echo_body(request.into_body()).await
}

async fn never(_: Request<Body>) -> Result<Response<Body>, BoxError> {
    pending().await
}

fn wrote(text: &str) -> Done {
    Done::Wrote(text.into())
}

/// A body of one chunk, a wait, and an end or an error.
struct Halting {
    polls: usize,
    fails: bool,
}

impl Source for Halting {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.polls += 1;
        match self.polls {
            1 => Poll::Ready(Some(Ok("one".into()))),
            2 => Poll::Pending,
            _ if self.fails => Poll::Ready(Some(Err(Error::Body("no more".into())))),
            _ => Poll::Ready(None),
        }
    }
}

fn halting(fails: bool) -> Response<Body> {
    Response::new(Body::from_source(Halting { polls: 0, fails }, None))
}

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
fn an_unread_body_is_read_away_after_the_reply() {
    let script = Script::new([POST, Read::Bytes(b"cdef"), Read::End]);
    assert!(finish(connection(&script).answer(hello)).is_ok());
    assert_eq!(script.done(), [wrote(HELLO), Done::ShutDown]);
    assert_eq!(script.reads_left(), 0);
}

#[test]
fn the_rest_of_a_body_is_not_waited_for_longer_than_the_drain() {
    let script = Script::new([POST]);
    let mut connection = connection(&script);
    let mut answer = pin!(connection.answer(hello));
    assert!(poll(answer.as_mut()).is_pending());
    script.pass(5);
    assert!(matches!(poll(answer.as_mut()), Poll::Ready(Ok(()))));
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
    fn outcome(answer: impl Future<Output = Result<(), Error>>, script: &Script) {
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

#[test]
fn a_streamed_reply_leaves_piece_by_piece() {
    let script = Script::new([GET]);
    let streams = async |_: Request<Body>| Ok::<_, BoxError>(halting(false));
    assert!(finish(connection(&script).answer(streams)).is_ok());
    let head = "Status: 200 OK\r\n\r\n";
    let done = [wrote(&format!("{head}one")), Done::Advised(Advice::SendAtOnce)];
    assert_eq!(script.done(), done);
}

#[test]
fn a_stream_that_holds_back_what_it_took_is_flushed_for_each_piece() {
    let script = Script::new([GET]);
    let streams = async |_: Request<Body>| Ok::<_, BoxError>(halting(false));
    let mut connection = connection(&script);
    let mut answer = pin!(connection.answer(streams));
    assert!(poll(answer.as_mut()).is_pending());
    assert_eq!((&*script.written(), script.flushed()), ("Status: 200 OK\r\n\r\none", 1));
    assert!(finish(answer).is_ok());
    assert_eq!(script.flushed(), 1, "nothing came after it");
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
fn a_source_that_fails_breaks_the_reply() {
    let script = Script::new([GET]);
    let streams = async |_: Request<Body>| Ok::<_, BoxError>(halting(true));
    assert!(finish(connection(&script).answer(streams)).is_ok());
    assert!(script.was_advised(Advice::ResetOnClose));
}

/// Polls `answer` until it waits, lets time pass, and gives its result.
fn late(script: &Script, answer: impl Future<Output = Result<(), Error>>, seconds: u64) -> Timeout {
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
            finish(answer)
        }
    };
    match result {
        Err(Error::Timeout(timeout)) => timeout,
        other => panic!("{other:?}"),
    }
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
fn a_late_body_is_answered_although_the_handler_fails_on_it() {
    let script = Script::new([POST]);
    let mut connection = connection(&script);
    let mut answer = pin!(connection.answer(echo));
    assert!(poll(answer.as_mut()).is_pending());
    script.pass(60);
    assert!(poll(answer.as_mut()).is_pending());
    script.then([Read::End]);
    assert!(finish(answer).is_ok());
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
    assert!(finish(answer).is_ok());
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

async fn echo_body(body: Body) -> Result<Response<Body>, BoxError> {
    Ok(Response::new(body.collect(100).await?))
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
    assert!(finish(answer).is_ok());

    let script = Script::new([GET]);
    let endless = async |_: Request<Body>| {
        Ok::<_, BoxError>(Response::new(Body::from_source(Endless(script.clone()), None)))
    };
    let result = finish(connection(&script).answer(endless));
    assert!(matches!(result, Err(Error::Timeout(Timeout::Request))), "{result:?}");
    assert!(script.was_advised(Advice::ResetOnClose));
}

/// A body without end that takes a second for each chunk.
struct Endless(Script);

impl Source for Endless {
    fn poll_chunk(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        self.0.pass(1);
        Poll::Ready(Some(Ok("x".into())))
    }
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
    assert!(finish(answer).is_ok());
    assert!(script.written().starts_with("Status: 503 Service Unavailable\r\n"));
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
    assert!(script.written().starts_with("Status: 400 Bad Request\r\n"));

    let script = Script::new([Read::End]);
    assert!(finish(connection(&script).answer(hello)).is_ok());
    assert_eq!(script.done(), []);

    let script = Script::new([Read::Fails(ErrorKind::ConnectionReset)]);
    assert!(matches!(finish(connection(&script).answer(hello)), Err(Error::Io(_))));
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

fn arrival(settings: &Settings, script: &Script) -> Arrival<Script, Script> {
    let admitted = settings.admit(|| Ok(Peer::Unix(None))).expect("everyone may connect");
    Arrival::new(script.clone(), script.clone(), admitted)
}

fn settings() -> Settings {
    let mut settings = Settings::new(8);
    settings.asks_peer = true;
    settings.config = settings.config.with_head_timeout(Duration::from_secs(10));
    settings
}

fn first(arrival: &mut Arrival<Script, Script>) -> Poll<Option<BytesMut>> {
    let mut cx = Context::from_waker(Waker::noop());
    arrival.poll_first(&mut cx, settings().config.head_timeout())
}

#[test]
fn a_server_knows_its_connections() {
    let settings = settings();
    let counters = settings.counters.clone();
    let start = |script: &Script, bytes: &[u8]| {
        let bytes = BytesMut::from(bytes);
        Connection::received(arrival(&settings, script), &settings.config, bytes)
    };
    let script = Script::new([]);
    let mut waiting = start(&script, b"24:");
    let mut answer = Box::pin(waiting.answer(hello));
    assert!(poll(answer.as_mut()).is_pending());
    assert!(counters.evict_oldest());
    assert!(matches!(poll(answer.as_mut()), Poll::Ready(Err(Error::Closed))));
    drop(answer);
    drop(waiting);

    let script = Script::new([]);
    let Read::Bytes(get) = GET else { unreachable!() };
    let mut peer = None;
    let told = async |request: Request<Body>| {
        peer = request.peer();
        Err::<Response<Body>, BoxError>("no".into())
    };
    assert!(finish(start(&script, get).answer(told)).is_ok());
    assert_eq!(peer, Some(Peer::Unix(None)));
    assert_eq!(counters.refused(Status::INTERNAL_SERVER_ERROR), 1);
    assert_eq!((counters.accepted(), counters.active(), counters.evicted()), (2, 0, 1));
    assert_eq!(counters.received(), 3 + get.len() as u64);
}

#[test]
fn what_is_no_request_makes_room_although_its_rest_is_read_away() {
    let settings = settings();
    let script = Script::new([Read::Bytes(b"Host: a\r\n")]);
    let bytes = BytesMut::from("GET / HTTP/1.1\r\n");
    let mut connection = Connection::received(arrival(&settings, &script), &settings.config, bytes);
    let mut answer = Box::pin(connection.answer(hello));
    assert!(poll(answer.as_mut()).is_pending(), "the peer may send more");
    assert!(script.written().starts_with("Status: 400 "));
    assert!(settings.counters.evict_oldest());
    assert!(poll(answer.as_mut()).is_ready());
}

#[test]
fn a_connection_whose_head_has_come_keeps_its_place() {
    let settings = settings();
    let Read::Bytes(post) = POST else { unreachable!() };
    let script = Script::new([]);
    let bytes = BytesMut::from(post);
    let mut connection = Connection::received(arrival(&settings, &script), &settings.config, bytes);
    let mut answer = Box::pin(connection.answer(echo));
    assert!(poll(answer.as_mut()).is_pending(), "it waits for the body");
    assert!(!settings.counters.evict_oldest());
    script.then([Read::Bytes(b"cdefghi")]);
    assert!(poll(answer.as_mut()).is_ready());
    assert!(script.written().ends_with("abcdefghi"));
}

#[test]
fn an_arrival_waits_for_its_first_bytes() {
    let settings = settings();
    let script = Script::new([Read::Wait, Read::Fails(ErrorKind::Interrupted), GET]);
    let mut waiting = arrival(&settings, &script);
    assert!(first(&mut waiting).is_pending());
    let Poll::Ready(Some(bytes)) = first(&mut waiting) else { panic!("they are there") };
    let mut connection = Connection::received(waiting, &settings.config, bytes);
    assert!(finish(connection.answer(hello)).is_ok());
    assert_eq!(script.written(), HELLO);
}

#[test]
fn arrivals_of_which_nothing_comes() {
    for read in [Read::End, Read::Fails(ErrorKind::ConnectionReset)] {
        let script = Script::new([read]);
        assert_eq!(first(&mut arrival(&settings(), &script)), Poll::Ready(None));
    }

    let (settings, script) = (settings(), Script::new([]));
    let mut late = arrival(&settings, &script);
    assert!(first(&mut late).is_pending());
    script.pass(10);
    assert_eq!(first(&mut late), Poll::Ready(None));
    drop(late);

    let mut evicted = arrival(&settings, &Script::new([]));
    assert!(first(&mut evicted).is_pending());
    assert!(settings.counters.evict_oldest());
    assert_eq!(first(&mut evicted), Poll::Ready(None));
}

#[test]
fn a_first_poll_that_panics_is_over() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut place = FirstPoll::new();
    for panics in [true, false] {
        place.begin(async move { assert!(!panics, "on purpose") });
        assert!(place.poll(&mut cx).is_none());
    }
    assert!(place.poll(&mut cx).is_none(), "an empty place");
}

#[test]
fn a_future_that_has_to_wait_goes_on_where_it_was() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut place = FirstPoll::default();
    let mut left = 3;
    place.begin(poll_fn(move |_| {
        left -= 1;
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    }));
    assert_eq!(format!("{place:?}"), "FirstPoll { .. }");
    let mut rest = place.poll(&mut cx).expect("it has to wait");
    assert_eq!(format!("{rest:?}"), "Rest { .. }");
    assert!(poll(Pin::new(&mut rest)).is_pending());
    assert!(poll(Pin::new(&mut rest)).is_ready());
}

#[test]
fn a_connection_can_be_shown() {
    let shown = format!("{:?}", connection(&Script::new([])));
    assert!(shown.starts_with("Connection { "), "{shown}");
}

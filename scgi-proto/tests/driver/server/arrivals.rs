//! Connections that a server has accepted, and their first poll.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use scgi_proto::driver::{Body, Connection, Inline, InlineFuture, PendingConnection};
use scgi_proto::server::ServerConfig;
use scgi_proto::{BoxError, Error, Peer, Request, Response, Status};

use super::{GET, HELLO, POST, echo, hello};
use crate::script::{Read, Script, finish, poll};

fn arrival(settings: &ServerConfig, script: &Script) -> PendingConnection<Script, Script> {
    let admitted = settings.admit(|| Ok(Peer::Unix(None))).expect("everyone may connect");
    PendingConnection::new(script.clone(), script.clone(), admitted)
}

fn settings() -> ServerConfig {
    let mut settings = ServerConfig::new(8);
    settings.asks_peer = true;
    settings.config = settings.config.with_head_timeout(Duration::from_secs(10));
    settings
}

fn first(arrival: &mut PendingConnection<Script, Script>) -> Poll<Option<BytesMut>> {
    let mut cx = Context::from_waker(Waker::noop());
    arrival.poll_first(&mut cx, settings().config.head_timeout())
}

#[test]
fn a_server_knows_its_connections() {
    let settings = settings();
    let (counters, registry) = (settings.registry.counters(), settings.registry.clone());
    let start = |script: &Script, bytes: &[u8]| {
        let bytes = BytesMut::from(bytes);
        Connection::received(arrival(&settings, script), &settings.config, bytes)
    };
    let script = Script::new([]);
    let mut waiting = start(&script, b"24:");
    let mut answer = Box::pin(waiting.answer(hello));
    assert!(poll(answer.as_mut()).is_pending());
    assert!(registry.evict_oldest());
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
    assert!(script.written().starts_with("HTTP/1.1 400 "));
    assert!(settings.registry.evict_oldest());
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
    assert!(!settings.registry.evict_oldest());
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
    assert!(settings.registry.evict_oldest());
    assert_eq!(first(&mut evicted), Poll::Ready(None));
}

/// A full server closes the connection whose head is late, but not one whose bytes are there: after
/// a pause of the process, the runtime has not noticed them yet.
#[test]
fn a_connection_with_unread_input_is_not_closed_to_make_room() {
    let (settings, script) = (settings(), Script::new([]));
    let Read::Bytes(get) = GET else { unreachable!() };

    // Nothing of it was read so far.
    let mut silent = arrival(&settings, &script);
    assert!(first(&mut silent).is_pending());
    script.then_unnoticed(get);
    assert!(settings.registry.evict_oldest());
    let Poll::Ready(Some(bytes)) = first(&mut silent) else { panic!("its request is there") };
    let mut connection = Connection::received(silent, &settings.config, bytes);
    assert!(finish(connection.answer(hello)).is_ok());
    assert_eq!(script.written(), HELLO);

    // Of this one, a part of the head. It is closed while its head is not complete.
    for (rest, is_answered) in [(&get[3..], true), (&get[3..9], false), (b"", false)] {
        let script = Script::new([]);
        let bytes = BytesMut::from(&get[..3]);
        let arrival = arrival(&settings, &script);
        let mut connection = Connection::received(arrival, &settings.config, bytes);
        let mut answer = Box::pin(connection.answer(hello));
        assert!(poll(answer.as_mut()).is_pending());
        script.then_unnoticed(rest);
        assert!(settings.registry.evict_oldest());
        let Poll::Ready(answered) = poll(answer.as_mut()) else { panic!("{rest:?}: it waits") };
        assert_eq!(answered.is_ok(), is_answered, "{rest:?}");
        assert_eq!(script.written(), if is_answered { HELLO } else { "" }, "{rest:?}");
    }
    // Only those that were closed count.
    assert_eq!(settings.registry.counters().evicted(), 2);
}

#[test]
fn a_first_poll_that_panics_is_over() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut place = InlineFuture::new();
    for panics in [true, false] {
        place.begin(async move { assert!(!panics, "on purpose") });
        let is_over = matches!(place.poll(&mut cx), Inline::Done(Some(())));
        assert_eq!(is_over, !panics);
    }
    assert!(matches!(place.poll(&mut cx), Inline::Done(None)), "an empty place");
}

#[test]
fn a_future_that_has_to_wait_goes_on_where_it_was() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut place = InlineFuture::default();
    let mut left = 3;
    place.begin(poll_fn(move |cx| {
        left -= 1;
        cx.waker().wake_by_ref();
        if left == 0 { Poll::Ready("done") } else { Poll::Pending }
    }));
    assert_eq!(format!("{place:?}"), "InlineFuture { .. }");
    let Inline::Unfinished(mut rest) = place.poll(&mut cx) else { panic!("it has to wait") };
    assert_eq!(format!("{rest:?}"), "Unfinished { .. }");
    assert!(poll(Pin::new(&mut rest)).is_pending());
    assert_eq!(poll(Pin::new(&mut rest)), Poll::Ready("done"));
}

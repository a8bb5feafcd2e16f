//! The life of a connection on the server side: every deadline, every way to answer and to close,
//! with neither a socket nor a clock.

use std::time::Duration;

use bytes::Bytes;
use scgi_proto::{
    ConnectionConfig, DecodeError, EncodeError, Part, RequestEvent, ResponseEvent, ResponseHead,
    ServerExchange, Status, Timeout,
};

const GET: &[u8] = b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,";
const POST: &[u8] = b"24:CONTENT_LENGTH\x005\x00SCGI\x001\x00,hello";

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Deadlines that all differ.
fn config() -> ConnectionConfig {
    ConnectionConfig::default()
        .with_head_timeout(s(10))
        .with_body_timeout(s(20))
        .with_write_timeout(s(30))
        .with_drain_timeout(s(5))
        .with_max_drain_len(100)
        .with_min_body_rate(0)
        .with_min_write_rate(0)
}

fn exchange(input: &[u8]) -> ServerExchange {
    let mut exchange = ServerExchange::new(&config(), s(100));
    read(&mut exchange, input);
    exchange
}

fn read(exchange: &mut ServerExchange, input: &[u8]) {
    assert!(exchange.wants_read());
    exchange.buffer_mut().extend_from_slice(input);
    exchange.handle_read(input.len());
}

fn head(exchange: &mut ServerExchange) {
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
}

/// The whole request, which is there.
fn whole(input: &[u8]) -> ServerExchange {
    let mut exchange = exchange(input);
    head(&mut exchange);
    while exchange.next_event().expect("legal").is_some() {}
    assert!(exchange.is_request_over());
    exchange
}

fn ok() -> ResponseEvent {
    ResponseEvent::Head(ResponseHead::new(Status::OK))
}

fn body(text: &'static str) -> ResponseEvent {
    ResponseEvent::Body(Bytes::from_static(text.as_bytes()))
}

fn write(exchange: &mut ServerExchange) -> String {
    assert!(exchange.wants_write());
    let (first, second) = exchange.pending();
    let all = [first, second].concat();
    exchange.handle_written(all.len());
    assert!(!exchange.wants_write());
    String::from_utf8(all).expect("text")
}

#[test]
fn a_request_and_its_reply() {
    let mut exchange = exchange(POST);
    assert_eq!(exchange.status(), None);
    head(&mut exchange);
    assert_eq!(exchange.body_remaining(), Some(5));
    assert_eq!(exchange.next_event(), Ok(Some(RequestEvent::Body("hello".into()))));
    assert_eq!(exchange.next_event(), Ok(Some(RequestEvent::End)));
    assert_eq!(exchange.next_event(), Ok(None));
    assert!(exchange.is_request_over() && !exchange.wants_read());

    exchange.send(ok()).expect("queued");
    assert!(!exchange.wants_write(), "the head waits for the first chunk");
    assert_eq!(exchange.status(), Some(Status::OK));
    exchange.send(body("one")).expect("queued");
    assert_eq!(write(&mut exchange), "Status: 200 OK\r\n\r\none");
    assert!(!exchange.can_replace_response());
    exchange.send(body("two")).expect("queued");
    exchange.send(ResponseEvent::End).expect("queued");
    assert!(!exchange.is_response_written());
    assert_eq!(write(&mut exchange), "two");
    assert!(exchange.is_response_written() && exchange.is_closed() && !exchange.wants_reset());
    assert_eq!(exchange.byte_counts(), (POST.len() as u64, 24));
    assert_eq!((exchange.replacement(), exchange.poll_timeout()), (None, None));
}

#[test]
fn flush_lets_the_head_leave() {
    let mut exchange = whole(GET);
    exchange.send(ok()).expect("queued");
    exchange.flush();
    assert_eq!(write(&mut exchange), "Status: 200 OK\r\n\r\n");
    exchange.send(body("")).expect("queued");
    assert!(!exchange.wants_write(), "an empty chunk is nothing to write");
    exchange.send(ResponseEvent::End).expect("queued");
    assert!(exchange.is_closed());
}

#[test]
fn a_stream_is_told_once_that_its_reply_comes_in_pieces() {
    let mut pieces = whole(GET);
    pieces.send(ok()).expect("legal");
    for (piece, wants) in [("one", false), ("two", true), ("three", false)] {
        pieces.send(body(piece)).expect("legal");
        assert_eq!(pieces.wants_no_delay(), wants, "{piece}");
        write(&mut pieces);
    }
    pieces.send(ResponseEvent::End).expect("legal");
    assert!(pieces.is_closed());

    let mut one = whole(GET);
    for event in [ok(), body("all of it"), ResponseEvent::End] {
        one.send(event).expect("legal");
    }
    one.handle_written(3);
    assert!(one.wants_write() && !one.wants_no_delay(), "the end follows by itself");
}

#[test]
fn small_chunks_follow_the_head_and_large_ones_stand_beside_it() {
    for (len, beside) in [(1, false), (4096, false), (4097, true), (100_000, true)] {
        let mut exchange = whole(GET);
        exchange.send(ok()).expect("queued");
        exchange.send(ResponseEvent::Body(vec![b'x'; len].into())).expect("queued");
        let (first, second) = exchange.pending();
        assert_eq!((second.len() == len, second.is_empty()), (beside, !beside), "{len}");
        assert_eq!(first.len() + second.len(), 18 + len);
        assert_eq!(exchange.should_write_first(), beside, "{len}");
        // More, before the first is written, comes behind it.
        exchange.send(ResponseEvent::Body(vec![b'y'; 5000].into())).expect("queued");
        exchange.send(ResponseEvent::Body(vec![b'z'; 5000].into())).expect("queued");
        let mut all = Vec::new();
        while exchange.wants_write() {
            let (first, second) = exchange.pending();
            let some = if first.is_empty() { second } else { first };
            let some = some[..some.len().min(700)].to_vec();
            exchange.handle_written(some.len());
            all.extend(some);
        }
        let expected = [vec![b'x'; len], vec![b'y'; 5000], vec![b'z'; 5000]].concat();
        assert!(all.ends_with(&expected) && all.len() == 18 + expected.len(), "{len}");
    }
}

#[test]
fn a_reply_to_head_has_no_body() {
    let block = "CONTENT_LENGTH\x000\x00REQUEST_METHOD\x00HEAD\x00";
    let mut exchange = whole(format!("{}:{block},", block.len()).as_bytes());
    let head = ResponseHead::new(Status::OK).with_field("Content-Length", "5");
    exchange.send(ResponseEvent::Head(head)).expect("queued");
    exchange.send(body("hello")).expect("taken");
    exchange.send(ResponseEvent::End).expect("queued");
    assert_eq!(write(&mut exchange), "Status: 200 OK\r\nContent-Length: 5\r\n\r\n");
}

#[test]
fn what_cannot_be_sent_now() {
    let mut early = exchange(b"");
    assert_eq!(early.send(ok()), Err(EncodeError::HeadMissing));
    let mut exchange = whole(GET);
    assert_eq!(exchange.send(body("x")), Err(EncodeError::HeadMissing));
    assert_eq!(exchange.send(ResponseEvent::End), Err(EncodeError::HeadMissing));
    exchange.send(ok()).expect("queued");
    assert_eq!(exchange.send(ok()), Err(EncodeError::AlreadySent));
    exchange.send(ResponseEvent::End).expect("queued");
    assert!(exchange.send(body("x")).is_err());
}

#[test]
fn a_malformed_head_is_answered() {
    for (input, status, reason) in [
        (&b"abc:def"[..], "400 Bad Request", "the peer does not speak SCGI"),
        (b"999999:", "431 Request Header Fields Too Large", "raise the limit"),
        (b"1:a,", "400 Bad Request", "NUL"),
    ] {
        let mut exchange = exchange(input);
        let error = exchange.next_event().expect_err("malformed");
        let text = write(&mut exchange);
        assert!(text.starts_with(&format!("Status: {status}\r\n")), "{text}");
        assert!(text.contains(reason) && text.contains(&error.to_string()), "{text}");
        assert_eq!(exchange.replacement(), exchange.status());
        assert_eq!(exchange.replacement(), Some(error.status_hint()));
        // More may be on its way: the reply would be lost to a reset.
        assert!(exchange.wants_shutdown() && exchange.is_request_over());
        assert_eq!(exchange.next_event(), Err(error));
    }
}

#[test]
fn a_request_that_is_cut() {
    let mut exchange = exchange(&POST[..POST.len() - 2]);
    head(&mut exchange);
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Body(_)))));
    exchange.handle_read(0);
    let cut = DecodeError::UnexpectedEnd { part: Part::RequestBody, missing: 2 };
    assert_eq!(exchange.next_event(), Err(cut));
    assert!(write(&mut exchange).starts_with("Status: 400 "));
    // Nothing can come any more.
    assert!(exchange.is_closed());
}

#[test]
fn a_clean_close_is_no_request() {
    let mut exchange = ServerExchange::new(&config(), s(0));
    exchange.handle_read(0);
    assert_eq!(exchange.next_event(), Ok(None));
    assert!(exchange.is_request_over() && !exchange.wants_write());
}

#[test]
fn an_early_reply_is_followed_by_a_drain() {
    let mut exchange = exchange(&POST[..30]);
    head(&mut exchange);
    exchange.send(ok()).expect("queued");
    exchange.send(ResponseEvent::End).expect("queued");
    write(&mut exchange);
    assert!(exchange.wants_shutdown() && !exchange.wants_read() && !exchange.is_closed());
    exchange.handle_shutdown(s(200));
    assert!(!exchange.wants_shutdown() && exchange.wants_read());
    assert_eq!(exchange.poll_timeout(), Some(s(205)));
    read(&mut exchange, &[b'x'; 100]);
    assert!(!exchange.is_closed(), "100 bytes are within the limit");
    read(&mut exchange, b"x");
    assert!(exchange.is_closed() && !exchange.wants_reset());
}

#[test]
fn a_drain_ends_with_the_input_or_in_time() {
    for in_time in [true, false] {
        let mut exchange = exchange(&POST[..30]);
        head(&mut exchange);
        exchange.send(ok()).expect("queued");
        exchange.send(ResponseEvent::End).expect("queued");
        write(&mut exchange);
        exchange.handle_shutdown(s(200));
        assert_eq!(exchange.handle_timeout(s(204)), None);
        if in_time {
            exchange.handle_read(0);
        } else {
            assert_eq!(exchange.handle_timeout(s(205)), Some(Timeout::Drain));
        }
        assert!(exchange.is_closed() && !exchange.wants_reset());
        assert_eq!(exchange.handle_timeout(s(999)), None);
    }
}

#[test]
fn a_late_head() {
    // A peer that never sent a byte gets no reply.
    let mut silent = ServerExchange::new(&config(), s(100));
    assert_eq!(silent.poll_timeout(), Some(s(110)));
    assert_eq!(silent.handle_timeout(s(109)), None);
    assert_eq!(silent.handle_timeout(s(110)), Some(Timeout::Head));
    assert!(silent.is_closed() && !silent.wants_write());

    let mut exchange = exchange(&GET[..10]);
    assert_eq!(exchange.next_event(), Ok(None));
    exchange.handle_read_blocked(s(105));
    read(&mut exchange, &GET[10..12]);
    assert_eq!(exchange.poll_timeout(), Some(s(110)), "bytes do not renew it");
    assert_eq!(exchange.handle_timeout(s(110)), Some(Timeout::Head));
    assert!(write(&mut exchange).starts_with("Status: 408 "));
    assert_eq!(exchange.replacement(), Some(Status::REQUEST_TIMEOUT));
    assert!(exchange.wants_shutdown());
}

#[test]
fn a_late_body() {
    let mut exchange = exchange(&POST[..POST.len() - 2]);
    head(&mut exchange);
    assert_eq!(exchange.poll_timeout(), None, "nobody waits");
    while exchange.next_event().expect("legal").is_some() {}
    exchange.handle_read_blocked(s(300));
    exchange.handle_read_blocked(s(310));
    assert_eq!(exchange.poll_timeout(), Some(s(320)), "one wait, however often it is asked");
    read(&mut exchange, &POST[POST.len() - 2..POST.len() - 1]);
    assert_eq!(exchange.poll_timeout(), None, "bytes end the wait");
    while exchange.next_event().expect("legal").is_some() {}
    exchange.handle_read_blocked(s(400));
    assert_eq!(exchange.handle_timeout(s(420)), Some(Timeout::Body));
    assert!(write(&mut exchange).starts_with("Status: 408 "));
}

#[test]
fn a_late_body_after_the_reply_has_begun_breaks_the_connection() {
    let mut exchange = exchange(&POST[..POST.len() - 2]);
    head(&mut exchange);
    exchange.send(ok()).expect("queued");
    exchange.send(body("x")).expect("queued");
    write(&mut exchange);
    exchange.handle_read_blocked(s(300));
    assert_eq!(exchange.handle_timeout(s(320)), Some(Timeout::Body));
    assert!(exchange.is_closed() && exchange.wants_reset());
}

#[test]
fn a_peer_that_takes_nothing() {
    let mut exchange = whole(GET);
    exchange.send(ok()).expect("queued");
    exchange.send(body("hello")).expect("queued");
    exchange.handle_write_blocked(s(300));
    exchange.handle_write_blocked(s(310));
    assert_eq!(exchange.poll_timeout(), Some(s(301)), "then the system is asked");
    assert!(exchange.last_tries(s(301)).write);
    assert_eq!(exchange.handle_timeout(s(301)), None);
    assert_eq!(exchange.poll_timeout(), Some(s(330)));
    exchange.handle_written(3);
    assert_eq!(exchange.poll_timeout(), None, "a byte ends the wait");
    exchange.handle_write_blocked(s(400));
    assert_eq!(exchange.handle_timeout(s(429)), None);
    assert_eq!(exchange.handle_timeout(s(430)), Some(Timeout::Write));
    assert!(exchange.is_closed() && exchange.wants_reset() && !exchange.wants_write());
}

#[test]
fn a_request_that_takes_too_long() {
    let config = config().with_request_timeout(s(50));
    let mut exchange = ServerExchange::new(&config, s(100));
    read(&mut exchange, GET);
    head(&mut exchange);
    assert_eq!(exchange.poll_timeout(), Some(s(150)));
    assert_eq!(exchange.handle_timeout(s(150)), Some(Timeout::Request));
    assert!(write(&mut exchange).starts_with("Status: 503 "));
    assert!(exchange.is_closed(), "the request was read");
}

#[test]
fn the_program_fails() {
    // Before anything was written, even with a head queued: a reply of its own.
    let mut exchange = whole(GET);
    exchange.send(ok()).expect("queued");
    exchange.fail(Status::INTERNAL_SERVER_ERROR);
    exchange.fail(Status::BAD_REQUEST);
    assert!(write(&mut exchange).starts_with("Status: 500 "));
    assert_eq!(exchange.replacement(), Some(Status::INTERNAL_SERVER_ERROR));
    assert!(exchange.is_closed() && !exchange.wants_reset());

    // Later: the connection breaks.
    let mut exchange = whole(GET);
    exchange.send(ok()).expect("queued");
    exchange.send(body("x")).expect("queued");
    write(&mut exchange);
    exchange.fail(Status::INTERNAL_SERVER_ERROR);
    assert!(exchange.is_closed() && exchange.wants_reset());
    assert_eq!(exchange.replacement(), None);

    // After the end: nothing is left to fail.
    let mut exchange = whole(GET);
    exchange.send(ok()).expect("queued");
    exchange.send(ResponseEvent::End).expect("queued");
    write(&mut exchange);
    exchange.fail(Status::INTERNAL_SERVER_ERROR);
    assert!(exchange.is_closed() && !exchange.wants_reset());
}

#[test]
fn closing_and_aborting_are_final() {
    let mut exchange = whole(GET);
    exchange.abort();
    exchange.close();
    assert!(exchange.is_closed() && exchange.wants_reset());
    let mut exchange = whole(GET);
    exchange.close();
    exchange.abort();
    assert!(exchange.is_closed() && !exchange.wants_reset());
    assert!(exchange.send(ok()).is_err() && !exchange.can_replace_response());
}

#[test]
fn a_peer_that_went_away() {
    let mut exchange = whole(GET);
    assert!(exchange.may_watch() && !exchange.is_peer_gone());
    exchange.handle_read(0);
    assert!(!exchange.may_watch() && exchange.is_peer_gone());

    let config = config().with_ignore_client_abort(true);
    let mut patient = ServerExchange::new(&config, s(0));
    read(&mut patient, GET);
    head(&mut patient);
    assert!(!patient.may_watch());
    patient.handle_read(0);
    assert!(!patient.is_peer_gone());

    // Before the body is there, the end is a cut request, and is reported when it is read.
    let mut cut = self::exchange(&POST[..30]);
    head(&mut cut);
    assert!(!cut.may_watch());
    cut.handle_read(0);
    assert!(!cut.is_peer_gone());
}

#[test]
fn bytes_after_the_body_are_drained() {
    let mut exchange = whole(&[POST, b"\r\n"].concat());
    exchange.send(ok()).expect("queued");
    exchange.send(ResponseEvent::End).expect("queued");
    write(&mut exchange);
    assert!(exchange.wants_shutdown(), "more may follow, and would reset the connection");
}

#[test]
fn a_body_that_nginx_did_not_wait_for() {
    let block = "CONTENT_LENGTH\x000\x00SCGI\x001\x00HTTP_CONTENT_LENGTH\x009\x00";
    let mut exchange = whole(format!("{}:{block},", block.len()).as_bytes());
    exchange.send(ok()).expect("queued");
    exchange.send(ResponseEvent::End).expect("queued");
    write(&mut exchange);
    assert!(exchange.wants_shutdown(), "the rest of the upload is on its way");
}

#[test]
fn a_body_can_be_read_straight_to_its_place() {
    let mut place = [0; 3];
    assert_eq!(
        ServerExchange::new(&config(), s(0)).read_body(&mut place),
        0,
        "there is no head yet"
    );
    let mut exchange = exchange(POST);
    head(&mut exchange);
    assert_eq!(exchange.read_body(&mut place), 3);
    assert_eq!(&place, b"hel");
    assert_eq!(exchange.read_body(&mut place), 2);
    assert_eq!(exchange.body_remaining(), Some(0));
    let mut empty = ServerExchange::new(&config(), s(0));
    let room = empty.unfilled();
    assert!(!room.is_empty());
    room[..3].copy_from_slice(b"0:,");
    empty.handle_read(3);
    head(&mut empty);
    empty.release_buffer();
}

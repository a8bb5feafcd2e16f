//! How an exchange ends: one test for each way that once went wrong.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use scgi_proto::{
    Buffers, ConnectionConfig, EncodeError, RequestEvent, ResponseEvent, ResponseHead,
    ServerExchange, Status, Timeout,
};

const START: Duration = Duration::ZERO;

fn exchange(config: &ConnectionConfig, input: &[u8]) -> ServerExchange {
    let mut exchange = ServerExchange::new(config, START);
    exchange.receive(input.into());
    exchange
}

fn write_all(exchange: &mut ServerExchange) -> String {
    let (first, second) = exchange.pending();
    let all = [first, second].concat();
    exchange.handle_written(all.len());
    String::from_utf8(all).expect("text")
}

#[test]
fn what_is_read_elsewhere_is_drained_and_counted_too() {
    let config = ConnectionConfig::default().with_max_drain_len(100);
    let mut exchange = exchange(&config, b"GET / HTTP/1.1\r\n");
    assert!(exchange.next_event().is_err());
    assert!(write_all(&mut exchange).starts_with("HTTP/1.1 400 "));
    exchange.handle_shutdown(START);
    exchange.receive(b"x".repeat(60)[..].into());
    assert!(exchange.wants_read());
    assert!(exchange.buffer_mut().is_empty(), "drained bytes are not kept");
    exchange.receive(b"x".repeat(60)[..].into());
    assert!(exchange.is_closed(), "the limit holds");
}

#[test]
fn a_peer_of_another_protocol_is_answered_in_that_protocol() {
    for (input, start, end) in [
        (&b"GET / HTTP/1.1\r\n"[..], "HTTP/1.1 400 Bad Request\r\n", "scgi.server (lighttpd)\n"),
        (b"\x16\x03\x01\x02\x00\x01", "\x15\x03\x01\0\x02\x02\x28", ""),
        (b"\x01\x01\0\x01\0\x08\0\0", "Status: 400 Bad Request\r\n", "(Apache)\n"),
        (b"abc:", "Status: 400 Bad Request\r\n", "does not speak SCGI\n"),
    ] {
        let mut exchange = exchange(&ConnectionConfig::default(), input);
        assert!(exchange.next_event().is_err());
        assert_eq!(exchange.replacement(), Some(Status::BAD_REQUEST));
        let reply = write_all(&mut exchange);
        assert!(reply.starts_with(start) && reply.ends_with(end), "{reply:?}");
        if let Some((head, text)) = reply.split_once("\r\n\r\n") {
            assert!(head.contains(&format!("Content-Length: {}", text.len())), "{reply:?}");
        }
        assert!(exchange.wants_shutdown(), "the rest of the input is drained");
    }
}

#[test]
fn bytes_behind_a_request_are_counted() {
    let head = b"17:CONTENT_LENGTH\x000\x00,";
    for (input, surplus) in [(&b""[..], 0), (b"twenty bytes of body", 20)] {
        let mut exchange = exchange(&ConnectionConfig::default(), &[&head[..], input].concat());
        assert_eq!(exchange.surplus(), 0, "the request has not been seen");
        assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
        assert_eq!(exchange.surplus(), surplus);
        exchange.receive_slice(b"more");
        assert_eq!(exchange.surplus(), surplus + 4);
    }
}

#[test]
fn a_refused_request_keeps_its_reply_although_the_program_fails_on_it() {
    let mut exchange = exchange(&ConnectionConfig::default(), b"17:CONTENT_LENGTH\x005\x00,ab");
    exchange.handle_read(0);
    while let Ok(Some(_)) = exchange.next_event() {}
    assert!(exchange.is_request_over());
    exchange.fail(Status::INTERNAL_SERVER_ERROR);
    assert_eq!(exchange.replacement(), Some(Status::BAD_REQUEST));
    assert!(write_all(&mut exchange).starts_with("Status: 400 "));
}

#[test]
fn a_request_that_took_too_long_is_told_so_although_the_program_fails_then() {
    let config = ConnectionConfig::default().with_request_timeout(Duration::from_secs(3));
    let mut exchange = exchange(&config, b"17:CONTENT_LENGTH\x005\x00,ab");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    assert!(exchange.handle_timeout(Duration::from_secs(3)).is_some());
    assert!(exchange.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).is_err());
    exchange.fail(Status::INTERNAL_SERVER_ERROR);
    assert!(write_all(&mut exchange).starts_with("Status: 503 "));
}

#[test]
fn memory_goes_from_one_exchange_to_the_next_without_its_bytes() {
    let config = ConnectionConfig::default();
    let mut memory = Buffers::default();
    let mut kept = Vec::new();
    for count in 0..100 {
        let mut exchange = ServerExchange::new(&config, START);
        exchange.give_memory(memory);
        assert!(matches!(exchange.next_event(), Ok(None)), "nothing was left over");
        let block = format!("CONTENT_LENGTH\x000\x00N\x00{count}\x00");
        // Half a request more than one, as a peer may send it.
        exchange.receive_slice(format!("{}:{block},17:CON", block.len()).as_bytes());
        let Ok(Some(RequestEvent::Head(head))) = exchange.next_event() else { panic!() };
        assert_eq!(head.params().get_str("N"), Some(&*count.to_string()));
        if count % 3 == 0 {
            kept.push(head);
        }
        exchange.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).expect("queued");
        if count % 2 == 0 {
            // Some end in the middle of their reply.
            exchange.send(ResponseEvent::End).expect("queued");
            assert_eq!(write_all(&mut exchange), "Status: 200 OK\r\n\r\n");
        }
        memory = exchange.take_memory();
    }
    for (place, head) in kept.iter().enumerate() {
        assert_eq!(head.params().get_str("N"), Some(&*(place * 3).to_string()));
    }
}

fn reply(exchange: &mut ServerExchange) {
    exchange.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).expect("queued");
    exchange.send(ResponseEvent::End).expect("queued");
}

#[test]
fn what_is_read_elsewhere_while_draining_is_thrown_away() {
    for slice in [false, true] {
        let mut exchange = exchange(&ConnectionConfig::default(), b"GET / HTTP/1.1\r\n");
        assert!(exchange.next_event().is_err());
        write_all(&mut exchange);
        exchange.handle_shutdown(START);
        let mut receive = |bytes: &[u8]| match slice {
            false => exchange.receive(bytes.into()),
            true => exchange.receive_slice(bytes),
        };
        receive(b"four");
        assert!(!exchange.is_closed(), "the peer may send more");
        assert_eq!(exchange.byte_counts().0, 16 + 4);
        assert!(exchange.buffer_mut().is_empty(), "drained bytes are not kept");
        assert_eq!(exchange.max_chunk_len(), None);
    }
}

#[test]
fn nothing_that_was_read_at_first_is_not_the_end_of_input() {
    let mut exchange = ServerExchange::new(&ConnectionConfig::default(), START);
    exchange.receive(BytesMut::new());
    assert_eq!(exchange.next_event(), Ok(None));
    assert!(exchange.wants_read());
    exchange.receive_slice(b"");
    assert!(!exchange.wants_read(), "a copy of no bytes is the end");
}

#[test]
fn a_whole_reply_is_replaced_until_its_first_byte_is_written() {
    let mut exchange = exchange(&ConnectionConfig::default(), b"0:,");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    reply(&mut exchange);
    exchange.fail(Status::INTERNAL_SERVER_ERROR);
    assert!(write_all(&mut exchange).starts_with("Status: 500 "));
}

#[test]
fn a_whole_reply_of_which_some_is_written_stands() {
    let mut exchange = exchange(&ConnectionConfig::default(), b"0:,");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    reply(&mut exchange);
    exchange.handle_written(7);
    exchange.fail(Status::INTERNAL_SERVER_ERROR);
    assert!(exchange.wants_reset(), "dropped now, it would be cut");
    assert_eq!(write_all(&mut exchange), " 200 OK\r\n\r\n");
    assert!(exchange.is_closed() && !exchange.wants_reset());
}

#[test]
fn a_whole_reply_of_which_some_is_written_is_cut_at_the_deadline_of_its_request() {
    let config = ConnectionConfig::default().with_request_timeout(Duration::from_secs(600));
    let mut exchange = exchange(&config, b"0:,");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    reply(&mut exchange);
    exchange.handle_written(7);
    assert_eq!(exchange.handle_timeout(Duration::from_secs(600)), Some(Timeout::Request));
    assert!(exchange.is_closed() && exchange.wants_reset());
}

#[test]
fn nothing_of_the_program_comes_behind_a_reply_that_took_its_place() {
    let config = ConnectionConfig::default().with_request_timeout(Duration::from_secs(600));
    let mut exchange = exchange(&config, b"0:,");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    let head = ResponseHead::new(Status::OK);
    assert_eq!(exchange.send(ResponseEvent::Head(head)), Ok(()));
    assert_eq!(exchange.handle_timeout(Duration::from_secs(600)), Some(Timeout::Request));
    for late in [ResponseEvent::Body("late".into()), ResponseEvent::End] {
        assert_eq!(exchange.send(late), Err(EncodeError::AlreadySent));
    }
    let reply = write_all(&mut exchange);
    assert!(reply.starts_with("Status: 503 ") && !reply.contains("late"), "{reply}");
}

#[test]
fn after_a_late_head_nothing_is_read_and_after_a_late_reply_the_body_may_be() {
    let config = ConnectionConfig::default().with_head_timeout(Duration::from_secs(1));
    let mut late = exchange(&config, b"17:CONT");
    assert!(matches!(late.next_event(), Ok(None)));
    assert_eq!(late.handle_timeout(Duration::from_secs(1)), Some(Timeout::Head));
    assert!(late.is_request_over());

    let config = ConnectionConfig::default().with_request_timeout(Duration::from_secs(1));
    let mut slow = exchange(&config, b"17:CONTENT_LENGTH\x005\x00,ab");
    assert!(matches!(slow.next_event(), Ok(Some(RequestEvent::Head(_)))));
    assert_eq!(slow.handle_timeout(Duration::from_secs(1)), Some(Timeout::Request));
    assert!(!slow.is_request_over());
}

#[test]
fn a_body_that_has_come_needs_no_drain_although_nobody_read_it() {
    let mut exchange = exchange(&ConnectionConfig::default(), b"17:CONTENT_LENGTH\x005\x00,hello");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    reply(&mut exchange);
    write_all(&mut exchange);
    assert!(exchange.is_closed() && !exchange.wants_reset());
}

/// A request with two of five bytes of its body, whose head was taken.
fn begun(config: &ConnectionConfig) -> ServerExchange {
    let mut exchange = exchange(config, b"17:CONTENT_LENGTH\x005\x00,ab");
    assert_eq!(exchange.max_chunk_len(), None, "the head comes first");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    assert_eq!(exchange.max_chunk_len(), None, "what has come is next");
    assert_eq!(exchange.next_event(), Ok(Some(RequestEvent::Body("ab".into()))));
    exchange
}

#[test]
fn a_chunk_is_taken_past_the_buffer_and_counted() {
    let mut exchange = begun(&ConnectionConfig::default());
    assert_eq!(exchange.max_chunk_len(), Some(3));
    let event = exchange.receive_chunk("cd".into());
    assert_eq!(event, Some(RequestEvent::Body("cd".into())));
    assert_eq!(exchange.byte_counts(), (25, 0));
    assert_eq!(exchange.receive_chunk(Bytes::new()), None);
    assert!(exchange.next_event().is_err(), "the input has ended too early");
    assert!(write_all(&mut exchange).starts_with("Status: 400 "));
}

#[test]
fn nobody_waits_for_a_chunk_once_the_reply_has_ended_or_the_body_was_late() {
    let mut answered = begun(&ConnectionConfig::default());
    reply(&mut answered);
    write_all(&mut answered);
    assert!(answered.wants_shutdown());
    let mut late = begun(&ConnectionConfig::default());
    late.handle_read_blocked(START);
    assert_eq!(late.handle_timeout(Duration::from_secs(60)), Some(Timeout::Body));
    for exchange in [&mut answered, &mut late] {
        assert_eq!(exchange.max_chunk_len(), None);
        assert_eq!(exchange.receive_chunk("c".into()), None, "one that was on its way");
        assert_eq!(exchange.byte_counts().0, 24);
    }
}

#[test]
fn bytes_do_not_put_off_the_end_of_draining() {
    let mut exchange =
        begun(&ConnectionConfig::default().with_drain_timeout(Duration::from_secs(5)));
    reply(&mut exchange);
    write_all(&mut exchange);
    exchange.handle_shutdown(START);
    exchange.receive_slice(b"c");
    exchange.receive(b"d"[..].into());
    exchange.buffer_mut().extend_from_slice(b"e");
    exchange.handle_read(1);
    assert_eq!(exchange.poll_timeout(), Some(Duration::from_secs(5)));
    assert_eq!(exchange.handle_timeout(Duration::from_secs(5)), Some(Timeout::Drain));
    assert!(exchange.is_closed() && !exchange.wants_reset());
}

#[test]
fn once_a_request_is_refused_or_answered_only_writing_has_a_deadline() {
    let config = ConnectionConfig::default().with_request_timeout(Duration::from_secs(600));
    let never = Duration::from_secs(1 << 30);
    let mut refused = exchange(&ConnectionConfig::default(), b"GET / HTTP/1.1\r\n");
    assert!(refused.next_event().is_err());
    let mut answered = begun(&config);
    answered.handle_read_blocked(START);
    reply(&mut answered);
    write_all(&mut answered);
    assert!(answered.wants_shutdown());
    for mut exchange in [refused, answered] {
        assert_eq!(exchange.handle_timeout(never), None, "{exchange:?}");
        assert_eq!(exchange.poll_timeout(), None);
        exchange.handle_write_blocked(never);
        // For a refusal, the system is asked meanwhile.
        let at = never + Duration::from_secs(60);
        assert!(exchange.poll_timeout().is_some_and(|next| next <= at));
        assert_eq!(exchange.handle_timeout(at), Some(Timeout::Write));
        assert!(exchange.wants_reset());
        assert_eq!(exchange.poll_timeout(), None);
    }
}

//! The table of `ClientExchange`: for each state of the request and of the response, whether bytes
//! are written, which deadline runs, what renews it, and what ends the state.

#[path = "flow/table.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod table;

use std::time::Duration;

use bytes::Bytes;
use scgi_proto::{
    ClientConfig, ClientExchange, DecodeError, RequestEvent, RequestHead, ResponseEvent, Timeout,
};

/// Different ones, so that each shows itself.
fn config() -> ClientConfig {
    ClientConfig::default()
        .with_write_timeout(Duration::from_secs(10))
        .with_head_timeout(Duration::from_secs(20))
        .with_body_timeout(Duration::from_secs(30))
        .with_call_timeout(Duration::from_secs(1000))
}

const CALL: Option<u64> = Some(1000);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    /// The head is queued, and waits for the first chunk.
    HeldBack,
    BytesWait,
    SourceWanted,
    Complete,
    WriteFailed,
    SourceFailed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Response {
    None,
    /// Some bytes of the head.
    Begun,
    Body,
    Complete,
    Cut,
}

/// A call in the given state at second 0.
fn call(request: Request, response: Response) -> ClientExchange {
    let mut call = ClientExchange::new(&config(), Duration::ZERO);
    let head = RequestHead::builder("POST", "/").content_length(10).build();
    call.send(RequestEvent::Head(head)).expect("a head");
    if request != Request::HeldBack {
        call.send(RequestEvent::Body(Bytes::from_static(b"hello"))).expect("half of the body");
    }
    let write = |call: &mut ClientExchange| {
        while call.wants_write() {
            let (first, second) = call.pending();
            let count = first.len() + second.len();
            call.handle_written(count);
        }
    };
    match request {
        Request::HeldBack | Request::BytesWait => {}
        Request::SourceWanted => write(&mut call),
        Request::Complete => {
            call.send(RequestEvent::Body(Bytes::from_static(b"world"))).expect("the rest");
            call.send(RequestEvent::End).expect("the end");
            write(&mut call);
        }
        Request::WriteFailed => call.handle_write_failed(),
        Request::SourceFailed => call.close(),
    }
    match response {
        Response::None => {}
        Response::Begun => call.receive_slice(b"Status: 200 OK\r\n"),
        Response::Body | Response::Complete | Response::Cut => {
            call.receive_slice(b"Status: 200 OK\r\n\r\nhello");
            for _ in 0..2 {
                let _ = call.next_event().expect("a head and a chunk");
            }
        }
    }
    if response == Response::Cut {
        call.handle_reset();
    }
    if matches!(response, Response::Complete | Response::Cut) {
        call.receive_slice(b"");
    }
    call
}

/// When the next deadline is, in seconds, if nothing could be done at `now`.
fn deadline(call: &mut ClientExchange, now: u64) -> Option<u64> {
    call.handle_blocked(Duration::from_secs(now));
    call.poll_timeout().map(|at| at.as_secs())
}

/// The deadline that the guide `flow` names; `None` if the call is over.
fn on_the_page(request: Request, response: Response) -> Option<Timeout> {
    let name = match request {
        Request::HeldBack => "head queued",
        Request::BytesWait => "bytes wait",
        Request::SourceWanted => "source awaited",
        Request::Complete => "handed over",
        Request::WriteFailed => "write failed",
        Request::SourceFailed => "source failed",
    };
    let rows = table::rows("call");
    let row = rows.iter().find(|row| row[0] == name).expect("each state has its row");
    match row[if response == Response::Body { 2 } else { 1 }] {
        "over" => None,
        "write" => Some(Timeout::RequestWrite),
        "head" => Some(Timeout::ResponseHead),
        "body" => Some(Timeout::ResponseBody),
        "call" => Some(Timeout::Call),
        other => panic!("{other}"),
    }
}

#[test]
fn each_state_writes_and_waits_as_the_table_says() {
    use Request::{BytesWait, Complete, HeldBack, SourceFailed, SourceWanted, WriteFailed};
    use Response::{Begun, Body, None};
    // Request, response, whether it writes, the deadline from second 1, and which one it is.
    let rows = [
        (HeldBack, None, false, CALL, Timeout::Call),
        (HeldBack, Begun, false, CALL, Timeout::Call),
        (HeldBack, Body, false, Some(31), Timeout::ResponseBody),
        (BytesWait, None, true, Some(11), Timeout::RequestWrite),
        (BytesWait, Begun, true, Some(11), Timeout::RequestWrite),
        (BytesWait, Body, true, Some(31), Timeout::ResponseBody),
        (SourceWanted, None, false, CALL, Timeout::Call),
        (SourceWanted, Begun, false, CALL, Timeout::Call),
        (SourceWanted, Body, false, Some(31), Timeout::ResponseBody),
        (Complete, None, false, Some(21), Timeout::ResponseHead),
        (Complete, Begun, false, Some(21), Timeout::ResponseHead),
        (Complete, Body, false, Some(31), Timeout::ResponseBody),
        (WriteFailed, None, false, Some(21), Timeout::ResponseHead),
        (WriteFailed, Begun, false, Some(21), Timeout::ResponseHead),
        (WriteFailed, Body, false, Some(31), Timeout::ResponseBody),
    ];
    for (request, response, writes, at, timeout) in rows {
        let state = format!("{request:?}, {response:?}");
        assert_eq!(on_the_page(request, response), Some(timeout), "{state}");
        let mut call = call(request, response);
        assert_eq!(call.wants_write(), writes, "{state}");
        assert!(!call.is_response_over(), "it reads: {state}");
        assert_eq!(deadline(&mut call, 1), at, "{state}");
        // Being blocked again renews nothing.
        assert_eq!(deadline(&mut call, 2), at, "{state}");
        let at = Duration::from_secs(at.expect("the whole call at least"));
        assert_eq!(call.handle_timeout(at - Duration::from_nanos(1)), Option::None, "{state}");
        assert_eq!(call.handle_timeout(at), Some(timeout), "{state}");
        // The call is over.
        assert!(call.is_response_over() && !call.wants_write(), "{state}");
        assert_eq!((call.next_event(), call.poll_timeout()), (Ok(Option::None), Option::None));
    }
    for response in [None, Begun, Body] {
        assert_eq!(on_the_page(SourceFailed, response), Option::None);
        let mut call = call(SourceFailed, response);
        assert!(call.is_response_over() && !call.wants_write(), "{response:?}");
        assert_eq!(deadline(&mut call, 1), Option::None, "{response:?}");
    }
}

#[test]
fn each_state_is_renewed_by_what_the_table_says() {
    use Request::{BytesWait, Complete, SourceWanted};
    use Response::{Begun, Body, None};
    // Request, response, and the deadline at second 5 after a byte was taken, and after one came.
    let rows = [
        (BytesWait, None, Some(15), Some(11)),
        (BytesWait, Begun, Some(15), Some(11)),
        (BytesWait, Body, Some(35), Some(35)),
        (SourceWanted, None, Option::None, CALL),
        (SourceWanted, Body, Option::None, Some(35)),
        (Complete, None, Option::None, Some(21)),
        (Complete, Begun, Option::None, Some(21)),
        (Complete, Body, Option::None, Some(35)),
    ];
    for (request, response, taken, came) in rows {
        let state = format!("{request:?}, {response:?}");
        if taken.is_some() {
            let mut call = call(request, response);
            deadline(&mut call, 1);
            call.handle_written(1);
            assert_eq!(deadline(&mut call, 5), taken, "{state}");
        }
        let mut call = call(request, response);
        deadline(&mut call, 1);
        call.receive_slice(b"X");
        assert_eq!(call.next_event().expect("legal").is_some(), response == Body, "{state}");
        assert_eq!(deadline(&mut call, 5), came, "{state}");
    }
}

#[test]
fn a_state_that_follows_has_its_own_deadline() {
    // The rest of the upload is taken: the head is waited for from then on.
    let mut call = call(Request::SourceWanted, Response::Begun);
    assert_eq!(deadline(&mut call, 1), CALL);
    call.send(RequestEvent::Body(Bytes::from_static(b"world"))).expect("the rest");
    call.send(RequestEvent::End).expect("the end");
    assert_eq!(deadline(&mut call, 100), Some(110));
    call.handle_written(5);
    assert_eq!(deadline(&mut call, 105), Some(125));
    // The head is complete: the body is waited for from then on.
    call.receive_slice(b"\r\n");
    assert!(matches!(call.next_event(), Ok(Some(ResponseEvent::Head(_)))));
    assert_eq!(deadline(&mut call, 120), Some(150));
}

#[test]
fn a_stream_that_holds_back_what_it_took_waits_for_the_server() {
    let mut call = call(Request::Complete, Response::None);
    call.set_unflushed(true);
    assert_eq!(deadline(&mut call, 1), Some(11));
    call.set_unflushed(false);
    assert_eq!(deadline(&mut call, 2), Some(22));
}

#[test]
fn a_response_is_complete_or_cut() {
    for request in [Request::BytesWait, Request::Complete, Request::WriteFailed] {
        let mut complete = call(request, Response::Complete);
        assert_eq!(complete.next_event(), Ok(Some(ResponseEvent::End)), "{request:?}");
        assert_eq!(complete.next_event(), Ok(None), "{request:?}");
        let mut cut = call(request, Response::Cut);
        assert_eq!(cut.next_event(), Err(DecodeError::ResponseCut), "{request:?}");
        assert_eq!((cut.next_event(), cut.poll_timeout()), (Ok(None), None), "{request:?}");
    }
    // A reset ends no response that says itself where it ends.
    for (bytes, rest) in [
        ("Content-Length: 2\n\nhi", 2),
        ("Content-Length: 0\n\n", 1),
        ("Status: 204 No Content\n\n", 1),
        ("Status: 304 Not Modified\nContent-Length: 5\n\n", 1),
    ] {
        let mut call = call(Request::WriteFailed, Response::None);
        call.receive_slice(bytes.as_bytes());
        call.handle_reset();
        call.receive_slice(b"");
        for _ in 0..rest {
            assert!(call.next_event().expect("legal").is_some(), "{bytes:?}");
        }
        assert_eq!(call.next_event(), Ok(Some(ResponseEvent::End)), "{bytes:?}");
    }
    let mut short = call(Request::WriteFailed, Response::None);
    short.receive_slice(b"Content-Length: 3\n\nhi");
    short.handle_reset();
    short.receive_slice(b"");
    assert!(matches!(short.next_event(), Ok(Some(ResponseEvent::Head(_)))));
    assert!(matches!(short.next_event(), Ok(Some(ResponseEvent::Body(_)))));
    assert!(matches!(short.next_event(), Err(DecodeError::UnexpectedEnd { missing: 1, .. })));
}

#[test]
fn deadlines_that_are_off() {
    let off = ClientConfig::default()
        .with_write_timeout(Duration::MAX)
        .with_head_timeout(Duration::MAX)
        .with_body_timeout(Duration::MAX);
    let mut call = ClientExchange::new(&off, Duration::from_secs(1));
    call.send(RequestEvent::Head(RequestHead::builder("GET", "/").build())).expect("a head");
    call.send(RequestEvent::End).expect("the end");
    assert_eq!(deadline(&mut call, 1), None);
    call.handle_written(call.pending().0.len());
    assert_eq!(deadline(&mut call, 1), None);
    assert_eq!(call.handle_timeout(Duration::MAX), None);
}

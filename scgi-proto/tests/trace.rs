//! What an operator sees, word for word, and what is kept from it.

#![cfg(feature = "tracing")]

use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use scgi_proto::server::{Backoff, trace_listening};
use scgi_proto::trace::Trace;
use scgi_proto::{
    ConnectionConfig, DecodeError, Error, Peer, RequestEvent, RequestHead, ResponseEvent,
    ResponseHead, ServerExchange, Status,
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is told while `run` runs.
fn told(run: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, run);
    String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("text")
}

/// A connection whose request is read.
fn exchange(input: &[u8]) -> ServerExchange {
    let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
    exchange.receive(BytesMut::from(input));
    while let Ok(Some(event)) = exchange.next_event() {
        if event == RequestEvent::End {
            break;
        }
    }
    exchange
}

fn write(exchange: &mut ServerExchange) {
    let (first, second) = exchange.pending();
    exchange.handle_written(first.len() + second.len());
}

fn peer() -> Peer {
    Peer::Tcp("192.0.2.1:80".parse().expect("an address"))
}

fn begin() -> Trace {
    let head = RequestHead::builder("GE\x1bT", "/a\nb?password=1").build();
    Trace::begin(&head, Some(&peer()))
}

#[test]
fn a_request_is_told_without_its_query_and_what_happens_in_it_is_within_its_span() {
    let text = told(|| begin().in_scope(|| tracing::info!("from the handler")));
    assert!(text.contains(r#"request{method=GE\x1bT uri=/a\nb peer="192.0.2.1:80"}"#), "{text}");
    assert!(text.contains("from the handler") && !text.contains("password"), "{text}");
    assert_eq!(begin().in_scope(|| 7), 7, "nobody listens");
}

#[test]
fn how_a_request_ended() {
    let answered = told(|| {
        let mut exchange = exchange(b"0:,");
        exchange.send(ResponseEvent::Head(ResponseHead::new(Status::NO_CONTENT))).expect("legal");
        exchange.send(ResponseEvent::End).expect("legal");
        write(&mut exchange);
        begin().finish(&exchange);
    });
    assert!(answered.contains("DEBUG"), "{answered}");
    assert!(answered.contains("answered status=204 received=3 sent=26 seconds="), "{answered}");
    let broken = told(|| {
        let mut exchange = exchange(b"0:,");
        exchange.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).expect("legal");
        begin().finish(&exchange);
    });
    assert!(broken.contains("WARN") && broken.contains("broken off status=200"), "{broken}");
    let refused = told(|| begin().finish(&exchange(b"GET / HTTP/1.1\r\n")));
    assert!(refused.contains("WARN") && refused.contains("refused status=400"), "{refused}");
}

#[test]
fn why_there_was_no_answer() {
    let io = Error::Io(io::Error::other("the cable"));
    assert!(io.source().is_some());
    let text = told(|| Trace::failed(&io, Some(&peer())));
    assert!(text.contains(r#"peer="192.0.2.1:80" reason=the cable"#), "{text}");
    let decode = Error::Decode(DecodeError::LeadingZero);
    let text = told(|| Trace::failed(&decode, None));
    assert!(text.contains(&DecodeError::LeadingZero.to_string()), "{text}");
}

#[test]
fn that_the_program_failed_is_told_unless_the_peer_did() {
    let error = Error::Io(io::Error::other("no\ndisk"));
    let failed = |exchange: &ServerExchange| told(|| Trace::program_failed(exchange, &error));
    let text = failed(&exchange(b"0:,"));
    assert!(text.contains("the program failed reason=") && text.contains(r"no\ndisk"), "{text}");
    assert_eq!(failed(&exchange(b"GET / HTTP/1.1\r\n")), "", "it was told why");
    let mut closed = exchange(b"0:,");
    closed.close();
    assert_eq!(failed(&closed), "", "the peer is gone");
}

#[test]
fn panics() {
    assert!(told(|| Trace::panicked(&"a text")).contains("the program panicked reason=a text"));
    assert!(told(|| Trace::panicked(&"made\n".to_owned())).contains(r"reason=made\n"));
    assert!(told(|| Trace::panicked(&7)).contains("reason=(no text)"));
}

#[test]
fn who_may_not_connect_and_who_made_room() {
    assert!(told(|| Trace::denied(&peer())).contains("may not connect peer=192.0.2.1:80"));
    assert!(told(Trace::evicted).contains("the server is full"));
}

#[test]
fn addresses_that_others_can_reach() {
    let listening = |address: &str| told(|| trace_listening(&address.parse().expect("legal")));
    assert!(listening("0.0.0.0:4000").contains("SCGI has no authentication"));
    assert_eq!(listening("127.0.0.1:4000") + &listening("/run/app.sock"), "");
}

#[test]
fn accepts_that_fail_are_told_once_until_one_succeeds() {
    let error = io::Error::other("too many open files");
    let mut first = Backoff::default();
    let mut second = first.clone();
    let all = told(|| {
        first.after(&error);
        first.after(&error);
        second.after(&error);
    });
    assert_eq!(all.matches("cannot accept").count(), 1, "{all}");
    assert!(all.contains("too many open files delay=10ms"), "{all}");
    first.accepted();
    let again = told(|| {
        second.after(&error);
    });
    assert_eq!(again.matches("cannot accept").count(), 1, "{again}");
}

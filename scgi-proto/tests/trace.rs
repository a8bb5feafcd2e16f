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

/// What is logged while `run` runs.
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
    assert_eq!(begin().in_scope(|| 7), 7, "no server listens");
}

/// The span of a request with this method and URI.
fn span(method: &str, uri: &str) -> String {
    let head = RequestHead::builder(method, uri).build();
    told(|| Trace::begin(&head, None).in_scope(|| tracing::info!("x")))
}

#[test]
fn a_uri_is_told_without_user_fragment_and_query_and_not_at_any_length() {
    for (uri, shown) in [
        ("http://user:secret@host/a?token=secret", "http://host/a"),
        ("http://secret@x@host:80", "http://host:80"),
        ("HTTPS://u:secret@[::1]/a@b", "HTTPS://[::1]/a@b"),
        ("user:secret@host:443", "host:443"),
        ("/a@b#secret", "/a@b"),
        ("/a#b?secret", "/a"),
        ("http://host?x@secret", "http://host"),
        ("*", "*"),
    ] {
        let text = span("GET", uri);
        assert!(text.contains(&format!("uri={shown}}}")), "{uri}: {text}");
        assert!(!text.contains("secret"), "{uri}: {text}");
    }
    let long = "\u{1b}".repeat(250_000);
    let text = span(&long, &format!("http://u@{long}"));
    assert!(text.len() < 9000 && text.contains("... (248976 bytes more)"), "{}", text.len());
    let text = span("GET", &format!("/{}", "a".repeat(1023)));
    assert!(text.contains("aaaa}") && !text.contains("more"), "1 KiB is shown whole: {text}");
}

#[test]
fn a_peer_that_leaves_is_no_warning() {
    let begun = || {
        let mut exchange = exchange(b"0:,");
        exchange.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).expect("legal");
        exchange.send(ResponseEvent::Body("data: 1\n\n".into())).expect("legal");
        write(&mut exchange);
        exchange
    };
    let finish = |exchange: &ServerExchange| told(|| begin().finish(exchange));
    // It closed while the program had nothing to send, or a write failed.
    let mut closed = begun();
    closed.handle_read(0);
    closed.abort();
    let mut failed = begun();
    failed.close();
    for exchange in [&closed, &failed] {
        let text = finish(exchange);
        assert!(text.contains("DEBUG") && text.contains("the peer left status="), "{text}");
    }
    // The program broke it off.
    let mut broken = begun();
    broken.fail(Status::INTERNAL_SERVER_ERROR);
    let text = finish(&broken);
    assert!(text.contains("WARN") && text.contains("broken off status=200"), "{text}");

    let reset = Error::Io(io::ErrorKind::ConnectionReset.into());
    let text = told(|| Trace::failed(&reset, Some(&peer())));
    assert!(text.contains("DEBUG") && !text.contains("WARN"), "{text}");
}

#[test]
fn bytes_behind_the_body_are_a_warning() {
    let input = include_bytes!("vectors/field/length_zero_and_body.scgi");
    let text = told(|| begin().finish(&exchange(input)));
    assert!(text.contains("WARN") && text.contains("surplus=20"), "{text}");
    assert!(text.contains("chunked"), "{text}");
    assert!(!told(|| begin().finish(&exchange(b"0:,"))).contains("surplus"));
    let input = include_bytes!("vectors/field/length_minus_one.scgi");
    let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
    exchange.receive_slice(input);
    let error = exchange.next_event().expect_err("no length").into();
    let text = told(|| Trace::failed(&error, None));
    assert!(text.contains("WARN") && text.contains("chunked upload"), "{text}");
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

#[test]
fn a_shutdown_says_what_it_waits_for() {
    let registry = scgi_proto::driver::Registry::default();
    let (_first, _second) = (registry.accept(), registry.accept());
    let text = told(|| {
        registry.begin_shutdown();
        registry.begin_shutdown();
    });
    let waits = "shutting down: waiting for the connections in progress connections=2";
    assert!(text.contains("INFO") && text.contains(waits), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    let mut exchange = exchange(b"0:,");
    let waited = |exchange: &ServerExchange| {
        told(|| begin().waited_for(exchange, Duration::from_millis(2500)))
    };
    let text = waited(&exchange);
    assert!(text.contains("WARN") && text.contains("aborted by the shutdown"), "{text}");
    exchange.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).expect("legal");
    exchange.send(ResponseEvent::End).expect("legal");
    write(&mut exchange);
    let text = waited(&exchange);
    assert!(text.contains("INFO") && text.contains("has waited for this request"), "{text}");
    assert!(text.contains("seconds=2.5") && text.contains("uri="), "{text}");
}

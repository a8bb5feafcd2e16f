//! One connection over scripted streams: the result is the same however the bytes come.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use scgi_blocking::{
    Body, Client, ClientConfig, Connection, ConnectionConfig, DecodeError, Error, Limits, Request,
    RequestEvent, RequestHead, Response, ResponseEvent, ResponseHead, Status, Timeout,
    serve_connection,
};

/// What one call on the stream does.
#[derive(Debug, Clone)]
enum Step {
    Bytes(Vec<u8>),
    Fail(ErrorKind),
}

/// A stream whose reads follow a script, then end; writes take at most `room` bytes each, and
/// fail as `refusals` say.
#[derive(Debug, Default)]
struct Script {
    reads: VecDeque<Step>,
    refusals: VecDeque<ErrorKind>,
    room: Option<usize>,
    written: Arc<Mutex<Vec<u8>>>,
    broken: bool,
}

impl Script {
    fn new(reads: impl IntoIterator<Item = Step>) -> Self {
        Self { reads: reads.into_iter().collect(), ..Self::default() }
    }

    fn bytes(input: &[u8]) -> Self {
        Self::new([Step::Bytes(input.to_vec())])
    }

    fn output(&self) -> Output {
        Output(Arc::clone(&self.written))
    }
}

struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

impl Read for Script {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.reads.pop_front() {
            Some(Step::Bytes(mut bytes)) => {
                let rest = bytes.split_off(bytes.len().min(buf.len()));
                buf[..bytes.len()].copy_from_slice(&bytes);
                if !rest.is_empty() {
                    self.reads.push_front(Step::Bytes(rest));
                }
                Ok(bytes.len())
            }
            Some(Step::Fail(kind)) => Err(kind.into()),
            None => Ok(0),
        }
    }
}

impl Write for Script {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.refusals.pop_front() {
            return Err(kind.into());
        }
        if self.broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = buf.len().min(self.room.unwrap_or(usize::MAX));
        self.written.lock().expect("no panic").extend_from_slice(&buf[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const POST: &[u8] = b"24:CONTENT_LENGTH\x005\x00SCGI\x001\x00,hello";

fn echo(request: Request) -> Result<Response, Error> {
    let body = request.into_body().collect(100)?;
    Ok(Response::new(body).with_field("Content-Type", "text/plain"))
}

const ECHOED: &str = "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn every_way_of_arriving_gives_the_same_reply() {
    let whole = vec![Step::Bytes(POST.to_vec())];
    let singly: Vec<_> = POST.iter().map(|byte| Step::Bytes(vec![*byte])).collect();
    let mut scripts = vec![whole, singly.clone()];
    for kind in [ErrorKind::Interrupted, ErrorKind::WouldBlock, ErrorKind::TimedOut] {
        scripts.push(singly.iter().flat_map(|s| [Step::Fail(kind), s.clone()]).collect());
    }
    for at in 1..POST.len() {
        scripts.push([&POST[..at], &POST[at..]].map(|part| Step::Bytes(part.to_vec())).into());
    }
    for reads in scripts {
        let shown = format!("{reads:?}");
        for room in [None, Some(1), Some(7)] {
            let refusals =
                [ErrorKind::Interrupted, ErrorKind::WouldBlock, ErrorKind::Interrupted].into();
            let script = Script { room, refusals, ..Script::new(reads.clone()) };
            let output = script.output();
            serve_connection(script, echo, &ConnectionConfig::default()).expect(&shown);
            assert_eq!(output.text(), ECHOED, "{shown}");
        }
    }
}

#[test]
fn every_cut_is_told_by_its_kind() {
    for at in 1..POST.len() {
        let mut connection =
            Connection::new(Script::bytes(&POST[..at]), &ConnectionConfig::default());
        let error = loop {
            match connection.next_event() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("cut at {at}: no error"),
                Err(error) => break error,
            }
        };
        let Error::Decode(DecodeError::UnexpectedEnd { missing, .. }) = error else {
            panic!("cut at {at}: {error:?}");
        };
        assert!(missing > 0 && missing <= (POST.len() - at) as u64, "cut at {at}: {missing}");
    }
}

#[test]
fn a_failing_read_is_told_at_every_step() {
    for at in 0..POST.len() {
        let reads = [Step::Bytes(POST[..at].to_vec()), Step::Fail(ErrorKind::ConnectionReset)];
        let reads = reads.into_iter().filter(|s| !matches!(s, Step::Bytes(b) if b.is_empty()));
        let mut connection = Connection::new(Script::new(reads), &ConnectionConfig::default());
        let error = loop {
            match connection.next_event() {
                Ok(event) => assert!(event.is_some(), "no end at {at}"),
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, Error::Io(e) if e.kind() == ErrorKind::ConnectionReset), "{at}");
        assert!(connection.next_event().is_ok_and(|event| event.is_none()));
    }
}

#[test]
fn an_empty_connection_is_no_error() {
    let script = Script::new([]);
    let output = script.output();
    serve_connection(script, echo, &ConnectionConfig::default()).expect("a clean close");
    assert_eq!(output.text(), "");
}

#[test]
fn a_malformed_request_is_answered_and_told() {
    let limits = Limits::default().with_max_header_block_len(50).with_max_body_len(10);
    let config = ConnectionConfig::default().with_limits(limits);
    for (input, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "HTTP/1.1 400 "),
        (b"18:CONTENT_LENGTH\x0011\x00,", "Status: 413 "),
        (b"51:", "Status: 431 "),
    ] {
        let script = Script::bytes(input);
        let output = script.output();
        let result = serve_connection(script, echo, &config);
        assert!(matches!(result, Err(Error::Decode(_))), "{result:?}");
        assert!(output.text().starts_with(status), "{}", output.text());
    }
}

#[test]
fn a_body_that_is_cut_is_the_peers_fault_and_a_handler_that_fails_is_not() {
    let script = Script::bytes(&POST[..POST.len() - 2]);
    let output = script.output();
    let _ = serve_connection(script, echo, &ConnectionConfig::default());
    assert!(output.text().starts_with("Status: 400 "), "{}", output.text());

    let script = Script::bytes(POST);
    let output = script.output();
    let fail = |_: Request| Err::<Response, _>("no");
    serve_connection(script, fail, &ConnectionConfig::default()).expect("answered");
    assert!(output.text().starts_with("Status: 500 "), "{}", output.text());
}

#[test]
fn a_body_can_be_part_of_its_reply_and_is_closed_after_it() {
    let reads = POST.iter().map(|byte| Step::Bytes(vec![*byte]));
    let script = Script::new(reads);
    let output = script.output();
    serve_connection(
        script,
        |r: Request| Response::new(r.into_body()),
        &ConnectionConfig::default(),
    )
    .expect("echoed");
    assert_eq!(output.text(), "Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello");

    let kept = Arc::new(Mutex::new(Body::empty()));
    let keeper = Arc::clone(&kept);
    let reads = POST.iter().map(|byte| Step::Bytes(vec![*byte]));
    let keep = move |request: Request| {
        *keeper.lock().expect("no panic") = request.into_body();
        Response::new("")
    };
    serve_connection(Script::new(reads), keep, &ConnectionConfig::default()).expect("answered");
    assert!(matches!(kept.lock().expect("no panic").chunk(), Err(Error::Closed)));
}

#[test]
fn a_writer_sends_what_it_flushes() {
    let script = Script::bytes(b"0:,");
    let output = script.output();
    let seen = script.output();
    let handler = move |_: Request| {
        let seen = Output(Arc::clone(&seen.0));
        Response::new(Body::from_writer(move |out| {
            write!(out, "one")?;
            out.flush()?;
            assert!(seen.text().ends_with("\r\n\r\none"));
            write!(out, "two")
        }))
    };
    serve_connection(script, handler, &ConnectionConfig::default()).expect("answered");
    assert_eq!(output.text(), "Status: 200 OK\r\n\r\nonetwo");
}

#[test]
fn a_writer_that_has_failed_stays_failed() {
    // Nothing has left yet: the client gets a 500. Something has left: the response is broken.
    for (begun, expected) in [(false, "Status: 500 "), (true, "Status: 200 ")] {
        let script = Script::bytes(b"0:,");
        let output = script.output();
        let failures = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&failures);
        let handler = move |_: Request| {
            let seen = Arc::clone(&seen);
            let body = Body::from_writer(move |out| {
                if begun {
                    out.write_all(b"12")?;
                    out.flush()?;
                }
                // More than the length allows, then as much as would be right.
                let results =
                    [out.write_all(&[b'x'; 20_000]), out.write_all(b"1234567890"), out.flush()];
                seen.lock().expect("no panic").extend(results.map(|result| result.is_err()));
                Ok(())
            });
            Response::new(body.with_len(10))
        };
        serve_connection(script, handler, &ConnectionConfig::default()).expect("answered");
        assert_eq!(*failures.lock().expect("no panic"), [true; 3]);
        let text = output.text();
        assert!(text.starts_with(expected), "{text}");
        assert!(!text.contains("1234567890"), "{text}");
        assert_eq!(text.ends_with("\r\n\r\n12"), begun, "{text}");
    }
}

#[test]
fn a_body_that_fails_before_or_after_its_first_bytes() {
    let script = Script::bytes(b"0:,");
    let output = script.output();
    let none = |_: Request| Response::new(Body::from_chunks([Err("no")]));
    serve_connection(script, none, &ConnectionConfig::default()).expect("answered");
    assert!(output.text().starts_with("Status: 500 "), "{}", output.text());

    let script = Script::bytes(b"0:,");
    let output = script.output();
    let some = |_: Request| Response::new(Body::from_chunks([Ok("some".into()), Err("no")]));
    serve_connection(script, some, &ConnectionConfig::default()).expect("broken off");
    assert_eq!(output.text(), "Status: 200 OK\r\n\r\nsome");

    let script = Script::bytes(b"0:,");
    let output = script.output();
    let writer = |_: Request| Response::new(Body::from_writer(|_| Err(io::Error::other("no"))));
    serve_connection(script, writer, &ConnectionConfig::default()).expect("answered");
    assert!(output.text().starts_with("Status: 500 "), "{}", output.text());
}

#[test]
fn deadlines_hold_on_a_stream_that_does_not_wait() {
    let config = ConnectionConfig::default()
        .with_head_timeout(Duration::from_millis(50))
        .with_body_timeout(Duration::from_millis(50));
    for (input, kind, reply) in [
        (&b""[..], Timeout::Head, ""),
        (b"24:CON", Timeout::Head, "Status: 408 "),
        (&POST[..POST.len() - 2], Timeout::Body, "Status: 408 "),
    ] {
        let mut reads = vec![Step::Fail(ErrorKind::WouldBlock); 10_000];
        if !input.is_empty() {
            reads.insert(0, Step::Bytes(input.to_vec()));
        }
        let script = Script::new(reads);
        let output = script.output();
        let begun = Instant::now();
        let mut connection = Connection::new(script, &config);
        let error = loop {
            match connection.next_event() {
                Ok(event) => assert!(event.is_some()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Timeout(timeout) if timeout == kind), "{error:?}");
        assert!(begun.elapsed() >= Duration::from_millis(50));
        connection.finish().expect("written");
        assert!(output.text().starts_with(reply), "{}", output.text());
    }
}

#[test]
fn pieces_go_out_as_they_are_sent_and_wrong_ones_are_refused() {
    let script = Script::bytes(b"0:,");
    let output = script.output();
    let mut connection = Connection::new(script, &ConnectionConfig::default());
    let head = || ResponseEvent::Head(ResponseHead::new(Status::OK));
    assert!(matches!(connection.send(head()), Err(Error::Encode(_))), "before the request");
    assert!(matches!(connection.next_event(), Ok(Some(RequestEvent::Head(_)))));
    connection.send(head()).expect("queued");
    assert_eq!(output.text(), "", "the head waits");
    connection.flush().expect("written");
    assert_eq!(output.text(), "Status: 200 OK\r\n\r\n");
    connection.send(ResponseEvent::Body("a".into())).expect("written");
    assert!(output.text().ends_with("\r\n\r\na"));
    assert!(matches!(connection.send(head()), Err(Error::Encode(_))), "twice");
    connection.send(ResponseEvent::End).expect("ended");
    connection.finish().expect("closed");
}

#[test]
fn a_write_that_fails_or_takes_nothing_is_an_error() {
    for (kind, room) in [(ErrorKind::BrokenPipe, None), (ErrorKind::WriteZero, Some(0))] {
        let mut script = Script::bytes(b"0:,");
        script.broken = kind == ErrorKind::BrokenPipe;
        script.room = room;
        let result =
            serve_connection(script, |_: Request| Response::new("x"), &ConnectionConfig::default());
        assert!(matches!(&result, Err(Error::Io(e)) if e.kind() == kind), "{result:?}");
    }
}

fn get() -> Request {
    Request::new(RequestHead::builder("GET", "/").build(), "")
}

#[test]
fn a_client_reads_every_way_of_answering() {
    let reply = b"Status: 201 Created\r\nContent-Length: 2\r\n\r\nhi";
    let singly: Vec<_> = reply.iter().map(|byte| Step::Bytes(vec![*byte])).collect();
    for kind in [ErrorKind::Interrupted, ErrorKind::WouldBlock] {
        let reads = singly.iter().flat_map(|s| [Step::Fail(kind), s.clone()]);
        let script = Script { room: Some(3), ..Script::new(reads) };
        let output = script.output();
        let response =
            Client::new(script, &ClientConfig::default()).request(get()).expect("a response");
        assert_eq!(response.status(), Status::CREATED);
        assert_eq!(response.into_body().collect(10).expect("a body"), "hi");
        assert!(output.text().contains("REQUEST_METHOD\0GET\0"));
    }
    for at in 0..reply.len() {
        let response =
            Client::new(Script::bytes(&reply[..at]), &ClientConfig::default()).request(get());
        let result = response.and_then(|response| response.into_body().collect(10));
        assert!(matches!(result, Err(Error::Decode(_))), "cut at {at}: {result:?}");
    }
}

#[test]
fn an_early_response_is_read_although_writing_failed() {
    let early = b"Status: 413 Content Too Large\r\n\r\nno";
    let script = Script { broken: true, ..Script::bytes(early) };
    let chunks = std::iter::repeat_with(|| Ok::<_, io::Error>(vec![0; 4096].into()));
    let body = Body::from_chunks(chunks).with_len(1 << 40);
    let head = RequestHead::builder("POST", "/").build();
    let response = Client::new(script, &ClientConfig::default()).request(Request::new(head, body));
    assert_eq!(response.expect("a response").status(), Status::CONTENT_TOO_LARGE);

    let script = Script { broken: true, ..Script::new([]) };
    let result = Client::new(script, &ClientConfig::default()).request(get());
    assert!(
        matches!(&result, Err(Error::Io(e)) if e.kind() == ErrorKind::BrokenPipe),
        "{result:?}"
    );
}

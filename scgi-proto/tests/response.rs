//! The rules of responses, one row each: what the decoder makes of them, and what the encoder
//! sends and refuses.

use bytes::BytesMut;
use scgi_proto::{
    Decode, DecodeError, EncodeError, Part, ResponseDecoder, ResponseEncoder, ResponseEvent,
    ResponseHead, ResponseKind, Status,
};

/// What a client has of a response.
#[derive(Debug, PartialEq)]
struct Response {
    head: ResponseHead,
    body: Vec<u8>,
    surplus: u64,
}

/// Decodes a whole response, after which the server closes.
fn decode_by(mut decoder: ResponseDecoder, input: &[u8]) -> Result<Response, DecodeError> {
    let mut buf = BytesMut::from(input);
    let (mut head, mut body) = (None, Vec::new());
    while let Some(event) = decoder.decode_eof(&mut buf)? {
        match event {
            ResponseEvent::Head(found) => head = Some(found),
            ResponseEvent::Body(chunk) => body.extend_from_slice(&chunk),
            ResponseEvent::End => assert!(decoder.is_done()),
        }
    }
    Ok(Response { head: head.expect("a head"), body, surplus: decoder.surplus() })
}

fn decode(input: &[u8]) -> Result<Response, DecodeError> {
    decode_by(ResponseDecoder::default(), input)
}

#[test]
fn status_reason_and_kind() {
    use ResponseKind::*;
    #[rustfmt::skip]
    let rows: [(&str, u16, &str, ResponseKind); 26] = [
        ("Status: 404 Not Found\r\n\r\n", 404, "Not Found", Document),
        ("Status: 404 Gone fishing\n\n", 404, "Gone fishing", Document),
        ("Status: 404\n\n", 404, "Not Found", Document),
        ("sTATUS:404\n\n", 404, "Not Found", Document),
        ("A: b\nStatus: 404\n\n", 404, "Not Found", Document),
        ("Status: 999\n\n", 999, "Unknown", Document),
        ("A: b\n\n", 200, "OK", Document),
        ("HTTP/1.1 201 Made\r\nA: b\r\n\r\n", 201, "Made", Document),
        ("HTTP/1.0 201\nA: b\n\n", 201, "Created", Document),
        ("HTTP/1.1 200 OK\nStatus: 404 Not Found\n\n", 404, "Not Found", Document),
        ("Location: https://example.org/\n\n", 302, "Found", ClientRedirect),
        ("Status: 303 See Other\nLocation: https://example.org/\n\n", 303, "See Other",
            ClientRedirect),
        // RFC 3875 section 6.2.4 wants a Status here; nginx and lighttpd answer 302.
        ("Location: https://example.org/\nContent-Type: text/html\n\n", 302, "Found",
            ClientRedirect),
        ("Content-Type: text/html\nLocation: https://example.org/\n\n", 302, "Found",
            ClientRedirect),
        ("Status: 200\nLocation: https://example.org/\nA: b\n\n", 200, "OK", ClientRedirect),
        ("HTTP/1.1 200 OK\nLocation: https://example.org/\nA: b\n\n", 200, "OK", ClientRedirect),
        ("Location: //example.org/\n\n", 302, "Found", ClientRedirect),
        ("Location: //example.org/\nA: b\n\n", 302, "Found", ClientRedirect),
        ("Location: /path?query\n\n", 302, "Found", LocalRedirect),
        ("Status: 201\nLocation: /path\n\n", 201, "Created", Document),
        ("Location: /path\nContent-Type: text/html\n\n", 200, "OK", Document),
        ("location:  HTTP://example.org/ \n\n", 302, "Found", ClientRedirect),
        ("Content-Type: text/plain\n\n", 200, "OK", Document),
        ("Location: git+ssh-2.0://example.org/\n\n", 302, "Found", ClientRedirect),
        ("Location: 1http://example.org/\n\n", 200, "OK", Document),
        ("Location: ht!tp://example.org/\n\n", 200, "OK", Document),
    ];
    for (input, code, reason, kind) in rows {
        let head = decode(input.as_bytes()).unwrap_or_else(|e| panic!("{input:?}: {e}")).head;
        let found = (head.status().code(), head.reason(), head.kind());
        assert_eq!(found, (code, reason, kind), "{input:?}");
        assert_eq!(head.fields().first("Status"), None, "{input:?}");
    }
}

#[test]
fn fields_can_be_added_to_a_decoded_head() {
    let input = b"HTTP/1.1 200 OK: fine\r\nA:b \r\nStatus: 201\r\nc: d: e\nF:\r\n\r\n";
    let mut head = decode(input).expect("legal").head;
    let shown = |head: &ResponseHead| {
        let pair =
            |(name, value): (&[u8], &[u8])| [name, b"=", value].concat().escape_ascii().to_string();
        (head.fields().len(), head.fields().iter().map(pair).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(shown(&head), (3, "A=b c=d: e F=".to_string()));
    assert_eq!(head.fields().iter().len(), 3);
    head.fields_mut().append("G", "h");
    assert_eq!(shown(&head), (4, "A=b c=d: e F= G=h".to_string()));
    assert_eq!(head.fields().first("C"), Some(&b"d: e"[..]));
}

#[test]
fn line_ends_of_both_kinds_and_blanks_around_values() {
    for input in [
        "A: b\r\nC: d e\r\n\r\nbody",
        "A: b\nC: d e\n\nbody",
        "A: b\r\nC: d e\n\r\nbody",
        "A:b\nC:\t d e \t\r\n\nbody",
    ] {
        let response = decode(input.as_bytes()).expect("legal");
        let fields: Vec<_> = response.head.fields().iter().collect();
        assert_eq!(fields, [(&b"A"[..], &b"b"[..]), (b"C", b"d e")], "{input:?}");
        assert_eq!(response.body, b"body", "{input:?}");
    }
}

#[test]
fn where_the_body_ends() {
    #[rustfmt::skip]
    let rows: [(&str, &str, u64); 10] = [
        ("A: b\n\n", "", 0),
        ("A: b\n\nto the end of input", "to the end of input", 0),
        ("Content-Length: 2\n\nhi", "hi", 0),
        ("Content-Length: 2\n\nhigh", "hi", 2),
        ("Content-Length: 0\n\nhigh", "", 4),
        ("content-length: 002\nContent-Length: 2\n\nhigh", "hi", 2),
        ("Status: 204\n\nx", "", 1),
        ("Status: 205\nContent-Length: 1\n\nx", "", 1),
        ("Status: 304\nContent-Length: 9\n\n", "", 0),
        ("A: b\n\n\r\n\r\nbody", "\r\n\r\nbody", 0),
    ];
    for (input, body, surplus) in rows {
        let response = decode(input.as_bytes()).unwrap_or_else(|e| panic!("{input:?}: {e}"));
        assert_eq!((&response.body[..], response.surplus), (body.as_bytes(), surplus), "{input:?}");
    }
    let head_request = ResponseDecoder::default().without_body();
    let response = decode_by(head_request, b"Content-Length: 9\n\nhi").expect("legal");
    assert_eq!((response.body.len(), response.surplus), (0, 2));
}

#[test]
fn what_the_decoder_refuses() {
    use DecodeError::*;
    let head_cut = UnexpectedEnd { part: Part::ResponseHead, missing: 1 };
    #[rustfmt::skip]
    let rows: Vec<(&[u8], DecodeError)> = vec![
        (b"", NoResponse),
        (b"A: b", head_cut.clone()),
        (b"A: b\n", head_cut.clone()),
        (b"A: b\r\n\r", head_cut.clone()),
        (b"Content-Length: 9\n\nhi",
            UnexpectedEnd { part: Part::ResponseBody, missing: 7 }),
        (b"<html>\n\n", InvalidField { offset: 0 }),
        (b"A: b\nno field\n\n", InvalidField { offset: 5 }),
        (b": b\n\n", InvalidField { offset: 0 }),
        (b"a b: c\n\n", InvalidField { offset: 0 }),
        (b"A : c\n\n", InvalidField { offset: 0 }),
        (b"A: b\n folded\n\n", InvalidField { offset: 5 }),
        (b"A: b\0\n\n", InvalidField { offset: 0 }),
        (b"A: b\rC: d\n\n", InvalidField { offset: 0 }),
        (b"A: b\nHTTP/1.1 200 OK\n\n", InvalidField { offset: 5 }),
        (b"\x15\x03\x01\n\n", InvalidField { offset: 0 }),
        (b"Status:\n\n", InvalidStatus { offset: 0 }),
        (b"Status: OK\n\n", InvalidStatus { offset: 0 }),
        (b"Status: 20\n\n", InvalidStatus { offset: 0 }),
        (b"Status: 2000\n\n", InvalidStatus { offset: 0 }),
        (b"Status: -20\n\n", InvalidStatus { offset: 0 }),
        (b"Status: 100 Continue\n\n", InvalidStatus { offset: 0 }),
        (b"A: b\nStatus: 199\n\n", InvalidStatus { offset: 5 }),
        (b"HTTP/1.1 100 Continue\n\n", InvalidStatus { offset: 0 }),
        (b"HTTP/1.1\n\n", InvalidStatus { offset: 0 }),
        (b"Status: 200\nStatus: 200\n\n", DuplicateStatus { offset: 12 }),
        (b"Content-Length: \n\n", InvalidResponseLength { offset: 0 }),
        (b"Content-Length: -1\n\n", InvalidResponseLength { offset: 0 }),
        (b"Content-Length: 1, 1\n\n", InvalidResponseLength { offset: 0 }),
        (b"Content-Length: 18446744073709551616\n\n", InvalidResponseLength { offset: 0 }),
        (b"Content-Length: 1\nContent-Length: 2\n\n", InvalidResponseLength { offset: 18 }),
    ];
    for (input, error) in rows {
        assert_eq!(decode(input), Err(error), "{}", input.escape_ascii());
    }
}

#[test]
fn a_head_that_never_ends_is_refused_as_it_arrives() {
    let mut decoder = ResponseDecoder::default();
    let mut buf = BytesMut::new();
    let error = loop {
        buf.extend_from_slice(&[b'x'; 4096]);
        match decoder.decode(&mut buf) {
            Ok(event) => assert_eq!(event, None),
            Err(error) => break error,
        }
    };
    assert_eq!(error, DecodeError::ResponseHeadTooLarge { max: 256 * 1024 });
    assert!(buf.len() <= 256 * 1024 + 4096, "{}", buf.len());
}

fn encode(head: &ResponseHead) -> Result<String, EncodeError> {
    let mut out = BytesMut::from("before");
    let result = ResponseEncoder::default().head(head, &mut out);
    if result.is_err() {
        assert_eq!(out, "before", "nothing is written on an error");
    }
    result.map(|()| String::from_utf8(out[6..].to_vec()).expect("text"))
}

fn ok() -> ResponseHead {
    ResponseHead::new(Status::OK)
}

#[test]
fn what_the_encoder_sends() {
    #[rustfmt::skip]
    let rows = [
        (ok(), "Status: 200 OK\r\n\r\n"),
        (ok().with_reason("Fine"), "Status: 200 Fine\r\n\r\n"),
        (ok().with_field("A", "b").with_field("A", "\u{e9}"),
            "Status: 200 OK\r\nA: b\r\nA: \u{e9}\r\n\r\n"),
        (ResponseHead::redirect(Status::FOUND, "https://a/"),
            "Status: 302 Found\r\nLocation: https://a/\r\n\r\n"),
        (ResponseHead::redirect(Status::SEE_OTHER, "https://a/").with_field("A", "b"),
            "Status: 303 See Other\r\nLocation: https://a/\r\nA: b\r\n\r\n"),
        (ok().with_field("A", "b\tc\u{e9}").with_field("C", ""),
            "Status: 200 OK\r\nA: b\tc\u{e9}\r\nC: \r\n\r\n"),
        (ResponseHead::new(Status::RESET_CONTENT).with_field("Content-Length", "0"),
            "Status: 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
        // The only response without a status: Apache would not take it for a local redirect.
        (ResponseHead::local_redirect("/a?b"), "Location: /a?b\r\n\r\n"),
    ];
    for (head, expected) in rows {
        assert_eq!(encode(&head).as_deref(), Ok(expected));
        let decoded = decode(expected.as_bytes()).expect("what was encoded").head;
        assert_eq!((decoded.status(), decoded.kind()), (head.status(), head.kind()));
        assert_eq!(decoded.fields(), head.fields());
    }
}

#[test]
fn what_the_encoder_refuses() {
    use EncodeError::*;
    let status = |code| ResponseHead::new(Status::new(code).expect("a status"));
    let length = |value: &str| ok().with_field("Content-Length", value);
    #[rustfmt::skip]
    let mut rows = vec![
        (status(100), InvalidStatus { code: 100 }),
        (status(101), UpgradeNotOffered),
        (status(199), InvalidStatus { code: 199 }),
        (ok().with_reason("a\r\nb"), InvalidReason),
        (ok().with_reason("a\0"), InvalidReason),
        (ok().with_field("", "b"), InvalidFieldName { index: 0 }),
        (ok().with_field("A", "b").with_field("A B", "b"), InvalidFieldName { index: 1 }),
        (ok().with_field("A:", "b"), InvalidFieldName { index: 0 }),
        (ok().with_field("A\r\nB", "b"), InvalidFieldName { index: 0 }),
        (ok().with_field("\u{e9}", "b"), InvalidFieldName { index: 0 }),
        (ok().with_field("A", "b\r\nC: d"), InvalidFieldValue { index: 0 }),
        (ok().with_field("A", "b\n"), InvalidFieldValue { index: 0 }),
        (ok().with_field("A", "b\r"), InvalidFieldValue { index: 0 }),
        (ok().with_field("A", "b\0"), InvalidFieldValue { index: 0 }),
        (ResponseHead::local_redirect("/").with_field("A", "b"), FieldInLocalRedirect { index: 1 }),
        (ok().with_field("A", "\u{1b}[2J"), InvalidFieldValue { index: 0 }),
        (ok().with_field("A", "b\u{1}"), InvalidFieldValue { index: 0 }),
        (ok().with_field("A", "b\u{7f}"), InvalidFieldValue { index: 0 }),
        (ok().with_field("A", "b\u{b}"), InvalidFieldValue { index: 0 }),
        (ok().with_reason("a\u{1b}"), InvalidReason),
        (ResponseHead::local_redirect(""), InvalidLocalRedirect),
        (ResponseHead::local_redirect("a"), InvalidLocalRedirect),
        (ResponseHead::local_redirect("//host"), InvalidLocalRedirect),
        (ResponseHead::local_redirect("//host/a?b"), InvalidLocalRedirect),
        (ResponseHead::local_redirect("https://host/"), InvalidLocalRedirect),
        (ResponseHead::local_redirect("/\\host"), InvalidLocalRedirect),
        (ResponseHead::local_redirect("/\t/host"), InvalidLocalRedirect),
        (ResponseHead::local_redirect(" /a"), InvalidLocalRedirect),
        (ResponseHead::local_redirect("/a\nb"), InvalidFieldValue { index: 0 }),
        ({
            let mut head = ResponseHead::local_redirect("/a");
            head.set_status(Status::SEE_OTHER);
            head
        }, StatusInLocalRedirect { code: 303 }),
        (ResponseHead::local_redirect("/a").with_reason("Over there"),
            StatusInLocalRedirect { code: 302 }),
        (ResponseHead::new(Status::RESET_CONTENT).with_field("Content-Length", "1"),
            InvalidResponseLength { index: 0 }),
        (length("x"), InvalidResponseLength { index: 0 }),
        (length(""), InvalidResponseLength { index: 0 }),
        (length("1").with_field("content-length", "1"), InvalidResponseLength { index: 1 }),
    ];
    for name in ["Connection", "keep-alive", "Proxy-Connection", "TE", "Trailer", "Upgrade"] {
        rows.push((ok().with_field(name, "x"), ForbiddenField { index: 0 }));
    }
    for name in ["Transfer-Encoding", "transfer-encoding", "Status", "STATUS"] {
        rows.push((ok().with_field("A", "b").with_field(name, "x"), ForbiddenField { index: 1 }));
    }
    for (head, error) in rows {
        assert_eq!(encode(&head), Err(error), "{head:?}");
    }
}

/// An encoder after this head.
fn begun(encoder: ResponseEncoder, head: &ResponseHead) -> ResponseEncoder {
    let mut encoder = encoder;
    encoder.head(head, &mut BytesMut::new()).expect("a legal head");
    encoder
}

#[test]
fn the_encoder_counts_the_body() {
    let mut encoder = ResponseEncoder::default();
    assert_eq!(encoder.body(1), Err(EncodeError::HeadMissing));
    assert_eq!(encoder.finish(), Err(EncodeError::HeadMissing));
    let mut encoder = begun(encoder, &ok().with_field("Content-Length", "5"));
    assert_eq!(encoder.head(&ok(), &mut BytesMut::new()), Err(EncodeError::AlreadySent));
    assert_eq!(encoder.body(3), Ok(()));
    assert_eq!(encoder.finish(), Err(EncodeError::BodyTooShort { missing: 2 }));
    assert_eq!(encoder.body(4), Err(EncodeError::BodyTooLong { excess: 2 }));
    assert_eq!(encoder.body(2), Ok(()));
    assert_eq!(encoder.finish(), Ok(()));
    assert_eq!(encoder.finish(), Err(EncodeError::AlreadySent));
    assert_eq!(encoder.body(0), Err(EncodeError::AlreadySent));

    let mut unstated = begun(ResponseEncoder::default(), &ok());
    assert_eq!(unstated.body(usize::MAX), Ok(()));
    assert_eq!(unstated.body(usize::MAX), Ok(()));
    assert_eq!(unstated.finish(), Ok(()));
}

#[test]
fn responses_without_a_body() {
    let not_modified = ResponseHead::new(Status::NOT_MODIFIED).with_field("Content-Length", "9");
    for (head, code) in [
        (ResponseHead::new(Status::NO_CONTENT), 204),
        (ResponseHead::new(Status::RESET_CONTENT), 205),
        (not_modified, 304),
        (ResponseHead::local_redirect("/"), 302),
    ] {
        let mut encoder = begun(ResponseEncoder::default(), &head);
        assert_eq!(encoder.body(1), Err(EncodeError::BodyNotAllowed { code }));
        assert_eq!(encoder.body(0), Ok(()));
        assert_eq!(encoder.finish(), Ok(()), "{head:?}");
    }
    let head = ok().with_field("Content-Length", "9");
    let mut encoder = begun(ResponseEncoder::default().for_head_request(), &head);
    assert_eq!(encoder.finish(), Ok(()), "HEAD states the length of what GET would give");
}

#[test]
fn secrets_and_control_bytes_are_not_shown() {
    let head = ok()
        .with_reason("a\u{1b}[2J")
        .with_field("Set-Cookie", "s3cret")
        .with_field("X", "b\r\nforged\u{1b}");
    let shown = format!("{head:?} {:?}", head.fields());
    assert!(!shown.contains("s3cret") && shown.contains("[redacted]"), "{shown}");
    assert!(shown.contains(r"a\x1b[2J") && shown.contains(r"b\r\nforged\x1b"), "{shown}");
    assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{shown}");
}

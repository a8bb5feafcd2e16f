//! The rules of requests, one row each, by the default and by the strict policy.

use std::fs;
use std::path::Path;

use bytes::BytesMut;
use scgi_proto::{
    Decode, DecodeBuffer, DecodeError, EncodeError, Limits, Part, Policy, Protocol, RequestDecoder,
    RequestEncoder, RequestEvent, RequestHead, RequestHeadBuilder, Status,
};

type Pairs = &'static [(&'static str, &'static str)];

const LENGTH: (&str, &str) = ("CONTENT_LENGTH", "0");
const SCGI: (&str, &str) = ("SCGI", "1");

/// A request's head with these params, correctly framed.
fn framed(params: &[(&str, &str)]) -> Vec<u8> {
    let block: String = params.iter().map(|(name, value)| format!("{name}\0{value}\0")).collect();
    format!("{}:{block},", block.len()).into_bytes()
}

/// Where the name of a param is in what `framed` makes.
fn offset(params: &[(&str, &str)], index: usize) -> usize {
    let block: usize = params.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let before: usize = params[..index].iter().map(|(n, v)| n.len() + v.len() + 2).sum();
    format!("{block}:").len() + before
}

fn head(input: &[u8], policy: Policy) -> Result<Option<RequestHead>, DecodeError> {
    let mut decoder = RequestDecoder::new(Limits::default(), policy);
    match decoder.decode(&mut BytesMut::from(input))? {
        Some(RequestEvent::Head(head)) => Ok(Some(head)),
        None => Ok(None),
        Some(other) => panic!("{other:?} before the head"),
    }
}

/// What becomes of a head.
#[derive(Clone, Copy)]
enum Verdict {
    /// It is accepted, and a body of so many bytes follows.
    Body(u64),
    /// It is refused; the error holds the offset of the name of the param with this index.
    Refused(usize, fn(usize) -> DecodeError),
}
use Verdict::{Body, Refused};

impl Verdict {
    fn check(self, rule: &str, params: Pairs, policy: Policy) {
        let result = head(&framed(params), policy);
        match self {
            Body(len) => {
                let head = result.unwrap_or_else(|e| panic!("{rule}: {e}")).expect("a whole head");
                assert_eq!(head.body_length(), len, "{rule}: {params:?}");
                let sent = params.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                assert!(head.params().iter().eq(sent), "{rule}: {head:?}");
            }
            Refused(index, error) => {
                assert_eq!(result, Err(error(offset(params, index))), "{rule}: {params:?}");
            }
        }
    }
}

fn not_first(offset: usize) -> DecodeError {
    DecodeError::ContentLengthNotFirst { offset }
}
fn missing_length(_: usize) -> DecodeError {
    DecodeError::MissingContentLength
}
fn invalid_length(offset: usize) -> DecodeError {
    DecodeError::InvalidContentLength { offset }
}
fn unknown_length(offset: usize) -> DecodeError {
    DecodeError::UnknownContentLength { offset }
}
fn misspelled(offset: usize) -> DecodeError {
    DecodeError::MisspelledContentLength { offset }
}
fn overflow(offset: usize) -> DecodeError {
    DecodeError::ContentLengthOverflow { offset }
}
fn second_length(offset: usize) -> DecodeError {
    DecodeError::DuplicateContentLength { offset }
}
fn missing_scgi(_: usize) -> DecodeError {
    DecodeError::MissingScgi
}
fn version(offset: usize) -> DecodeError {
    DecodeError::UnsupportedVersion { offset }
}
fn second_scgi(offset: usize) -> DecodeError {
    DecodeError::DuplicateScgi { offset }
}
fn repeated(offset: usize) -> DecodeError {
    DecodeError::DuplicateName { offset }
}
fn http_length(offset: usize) -> DecodeError {
    DecodeError::InvalidHttpContentLength { offset }
}
fn disagree(_: usize) -> DecodeError {
    DecodeError::LengthDisagreement { content_length: 5, http_content_length: 77 }
}

const TOO_MANY_DIGITS: &str = "18446744073709551616";
const MAX_LENGTH: &str = "18446744073709551615";

/// The rule, the params, by default, strictly.
#[rustfmt::skip]
const RULES: &[(&str, Pairs, Verdict, Verdict)] = &[
    ("as specified", &[("CONTENT_LENGTH", "5"), SCGI], Body(5), Body(5)),
    ("length absent", &[SCGI], Body(0), Refused(0, missing_length)),
    ("length empty", &[("CONTENT_LENGTH", ""), SCGI], Body(0), Refused(0, missing_length)),
    ("length second", &[SCGI, ("CONTENT_LENGTH", "3")], Body(3), Refused(1, not_first)),
    ("length last", &[SCGI, ("A", ""), LENGTH], Body(0), Refused(2, not_first)),
    ("leading zeros", &[("CONTENT_LENGTH", "007"), SCGI], Body(7), Body(7)),
    ("64 bits", &[("CONTENT_LENGTH", MAX_LENGTH), SCGI], Body(u64::MAX), Body(u64::MAX)),
    ("65 bits", &[("CONTENT_LENGTH", TOO_MANY_DIGITS)], Refused(0, overflow), Refused(0, overflow)),
    ("unknown", &[("CONTENT_LENGTH", "-1")], Refused(0, unknown_length), Refused(0, unknown_length)),
    ("minus", &[("CONTENT_LENGTH", "-2")], Refused(0, invalid_length), Refused(0, invalid_length)),
    ("spelled as in HTTP", &[SCGI, ("Content-Length", "5")],
        Refused(1, misspelled), Refused(1, misspelled)),
    ("small letters", &[("content_length", "5")], Refused(0, misspelled), Refused(0, misspelled)),
    ("another spelling beside", &[LENGTH, SCGI, ("Content-Length", "5")], Body(0), Body(0)),
    ("another spelling before", &[("Content-Length", "5"), LENGTH, SCGI],
        Body(0), Refused(1, not_first)),
    ("plus", &[("CONTENT_LENGTH", "+1")], Refused(0, invalid_length), Refused(0, invalid_length)),
    ("blank", &[("CONTENT_LENGTH", " 1")], Refused(0, invalid_length), Refused(0, invalid_length)),
    ("blank", &[("CONTENT_LENGTH", "1 ")], Refused(0, invalid_length), Refused(0, invalid_length)),
    ("hex", &[("CONTENT_LENGTH", "0x1")], Refused(0, invalid_length), Refused(0, invalid_length)),
    ("list", &[("CONTENT_LENGTH", "1, 1")], Refused(0, invalid_length), Refused(0, invalid_length)),
    ("digits of Unicode", &[("CONTENT_LENGTH", "\u{661}")],
        Refused(0, invalid_length), Refused(0, invalid_length)),
    ("two lengths", &[LENGTH, SCGI, ("CONTENT_LENGTH", "9")],
        Refused(2, second_length), Refused(2, second_length)),
    ("the same length twice", &[LENGTH, SCGI, LENGTH], Body(0), Refused(2, second_length)),
    ("the same length, padded", &[("CONTENT_LENGTH", "7"), SCGI, ("CONTENT_LENGTH", "07")],
        Body(7), Refused(2, second_length)),
    ("a length and a word", &[LENGTH, SCGI, ("CONTENT_LENGTH", "x")],
        Refused(2, second_length), Refused(2, second_length)),
    ("no length and an empty one", &[LENGTH, SCGI, ("CONTENT_LENGTH", "")],
        Body(0), Refused(2, second_length)),
    ("a length and an empty one", &[("CONTENT_LENGTH", "7"), SCGI, ("CONTENT_LENGTH", "")],
        Refused(2, second_length), Refused(2, second_length)),
    ("an empty length and no length", &[("CONTENT_LENGTH", ""), SCGI, LENGTH],
        Body(0), Refused(2, second_length)),
    ("an empty length and another", &[("CONTENT_LENGTH", ""), SCGI, ("CONTENT_LENGTH", "7")],
        Refused(2, second_length), Refused(2, second_length)),
    ("three lengths", &[LENGTH, SCGI, LENGTH, ("CONTENT_LENGTH", "7")],
        Refused(3, second_length), Refused(2, second_length)),
    ("no SCGI", &[LENGTH], Body(0), Refused(0, missing_scgi)),
    ("SCGI late", &[LENGTH, ("A", "b"), SCGI], Body(0), Body(0)),
    ("another version", &[LENGTH, ("SCGI", "2")], Refused(1, version), Refused(1, version)),
    ("no version", &[LENGTH, ("SCGI", "")], Refused(1, version), Refused(1, version)),
    ("version 01", &[LENGTH, ("SCGI", "01")], Refused(1, version), Refused(1, version)),
    ("SCGI twice", &[LENGTH, SCGI, SCGI], Refused(2, second_scgi), Refused(2, second_scgi)),
    ("a name twice", &[LENGTH, SCGI, ("A", "1"), ("A", "2")], Body(0), Refused(3, repeated)),
    ("a param twice", &[LENGTH, SCGI, ("A", "1"), ("A", "1")], Body(0), Refused(3, repeated)),
    ("the first of two repetitions", &[LENGTH, SCGI, ("B", ""), ("A", ""), ("A", ""), ("B", "")],
        Body(0), Refused(4, repeated)),
    ("case matters", &[LENGTH, SCGI, ("a", "1"), ("A", "2")], Body(0), Body(0)),
    ("case matters to SCGI", &[LENGTH, ("scgi", "2")], Body(0), Refused(0, missing_scgi)),
    ("case matters to the length", &[LENGTH, SCGI, ("content_length", "9")], Body(0), Body(0)),
    ("any byte in a name", &[LENGTH, SCGI, ("\u{1}\n=,: \u{e9}", "x")], Body(0), Body(0)),
    ("any byte in a value", &[LENGTH, SCGI, ("A", "\u{1}\n=,: \u{e9}")], Body(0), Body(0)),
    ("empty values", &[LENGTH, SCGI, ("A", ""), ("B", "")], Body(0), Body(0)),
    ("lengths agree", &[("CONTENT_LENGTH", "5"), SCGI, ("HTTP_CONTENT_LENGTH", "5")],
        Body(5), Body(5)),
    ("compared as numbers", &[("CONTENT_LENGTH", "5"), SCGI, ("HTTP_CONTENT_LENGTH", "005")],
        Body(5), Body(5)),
    ("lengths disagree", &[("CONTENT_LENGTH", "5"), SCGI, ("HTTP_CONTENT_LENGTH", "77")],
        Body(5), Refused(0, disagree)),
    ("the other length is none", &[LENGTH, SCGI, ("HTTP_CONTENT_LENGTH", "abc")],
        Body(0), Refused(2, http_length)),
    ("the other length is empty", &[LENGTH, SCGI, ("HTTP_CONTENT_LENGTH", "")],
        Body(0), Refused(2, http_length)),
    ("the other length twice",
        &[LENGTH, SCGI, ("HTTP_CONTENT_LENGTH", "0"), ("HTTP_CONTENT_LENGTH", "0")],
        Body(0), Refused(3, repeated)),
];

#[test]
fn the_last_param_of_a_name_is_found_wherever_it_stands() {
    let names = ["A", "BB", "CC", "A", "", "DDDDDDDDDDDDDDDD", "BB", "C\u{e9}", "E"];
    for len in 0..=names.len() {
        let builder = RequestHeadBuilder::default();
        let head = names[..len]
            .iter()
            .enumerate()
            .fold(builder, |builder, (index, name)| builder.append(name, "v".repeat(index)));
        let head = head.build();
        for name in names.iter().chain(&["B", "F", "AA"]) {
            let expected = names[..len].iter().rposition(|other| other == name);
            let found = head.params().get(name).map(<[u8]>::len);
            assert_eq!(found, expected, "{name:?} of {len}");
        }
    }
}

#[test]
fn rules() {
    for &(rule, params, default, strict) in RULES {
        default.check(rule, params, Policy::default());
        strict.check(rule, params, Policy::strict());
    }
}

/// Bytes of a head, and its errors by default and strictly.
type Framing = (&'static [u8], Result<(), DecodeError>, Result<(), DecodeError>);

#[test]
fn framing() {
    use DecodeError::*;
    fn both(input: &'static [u8], error: DecodeError) -> Framing {
        (input, Err(error.clone()), Err(error))
    }
    #[rustfmt::skip]
    let rows: Vec<Framing> = vec![
        (b"0:,", Ok(()), Err(EmptyHeaderBlock)),
        both(b"0:;", MissingComma { offset: 2, byte: b';' }),
        both(b"00", LeadingZero),
        both(b"01", LeadingZero),
        both(b":", InvalidLength { offset: 0, byte: b':' }),
        both(b"-", InvalidLength { offset: 0, byte: b'-' }),
        both(b"+", InvalidLength { offset: 0, byte: b'+' }),
        both(b" ", InvalidLength { offset: 0, byte: b' ' }),
        both(b"\n", InvalidLength { offset: 0, byte: b'\n' }),
        both(b"\xb2", InvalidLength { offset: 0, byte: 0xb2 }),
        both(b"1 ", InvalidLength { offset: 1, byte: b' ' }),
        both(b"12,", InvalidLength { offset: 2, byte: b',' }),
        both(b"262145", HeaderBlockTooLarge { len: 262_145, max: 262_144 }),
        both(b"4:A\0b\0;", MissingComma { offset: 6, byte: b';' }),
        both(b"4:A\0b\0\0", MissingComma { offset: 6, byte: 0 }),
        both(b"3:A\0b,", MissingFinalNul { offset: 4 }),
        both(b"1:A,", MissingFinalNul { offset: 2 }),
        both(b"2:A\0,", MissingValue { offset: 2 }),
        both(b"1:\0,", MissingValue { offset: 2 }),
        both(b"6:A\0b\0C\0,", MissingValue { offset: 6 }),
        both(b"3:\0b\0,", EmptyName { offset: 2 }),
        both(b"2:\0\0,", EmptyName { offset: 2 }),
        both(b"6:A\0b\0\0\0,", EmptyName { offset: 6 }),
    ];
    for (input, default, strict) in rows {
        for (policy, expected) in [(Policy::default(), default), (Policy::strict(), strict)] {
            let shown = input.escape_ascii();
            assert_eq!(head(input, policy).map(|_| ()), expected, "{shown}");
            // Not a byte earlier, and so not a byte later either: these end with the culprit.
            let before = head(&input[..input.len() - 1], policy);
            assert_eq!(before, Ok(None), "{shown} less its last byte");
        }
    }
}

#[test]
fn nothing_is_read_past_the_block() {
    // The last param's NUL would follow the comma: a decoder that searches on finds it.
    assert_eq!(
        head(b"3:A\0b,\0", Policy::default()),
        Err(DecodeError::MissingFinalNul { offset: 4 })
    );
    assert_eq!(
        head(b"2:A\0,b\0,", Policy::default()),
        Err(DecodeError::MissingValue { offset: 2 })
    );
}

/// Each knob alone: what it is called, strict with it, default without it, and a head that
/// only it decides on, with the error of a refusal.
#[test]
fn every_knob_alone() {
    use DecodeError::*;
    let agree = &[("CONTENT_LENGTH", "5"), SCGI, ("HTTP_CONTENT_LENGTH", "77")];
    type Knob = fn(Policy, bool) -> Policy;
    let knobs: [(&str, Knob, Vec<u8>, DecodeError); 7] = [
        ("empty block", Policy::with_empty_block, b"0:,".to_vec(), EmptyHeaderBlock),
        (
            "absent length",
            Policy::with_optional_content_length,
            framed(&[SCGI]),
            MissingContentLength,
        ),
        (
            "late length",
            Policy::with_optional_content_length,
            framed(&[SCGI, LENGTH]),
            ContentLengthNotFirst { offset: offset(&[SCGI, LENGTH], 1) },
        ),
        ("absent SCGI", Policy::with_optional_scgi, framed(&[LENGTH]), MissingScgi),
        (
            "repeated name",
            Policy::with_repeated_names,
            framed(&[LENGTH, SCGI, ("A", "1"), ("A", "2")]),
            DuplicateName { offset: offset(&[LENGTH, SCGI, ("A", "1"), ("A", "2")], 3) },
        ),
        ("disagreement", Policy::with_length_disagreement, framed(agree), disagree(0)),
        (
            "other length is none",
            Policy::with_length_disagreement,
            framed(&[LENGTH, SCGI, ("HTTP_CONTENT_LENGTH", "x")]),
            InvalidHttpContentLength {
                offset: offset(&[LENGTH, SCGI, ("HTTP_CONTENT_LENGTH", "x")], 2),
            },
        ),
    ];
    for (what, knob, input, error) in knobs {
        assert_eq!(head(&input, Policy::strict()), Err(error.clone()), "{what}, strict");
        assert!(head(&input, knob(Policy::strict(), true)).is_ok(), "{what}, strict but this");
        assert!(head(&input, Policy::default()).is_ok(), "{what}, default");
        assert_eq!(head(&input, knob(Policy::default(), false)), Err(error), "{what}, default not");
    }
}

#[test]
fn a_repeated_other_length_is_refused_where_repeated_names_are_not() {
    let other = ("HTTP_CONTENT_LENGTH", "0");
    let params = [LENGTH, SCGI, other, other];
    let policy = Policy::strict().with_repeated_names(true);
    let error = DecodeError::InvalidHttpContentLength { offset: offset(&params, 3) };
    assert_eq!(head(&framed(&params), policy), Err(error.clone()));
    let policy = Policy::default().with_body_from_http_content_length(true);
    assert_eq!(head(&framed(&params), policy), Err(error));
}

#[test]
fn the_body_may_be_as_long_as_http_content_length_says() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/nginx");
    let bytes = fs::read(vectors.join("nobuf_surplus.scgi")).expect("the capture");
    let take = Policy::default().with_body_from_http_content_length(true);
    for (policy, expected, surplus) in [(Policy::default(), 1000, 2000), (take, 3000, 0)] {
        let mut decoder = RequestDecoder::new(Limits::default(), policy);
        let mut buf = BytesMut::from(&bytes[..]);
        let mut body = 0;
        while let Some(event) = decoder.decode(&mut buf).expect("a legal request") {
            match event {
                RequestEvent::Head(head) => {
                    assert_eq!((head.content_length(), head.body_length()), (1000, expected));
                    assert!(head.lengths_disagree());
                }
                RequestEvent::Body(chunk) => body += chunk.len() as u64,
                RequestEvent::End => assert!(decoder.is_done()),
            }
        }
        assert_eq!((body, decoder.surplus()), (expected, surplus));
    }
    let params = [LENGTH, SCGI, ("HTTP_CONTENT_LENGTH", "77, 78")];
    let error = DecodeError::InvalidHttpContentLength { offset: offset(&params, 2) };
    assert_eq!(head(&framed(&params), take), Err(error));
    let without = head(&framed(&[("CONTENT_LENGTH", "5")]), take).expect("legal").expect("whole");
    assert_eq!(without.body_length(), 5);
}

#[test]
fn the_end_of_input_at_every_place() {
    let input = b"24:CONTENT_LENGTH\x002\0SCGI\x001\0,hi";
    for cut in 0..=input.len() {
        let mut decoder = RequestDecoder::default();
        let mut buf = BytesMut::from(&input[..cut]);
        let end = loop {
            match decoder.decode_eof(&mut buf) {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let (part, missing) = match cut {
            0 | 30 => {
                assert_eq!(end, Ok(()), "{cut}");
                assert_eq!(decoder.is_done(), cut == 30);
                continue;
            }
            1..3 => (Part::Length, 2),
            3..28 => (Part::HeaderBlock, 28 - cut as u64),
            _ => (Part::RequestBody, 30 - cut as u64),
        };
        assert_eq!(end, Err(DecodeError::UnexpectedEnd { part, missing }), "{cut}");
    }
}

#[test]
fn what_follows_the_body_is_counted_and_never_a_request() {
    let mut receiver = DecodeBuffer::new(RequestDecoder::default());
    let input = b"24:CONTENT_LENGTH\x002\0SCGI\x001\0,hi0:,GET /";
    receiver.buffer_mut().extend_from_slice(input);
    receiver.advance(input.len());
    let mut events = 0;
    while receiver.next_event().expect("a legal request").is_some() {
        events += 1;
    }
    assert_eq!((events, receiver.decoder().surplus()), (3, 8));
    assert!(receiver.is_finished());
}

#[test]
fn values_of_a_repeated_name() {
    let params = [("A", "1"), ("HTTP_COOKIE", "a=1"), ("A", "2"), ("HTTP_COOKIE", "b=2")];
    let head = head(&framed(&params), Policy::default()).expect("legal").expect("whole");
    let params = head.params();
    assert_eq!(params.get("A"), Some(&b"2"[..]), "a later scgi_param overrides");
    assert!(params.get_all("A").eq([b"1", b"2"]));
    assert_eq!(params.cookie().as_deref(), Some(&b"a=1; b=2"[..]));
    assert_eq!((params.get("a"), params.get_all("a").count()), (None, 0));
}

#[test]
fn secrets_and_control_bytes_are_not_shown() {
    let secrets = [
        ("HTTP_COOKIE", "s3cret"),
        ("HTTP_AUTHORIZATION", "s3cret"),
        ("HTTP_PROXY_AUTHORIZATION", "s3cret"),
        ("HTTP_Authorization", "s3cret"),
        ("HTTP_X", "a\r\nforged\u{1b}[2J\u{e9}"),
        ("HTTP_\n", "plain"),
    ];
    let head = head(&framed(&secrets), Policy::default()).expect("legal").expect("whole");
    for shown in [format!("{head:?}"), format!("{:?}", head.params()), head.params().to_string()] {
        assert!(!shown.contains("s3cret") && shown.contains("[redacted]"), "{shown}");
        assert!(shown.contains("plain") && shown.contains(r"a\r\nforged\x1b[2J\xc3\xa9"));
        assert!(shown.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
    }
    let lines = head.params().to_string();
    assert_eq!(lines.lines().count(), secrets.len(), "{lines}");
}

#[test]
fn mix_ups_say_what_to_change() {
    #[rustfmt::skip]
    let rows: [(&[u8], Protocol, &[&str]); 3] = [
        (b"GET / HTTP/1.1\r\n", Protocol::Http, &["HTTP request", "scgi_pass", "ProxyPass scgi://"]),
        (b"\x16\x03\x01\x02\0", Protocol::Tls, &["TLS", "front server"]),
        (b"\x01\x01\0\x01\0", Protocol::FastCgi, &["FastCGI", "scgi_pass instead of fastcgi_pass"]),
    ];
    for (input, protocol, words) in rows {
        let error = head(input, Policy::default()).expect_err("another protocol");
        assert_eq!(error, DecodeError::NotScgi { protocol });
        assert_eq!(error.status_hint(), Status::BAD_REQUEST);
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

fn encode(head: &RequestHead) -> Result<Vec<u8>, EncodeError> {
    let mut out = BytesMut::from("before");
    let result = RequestEncoder::default().head(head, &mut out);
    if result.is_err() {
        assert_eq!(out, "before", "nothing is written on an error");
    }
    result.map(|()| out[6..].to_vec())
}

#[test]
fn what_the_encoder_refuses() {
    use EncodeError::*;
    let new = RequestHeadBuilder::default;
    #[rustfmt::skip]
    let rows = [
        (new().append("", "x"), EmptyName { index: 0 }),
        (new().append("A", "x").append("", ""), EmptyName { index: 1 }),
        (new().append("A\0", "x"), NulByte { index: 0 }),
        (new().append("A", "x\0"), NulByte { index: 0 }),
        (new().append("CONTENT_LENGTH", "0").append("CONTENT_LENGTH", "0"),
            DuplicateContentLength { index: 1 }),
        (new().append("CONTENT_LENGTH", "4").content_length(5), ContentLengthMismatch { index: 0 }),
        (new().append("CONTENT_LENGTH", "").content_length(5), ContentLengthMismatch { index: 0 }),
        (new().append("CONTENT_LENGTH", "x"), ContentLengthMismatch { index: 0 }),
        (new().append("SCGI", "1").append("SCGI", "1"), DuplicateScgi { index: 1 }),
        (new().append("SCGI", "2"), UnsupportedVersion { index: 0 }),
    ];
    for (builder, error) in rows {
        assert_eq!(encode(&builder.build()), Err(error));
    }
}

#[test]
fn framing_comes_first_whatever_the_order() {
    let head = RequestHeadBuilder::default()
        .append("A", "b")
        .append("SCGI", "1")
        .append("C", "")
        .append("CONTENT_LENGTH", "007")
        .content_length(7)
        .build();
    let expected = b"33:CONTENT_LENGTH\x00007\0SCGI\x001\0A\0b\0C\0\0,";
    assert_eq!(encode(&head).expect("legal"), expected);
}

#[test]
fn the_encoder_counts_the_body() {
    let head = RequestHeadBuilder::default().content_length(5).build();
    let mut out = BytesMut::new();
    let mut encoder = RequestEncoder::default();
    assert_eq!(encoder.body(1), Err(EncodeError::HeadMissing));
    assert_eq!(encoder.finish(), Err(EncodeError::HeadMissing));
    assert_eq!(encoder.head(&head, &mut out), Ok(()));
    assert_eq!(encoder.head(&head, &mut out), Err(EncodeError::AlreadySent));
    assert_eq!(encoder.body(3), Ok(()));
    assert_eq!(encoder.finish(), Err(EncodeError::BodyTooShort { missing: 2 }));
    assert_eq!(encoder.body(4), Err(EncodeError::BodyTooLong { excess: 2 }));
    assert_eq!(encoder.body(2), Ok(()));
    assert_eq!(encoder.finish(), Ok(()));
    assert_eq!(encoder.finish(), Err(EncodeError::AlreadySent));
    assert_eq!(encoder.body(0), Err(EncodeError::AlreadySent));
}

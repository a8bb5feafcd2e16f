//! The law of splits: however the bytes are cut, the same comes out; and encode then decode is
//! the identity.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use scgi_proto::{
    Decode, DecodeError, Limits, Policy, RequestDecoder, RequestEncoder, RequestEvent,
    RequestHeadBuilder, ResponseDecoder, ResponseEncoder, ResponseEvent, ResponseHead, Status,
};

/// Events with the chunks of the body joined, and the error that ended them.
#[derive(Debug, PartialEq)]
struct Outcome<Event> {
    events: Vec<Event>,
    error: Option<DecodeError>,
}

/// Joins an event to the ones before it.
trait Join: Sized {
    fn join(self, events: &mut Vec<Self>);
}

impl Join for RequestEvent {
    fn join(self, events: &mut Vec<Self>) {
        match (events.last_mut(), self) {
            (Some(Self::Body(all)), Self::Body(chunk)) => *all = concat(all, &chunk),
            (_, event) => events.push(event),
        }
    }
}

impl Join for ResponseEvent {
    fn join(self, events: &mut Vec<Self>) {
        match (events.last_mut(), self) {
            (Some(Self::Body(all)), Self::Body(chunk)) => *all = concat(all, &chunk),
            (_, event) => events.push(event),
        }
    }
}

fn concat(first: &[u8], second: &[u8]) -> Bytes {
    [first, second].concat().into()
}

fn outcome<'a, D>(mut decoder: D, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome<D::Event>
where
    D: Decode,
    D::Event: Join,
{
    let mut buf = BytesMut::new();
    let mut events = Vec::new();
    let mut pieces = pieces.into_iter();
    loop {
        let piece = pieces.next();
        buf.extend_from_slice(piece.unwrap_or_default());
        loop {
            let event = match piece {
                Some(_) => decoder.decode(&mut buf),
                None => decoder.decode_eof(&mut buf),
            };
            match event {
                Ok(Some(event)) => event.join(&mut events),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut buf).err(), Some(error.clone()), "it stays");
                    return Outcome { events, error: Some(error) };
                }
            }
        }
        if piece.is_none() {
            return Outcome { events, error: None };
        }
    }
}

fn check_splits<D>(input: &[u8], decoder: impl Fn() -> D)
where
    D: Decode,
    D::Event: Join + PartialEq + std::fmt::Debug,
{
    let whole = outcome(decoder(), [input]);
    assert_eq!(outcome(decoder(), input.chunks(1)), whole, "{:?} bytewise", input.escape_ascii());
    for first in 0..=input.len() {
        for second in first..=input.len() {
            let pieces = [&input[..first], &input[first..second], &input[second..]];
            assert_eq!(outcome(decoder(), pieces), whole, "{first} {second} {input:?}");
        }
    }
}

const REQUESTS: [&[u8]; 22] = [
    b"",
    b"0:,",
    b"0:,surplus",
    b"24:CONTENT_LENGTH\x002\x00SCGI\x001\x00,hi",
    b"24:CONTENT_LENGTH\x002\x00SCGI\x001\x00,high",
    b"24:CONTENT_LENGTH\x002\x00SCGI\x001\x00,h",
    b"24:CONTENT_LENGTH\x002\x00SCGI\x001\x00;hi",
    b"25:CONTENT_LENGTH\x0002\x00SCGI\x001\x00,hi",
    b"24:CONTENT_LENGTH\x00x\x00SCGI\x001\x00,hi",
    b"24:CONTENT_LENGTH\x000\x00SCGI\x002\x00,",
    b"8:A\0b\0A\0c\0,",
    b"4:A\0b\0,",
    b"3:A\0b,",
    b"2:A\0,",
    b"3:\0b\0,",
    b"00:,",
    b"9999999:",
    b"-1:,",
    b"5",
    b"GET / HTTP/1.0\r\n\r\n",
    b"\x16\x03\x01\x02",
    b"\x01\x01\x00\x01",
];

const RESPONSES: [&[u8]; 14] = [
    b"",
    b"Status: 200 OK\r\n\r\nhi",
    b"Status: 404\nA: b\n\nhi",
    b"HTTP/1.1 201 Made\r\nA:b\r\n\r\n",
    b"Content-Length: 2\r\n\r\nhigh",
    b"Content-Length: 9\r\n\r\nhigh",
    b"Content-Length: 2\nContent-Length: 3\n\nhi",
    b"Location: http://a/\n\n",
    b"Location: /a\n\n",
    b"Status: 204\n\nx",
    b"Status: 100\n\nStatus: 200\n\n",
    b"\nbody",
    b"no response",
    b"a b: c\n\n",
];

#[test]
fn short_requests_however_cut() {
    let small = Limits::default().with_max_header_block_len(1000);
    for input in REQUESTS {
        check_splits(input, || RequestDecoder::new(small, Policy::default()));
        check_splits(input, || RequestDecoder::new(small, Policy::strict()));
    }
}

#[test]
fn short_responses_however_cut() {
    for input in RESPONSES {
        check_splits(input, ResponseDecoder::default);
    }
}

/// Bytes cut into pieces of these lengths, over and over.
fn cut<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for len in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*len).clamp(1, bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(1_u8..=255, 0..40)
}

proptest! {
    #[test]
    fn any_bytes_however_cut(bytes in vec(any::<u8>(), 0..300), lengths in vec(1..50_usize, 1..8)) {
        let pieces = cut(&bytes, &lengths);
        let whole = outcome(RequestDecoder::default(), [&bytes[..]]);
        prop_assert_eq!(outcome(RequestDecoder::default(), pieces.iter().copied()), whole);
        let whole = outcome(ResponseDecoder::default(), [&bytes[..]]);
        prop_assert_eq!(outcome(ResponseDecoder::default(), pieces.iter().copied()), whole);
    }

    #[test]
    fn any_block_however_cut(block in vec(any::<u8>(), 0..300), lengths in vec(1..50_usize, 1..8)) {
        let request = [format!("{}:", block.len()).as_bytes(), &block, b",body"].concat();
        let pieces = cut(&request, &lengths);
        for policy in [Policy::default(), Policy::strict()] {
            let decoder = || RequestDecoder::new(Limits::default(), policy);
            let whole = outcome(decoder(), [&request[..]]);
            prop_assert_eq!(outcome(decoder(), pieces.iter().copied()), whole);
        }
    }

    #[test]
    fn requests_come_back(
        params in vec((vec(1_u8..=255, 1..20), text()), 0..60),
        body in vec(any::<u8>(), 0..2000),
        lengths in vec(1..900_usize, 1..8),
    ) {
        let mut builder = RequestHeadBuilder::default();
        for (name, value) in &params {
            prop_assume!(name != b"SCGI" && name != b"CONTENT_LENGTH");
            builder = builder.append(name, value);
        }
        let head = builder.content_length(body.len() as u64).build();
        let mut bytes = BytesMut::new();
        let mut encoder = RequestEncoder::default();
        encoder.head(&head, &mut bytes)?;
        encoder.body(body.len())?;
        encoder.finish()?;
        bytes.extend_from_slice(&body);

        let outcome = outcome(RequestDecoder::default(), cut(&bytes, &lengths));
        prop_assert_eq!(outcome.error, None);
        let Some(RequestEvent::Head(decoded)) = outcome.events.first() else {
            panic!("no head");
        };
        let length = body.len().to_string();
        let framing: [(&[u8], &[u8]); 2] =
            [(b"CONTENT_LENGTH", length.as_bytes()), (b"SCGI", b"1")];
        let given = params.iter().map(|(name, value)| (&name[..], &value[..]));
        prop_assert!(decoded.params().iter().eq(framing.into_iter().chain(given)));
        let chunk = outcome.events.iter().find_map(|event| match event {
            RequestEvent::Body(chunk) => Some(&chunk[..]),
            _ => None,
        });
        prop_assert_eq!(chunk.unwrap_or_default(), &body[..]);
    }

    #[test]
    fn responses_come_back(
        code in 200..=999_u16,
        fields in vec(("x-[a-z0-9!#$%&'*+.^_`|~-]{1,20}", "[!-~]([ -~]{0,30}[!-~])?"), 0..20),
        body in vec(any::<u8>(), 0..2000),
        lengths in vec(1..900_usize, 1..8),
    ) {
        let status = Status::new(code).expect("a status");
        let fields = fields.iter();
        let head = fields.fold(ResponseHead::new(status), |head, (n, v)| head.with_field(n, v));
        let body = if status.has_no_body() { Vec::new() } else { body };
        let mut bytes = BytesMut::new();
        let mut encoder = ResponseEncoder::default();
        encoder.head(&head, &mut bytes)?;
        encoder.body(body.len())?;
        encoder.finish()?;
        bytes.extend_from_slice(&body);

        let outcome = outcome(ResponseDecoder::default(), cut(&bytes, &lengths));
        let mut expected = Vec::new();
        ResponseEvent::Head(head.with_reason(status.reason())).join(&mut expected);
        if !body.is_empty() {
            expected.push(ResponseEvent::Body(body.into()));
        }
        expected.push(ResponseEvent::End);
        prop_assert_eq!(outcome, Outcome { events: expected, error: None });
    }
}

//! Each bound at its maximum and one past it, and the status that goes with each error.

use bytes::BytesMut;
use scgi_proto::{
    Decode, DecodeError, Limits, Part, Policy, Protocol, RequestDecoder, ResponseDecoder, Status,
};

/// A request's head with this block.
fn netstring(block: &[u8]) -> Vec<u8> {
    [format!("{}:", block.len()).as_bytes(), block, b","].concat()
}

/// A head with params of these lengths of names and values.
fn params(lengths: &[(usize, usize)]) -> Vec<u8> {
    let param = |&(name, value): &(usize, usize)| {
        ["n".repeat(name), "v".repeat(value), String::new()].join("\0")
    };
    netstring(lengths.iter().map(param).collect::<String>().as_bytes())
}

fn request(limits: Limits, input: &[u8]) -> Result<bool, DecodeError> {
    let mut decoder = RequestDecoder::new(limits, Policy::default());
    decoder.decode(&mut BytesMut::from(input)).map(|event| event.is_some())
}

fn response(limits: Limits, input: &str) -> Result<bool, DecodeError> {
    let mut decoder = ResponseDecoder::new(limits);
    decoder.decode(&mut BytesMut::from(input)).map(|event| event.is_some())
}

#[test]
fn header_block() {
    let limits = Limits::default().with_max_header_block_len(30);
    assert_eq!(request(limits, &params(&[(5, 23)])), Ok(true));
    let error = DecodeError::HeaderBlockTooLarge { len: 31, max: 30 };
    assert_eq!(request(limits, &params(&[(5, 24)])), Err(error.clone()));
    // At the digit that makes it too long, before the colon and any byte of the block.
    assert_eq!(request(limits, b"31"), Err(error));
    assert_eq!(request(limits, b"30"), Ok(false));
    assert_eq!(
        request(limits, b"9999999999999999999999999"),
        Err(DecodeError::HeaderBlockTooLarge { len: 99, max: 30 })
    );
    assert_eq!(request(Limits::default().with_max_header_block_len(0), b"0:,"), Ok(true));
}

#[test]
fn number_of_params() {
    let limits = Limits::default().with_max_params(3);
    assert_eq!(request(limits, &params(&[(1, 0); 3])), Ok(true));
    let error = DecodeError::TooManyParams { max: 3 };
    assert_eq!(request(limits, &params(&[(1, 0); 4])), Err(error.clone()));
    assert_eq!(request(limits, &netstring(b"A\0\0B\0\0C\0\0D\0")), Err(error));
}

#[test]
fn length_of_a_name() {
    let limits = Limits::default().with_max_name_len(5);
    assert_eq!(request(limits, &params(&[(5, 9), (1, 1)])), Ok(true));
    let error = DecodeError::NameTooLong { offset: 7, len: 6, max: 5 };
    assert_eq!(request(limits, &params(&[(1, 1), (6, 1)])), Err(error));
}

#[test]
fn length_of_a_value() {
    let limits = Limits::default().with_max_value_len(5);
    assert_eq!(request(limits, &params(&[(9, 5), (1, 0)])), Ok(true));
    let error = DecodeError::ValueTooLong { offset: 5, len: 6, max: 5 };
    assert_eq!(request(limits, &params(&[(1, 6), (1, 0)])), Err(error));
}

#[test]
fn length_of_the_body() {
    let limits = Limits::default().with_max_body_len(5);
    let head = |length: &str| netstring(format!("CONTENT_LENGTH\0{length}\0").as_bytes());
    assert_eq!(request(limits, &head("5")), Ok(true));
    assert_eq!(request(limits, &head("6")), Err(DecodeError::BodyTooLarge { len: 6, max: 5 }));
    let unlimited = request(Limits::default(), &head("18446744073709551615"));
    assert_eq!(unlimited, Ok(true), "bodies are streamed");
}

#[test]
fn head_of_a_response() {
    let limits = Limits::default().with_max_response_head_len(20);
    let head = |len: usize| format!("A: {}\r\n\r\n", "x".repeat(len - 7));
    assert_eq!(response(limits, &head(20)), Ok(true));
    let error = DecodeError::ResponseHeadTooLarge { max: 20 };
    assert_eq!(response(limits, &head(21)), Err(error.clone()));
    assert_eq!(response(limits, &"x".repeat(20)), Ok(false), "the next byte may end the line");
    assert_eq!(response(limits, &"x".repeat(21)), Err(error));
}

#[test]
fn number_of_fields() {
    let limits = Limits::default().with_max_fields(2);
    assert_eq!(response(limits, "Status: 200\nA: 1\nB: 2\n\n"), Ok(true), "Status is none");
    let error = DecodeError::TooManyFields { max: 2 };
    assert_eq!(response(limits, "A: 1\nB: 2\nC: 3\n\n"), Err(error));
}

#[test]
fn defaults_are_the_documented_ones() {
    let limits = Limits::default();
    assert_eq!(request(limits, b"262144:"), Ok(false));
    let error = DecodeError::HeaderBlockTooLarge { len: 262_145, max: 262_144 };
    assert_eq!(request(limits, b"262145:"), Err(error));
    assert_eq!(request(limits, &params(&[(1, 0); 1000])), Ok(true));
    let error = DecodeError::TooManyParams { max: 1000 };
    assert_eq!(request(limits, &params(&[(1, 0); 1001])), Err(error));
    assert_eq!(request(limits, &params(&[(4096, 0)])), Ok(true));
    let error = DecodeError::NameTooLong { offset: 5, len: 4097, max: 4096 };
    assert_eq!(request(limits, &params(&[(4097, 0)])), Err(error));
    assert_eq!(request(limits, &params(&[(1, 262_141)])), Ok(true), "a value fills the block");
    let fields = |count| "A: b\n".repeat(count) + "\n";
    assert_eq!(response(limits, &fields(1000)), Ok(true));
    let error = DecodeError::TooManyFields { max: 1000 };
    assert_eq!(response(limits, &fields(1001)), Err(error));
    let long = |len| format!("A: {}\n\n", "x".repeat(len));
    assert_eq!(response(limits, &long(262_139)), Ok(true));
    let error = DecodeError::ResponseHeadTooLarge { max: 262_144 };
    assert_eq!(response(limits, &long(262_140)), Err(error));
}

#[test]
fn status_and_text_of_every_error() {
    use DecodeError::*;
    let large = Status::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let bad = Status::BAD_REQUEST;
    #[rustfmt::skip]
    let rows = [
        (BodyTooLarge { len: 7, max: 5 }, Status::CONTENT_TOO_LARGE, "7 bytes is over the limit of 5"),
        (HeaderBlockTooLarge { len: 7, max: 5 }, large, "7 bytes or more is over the limit of 5"),
        (NameTooLong { offset: 3, len: 7, max: 5 }, large, "offset 3 has 7 bytes, over the limit of 5"),
        (ValueTooLong { offset: 3, len: 7, max: 5 }, large, "offset 3 has 7 bytes, over the limit of 5"),
        (TooManyParams { max: 5 }, large, "more than 5 params"),
        (NotScgi { protocol: Protocol::Http }, bad, "an HTTP request, not SCGI"),
        (InvalidLength { offset: 3, byte: 0x1b }, bad, "byte 0x1b at offset 3"),
        (LeadingZero, bad, "superfluous zero"),
        (MissingComma { offset: 3, byte: b';' }, bad, "byte 0x3b at offset 3"),
        (MissingFinalNul { offset: 3 }, bad, "does not end with NUL at offset 3"),
        (MissingValue { offset: 3 }, bad, "offset 3 ends the header block without a value"),
        (EmptyName { offset: 3 }, bad, "offset 3 is empty"),
        (EmptyHeaderBlock, bad, "is empty"),
        (InvalidContentLength { offset: 3 }, bad, "CONTENT_LENGTH at offset 3"),
        (ContentLengthOverflow { offset: 3 }, bad, "64 bits"),
        (DuplicateContentLength { offset: 3 }, bad, "appears twice; the second one is at offset 3"),
        (MissingContentLength, bad, "CONTENT_LENGTH is absent or empty"),
        (ContentLengthNotFirst { offset: 3 }, bad, "not the first param"),
        (UnsupportedVersion { offset: 3 }, bad, "SCGI at offset 3 is not 1"),
        (DuplicateScgi { offset: 3 }, bad, "SCGI appears twice; the second one is at offset 3"),
        (MissingScgi, bad, "SCGI is absent"),
        (DuplicateName { offset: 3 }, bad, "offset 3 appears twice"),
        (InvalidHttpContentLength { offset: 3 }, bad, "HTTP_CONTENT_LENGTH at offset 3"),
        (LengthDisagreement { content_length: 5, http_content_length: 7 }, bad,
            "scgi_request_buffering on"),
        (UnexpectedEnd { part: Part::HeaderBlock, missing: 5 }, bad, "the header block, at least 5"),
        (NoResponse, bad, "without a response"),
        (ResponseHeadTooLarge { max: 5 }, bad, "limit of 5 bytes"),
        (TooManyFields { max: 5 }, bad, "more than 5 fields"),
        (InvalidField { offset: 3 }, bad, "offset 3"),
        (InvalidStatus { offset: 3 }, bad, "from 200 to 999"),
        (DuplicateStatus { offset: 3 }, bad, "appears twice; the second one is at offset 3"),
        (InvalidResponseLength { offset: 3 }, bad, "Content-Length at offset 3"),
    ];
    for (error, status, words) in rows {
        assert_eq!(error.status_hint(), status, "{error:?}");
        let text = error.to_string();
        assert!(text.contains(words), "{text:?} without {words:?}");
        assert!(!text.ends_with('.') && !text.contains('\n'), "{text:?}");
    }
}

#[test]
fn a_value_that_is_too_long_behind_the_longest_name() {
    let limits = Limits::default().with_max_name_len(5).with_max_value_len(3);
    let error = DecodeError::ValueTooLong { offset: 9, len: 4, max: 3 };
    assert_eq!(request(limits, &params(&[(5, 4)])), Err(error));
}

#[test]
fn names_of_every_length() {
    for len in 1..200 {
        assert_eq!(request(Limits::default(), &params(&[(len, 1)])), Ok(true), "{len}");
    }
}

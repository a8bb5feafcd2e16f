//! Requests: the first byte chooses policy and piece length, the rest is the input. No input
//! panics, however it is cut the same comes out, and what was decoded encodes again.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use scgi_proto::{
    Decode, DecodeError, Limits, Policy, RequestDecoder, RequestEncoder, RequestEvent, RequestHead,
};

type Outcome = (Option<RequestHead>, Vec<u8>, bool, Option<DecodeError>);

fn decode(input: &[u8], piece: usize, policy: Policy) -> Outcome {
    let mut decoder = RequestDecoder::new(Limits::default(), policy);
    let (mut buf, mut outcome) = (BytesMut::new(), Outcome::default());
    let mut pieces = input.chunks(piece);
    loop {
        let piece = pieces.next();
        buf.extend_from_slice(piece.unwrap_or_default());
        loop {
            let event = match piece {
                Some(_) => decoder.decode(&mut buf),
                None => decoder.decode_eof(&mut buf),
            };
            match event {
                Ok(Some(RequestEvent::Head(head))) => outcome.0 = Some(head),
                Ok(Some(RequestEvent::Body(chunk))) => outcome.1.extend_from_slice(&chunk),
                Ok(Some(RequestEvent::End)) => outcome.2 = true,
                Ok(None) => break,
                Err(error) => {
                    outcome.3 = Some(error);
                    return outcome;
                }
            }
        }
        if piece.is_none() {
            return outcome;
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, input)) = data.split_first() else { return };
    let policy = match choice % 3 {
        0 => Policy::default(),
        1 => Policy::strict(),
        _ => Policy::default().with_body_from_http_content_length(true),
    };
    let whole = decode(input, usize::MAX, policy);
    assert_eq!(decode(input, usize::from(choice / 3) + 1, policy), whole);
    let (Some(head), body, true, None) = whole else { return };
    let length = head.content_length();
    let head = head.with_content_length(length);
    let mut encoded = BytesMut::new();
    if RequestEncoder::default().head(&head, &mut encoded).is_ok() {
        encoded.extend_from_slice(&body);
        let again = decode(&encoded, usize::MAX, Policy::default());
        let decoded = again.0.expect("what was encoded is legal");
        assert_eq!(decoded.content_length(), length);
        let _ = format!("{head:?} {}", head.params());
        let _ = head.params().cookie();
    }
});

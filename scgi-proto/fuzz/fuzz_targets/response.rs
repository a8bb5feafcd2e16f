//! Responses: the first byte chooses the piece length, the rest is the input. No input panics,
//! and however it is cut the same comes out.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use scgi_proto::{
    Decode, DecodeError, Limits, ResponseDecoder, ResponseEncoder, ResponseEvent, ResponseHead,
};

type Outcome = (Option<ResponseHead>, Vec<u8>, bool, Option<DecodeError>);

fn decode(input: &[u8], piece: usize) -> Outcome {
    let mut decoder = ResponseDecoder::new(Limits::default().with_max_response_head_len(1000));
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
                Ok(Some(ResponseEvent::Head(head))) => outcome.0 = Some(head),
                Ok(Some(ResponseEvent::Body(chunk))) => outcome.1.extend_from_slice(&chunk),
                Ok(Some(ResponseEvent::End)) => outcome.2 = true,
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
    let whole = decode(input, usize::MAX);
    assert_eq!(decode(input, usize::from(choice) + 1), whole);
    if let Some(head) = whole.0 {
        let mut encoded = BytesMut::new();
        let _ = ResponseEncoder::default().head(&head, &mut encoded);
        let _ = format!("{head:?}");
    }
});

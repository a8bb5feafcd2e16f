//! What real servers sent and answered, decoded to what is known to be in it.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use scgi_proto::{
    Decode, DecodeBuffer, DecodeError, Part, RequestDecoder, RequestEncoder, RequestEvent,
    RequestHead, ResponseDecoder, ResponseEvent, ResponseHead,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Requests up to this length are cut at every place.
const SHORT: usize = 2048;

/// A message as an application would have it.
#[derive(Debug, PartialEq)]
struct Message<Head> {
    head: Option<Head>,
    body: Vec<u8>,
    ended: bool,
}

impl<Head> Default for Message<Head> {
    fn default() -> Self {
        Self { head: None, body: Vec::new(), ended: false }
    }
}

impl Message<RequestHead> {
    fn add(&mut self, event: RequestEvent) {
        match event {
            RequestEvent::Head(head) => self.head = Some(head),
            RequestEvent::Body(chunk) => self.body.extend_from_slice(&chunk),
            RequestEvent::End => self.ended = true,
        }
    }
}

impl Message<ResponseHead> {
    fn add_response(&mut self, event: ResponseEvent) {
        match event {
            ResponseEvent::Head(head) => self.head = Some(head),
            ResponseEvent::Body(chunk) => self.body.extend_from_slice(&chunk),
            ResponseEvent::End => self.ended = true,
        }
    }
}

type Decoded = (Message<RequestHead>, Option<DecodeError>, u64);

/// Decodes a request that arrives in these pieces, then ends.
fn decode(pieces: &[&[u8]]) -> Decoded {
    let mut decoder = RequestDecoder::default();
    let mut buf = BytesMut::new();
    let mut message = Message::default();
    let mut error = None;
    for piece in pieces {
        buf.extend_from_slice(piece);
        while let Some(event) = decoder.decode(&mut buf).unwrap_or_else(|failed| {
            error = Some(failed);
            None
        }) {
            message.add(event);
        }
    }
    while let Some(event) = decoder.decode_eof(&mut buf).unwrap_or_else(|failed| {
        error = Some(failed);
        None
    }) {
        message.add(event);
    }
    (message, error, decoder.surplus())
}

/// How a stream hands over what it read.
#[derive(Debug, Clone, Copy)]
enum Read {
    /// It writes into a slice, as `std::io::Read` does.
    IntoSlice,
    /// It appends to the buffer, as tokio's `poll_read_buf` does.
    Append,
    /// Chunks of the body are read past the buffer, as all adapters do; the last brings bytes
    /// that are none of it.
    Chunks,
}

/// The same through the driver, in reads of at most so many bytes.
fn receive(mut input: &[u8], read: Read, max: usize) -> Decoded {
    let mut receiver = DecodeBuffer::new(RequestDecoder::default());
    let mut message = Message::default();
    loop {
        match receiver.next_event() {
            Ok(Some(event)) => message.add(event),
            Ok(None) if receiver.is_finished() => {
                return (message, None, receiver.decoder().surplus());
            }
            Ok(None) => {
                let mut count = input.len().min(max);
                match read {
                    Read::IntoSlice => {
                        let room = receiver.unfilled();
                        count = count.min(room.len());
                        room[..count].copy_from_slice(&input[..count]);
                    }
                    Read::Chunks if receiver.max_chunk_len().is_some() => {
                        let chunk = Bytes::copy_from_slice(&input[..count]);
                        receiver.receive_chunk(chunk).into_iter().for_each(|it| message.add(it));
                        input = &input[count..];
                        continue;
                    }
                    Read::Append | Read::Chunks => {
                        receiver.buffer_mut().extend_from_slice(&input[..count]);
                    }
                }
                input = &input[count..];
                receiver.advance(count);
            }
            Err(error) => return (message, Some(error), receiver.decoder().surplus()),
        }
    }
}

fn vectors(folder: &str, prefix: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("a folder of vectors")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no vectors");
    paths
}

fn expected(path: &Path) -> Value {
    let text = fs::read_to_string(path.with_extension("json")).expect("the expected parse");
    serde_json::from_str(&text).expect("JSON")
}

/// Text in which each character is one byte.
fn latin1(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a string");
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("latin-1")).collect()
}

fn pairs(value: &Value) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = value.as_array().expect("an array").iter();
    pairs.map(|pair| (latin1(&pair[0]), latin1(&pair[1]))).collect()
}

fn hash(body: &[u8]) -> String {
    format!("{:x}", Sha256::digest(body))
}

fn check_request(path: &Path, decoded: &Decoded) {
    let (message, error, surplus) = decoded;
    let json = expected(path);
    let head = message.head.as_ref().unwrap_or_else(|| panic!("{path:?}: {error:?}"));
    let params: Vec<_> = head.params().iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
    assert_eq!(params, pairs(&json["headers"]), "{path:?}");
    assert_eq!(head.content_length(), json["content_length"].as_u64().expect("a number"));
    assert_eq!(message.body.len() as u64, json["body_len"].as_u64().expect("a number"));
    assert_eq!(hash(&message.body), json["body_sha256"].as_str().expect("a hash"), "{path:?}");
    assert_eq!(*surplus, json["surplus_after_body"].as_u64().expect("a number"), "{path:?}");
    let complete = json["complete"].as_bool().expect("a flag");
    assert_eq!(message.ended, complete, "{path:?}");
    if complete {
        assert_eq!(*error, None, "{path:?}");
    } else {
        let missing = head.content_length() - message.body.len() as u64;
        let cut = DecodeError::UnexpectedEnd { part: Part::RequestBody, missing };
        assert_eq!(*error, Some(cut), "{path:?}");
    }
}

#[test]
fn captures_of_front_servers() {
    let mut count = 0;
    for server in ["nginx", "apache", "lighttpd"] {
        for path in vectors(server, "", "scgi") {
            let bytes = fs::read(&path).expect("a capture");
            if bytes.is_empty() {
                // Apache connects and closes without a byte.
                assert_eq!(decode(&[]), (Message::default(), None, 0));
                continue;
            }
            let whole = decode(&[&bytes]);
            check_request(&path, &whole);
            // The driver does not read on for a surplus that no one wants.
            for (read, max) in [
                (Read::IntoSlice, usize::MAX),
                (Read::IntoSlice, 7),
                (Read::Append, usize::MAX),
                (Read::Append, 7),
                (Read::Chunks, usize::MAX),
                (Read::Chunks, 7),
            ] {
                let received = receive(&bytes, read, max);
                let same = (&received.0, &received.1) == (&whole.0, &whole.1);
                assert!(same, "{path:?}, {read:?}, {max} bytes at a time");
            }
            if bytes.len() <= SHORT {
                for at in 0..=bytes.len() {
                    let split = decode(&[&bytes[..at], &bytes[at..]]);
                    assert!(split == whole, "{path:?} at {at}");
                }
                let single: Vec<_> = bytes.chunks(1).collect();
                assert!(decode(&single) == whole, "{path:?} byte by byte");
            }
            count += 1;
        }
    }
    println!("{count} captures of front servers");
    assert!(count >= 100, "{count}");
}

#[test]
fn short_captures_cut_anywhere_are_an_error() {
    for server in ["nginx", "apache", "lighttpd"] {
        for path in vectors(server, "", "scgi") {
            let bytes = fs::read(&path).expect("a capture");
            let json = expected(&path);
            let end = bytes.len() as u64 - json["surplus_after_body"].as_u64().unwrap_or(0);
            if bytes.len() > SHORT {
                continue;
            }
            for at in 1..end as usize {
                let (message, error, _) = decode(&[&bytes[..at]]);
                let cut = matches!(error, Some(DecodeError::UnexpectedEnd { .. }));
                assert!(cut && !message.ended, "{path:?} cut at {at}: {error:?}");
            }
        }
    }
}

const SERVERS: [&str; 5] = ["rtorrent", "uwsgi", "python-scgi", "flup", "perl-scgi"];

#[test]
fn requests_encode_to_the_bytes_they_came_from() {
    let mut count = 0;
    for server in SERVERS {
        for path in vectors(server, "request-", "scgi") {
            let bytes = fs::read(&path).expect("a request");
            let (message, error, surplus) = decode(&[&bytes]);
            let Some(head) = message.head else { continue };
            let names: Vec<_> = head.params().iter().map(|(name, _)| name).take(2).collect();
            if error.is_some() || surplus > 0 || names != [&b"CONTENT_LENGTH"[..], b"SCGI"] {
                continue;
            }
            let mut encoder = RequestEncoder::default();
            let mut encoded = BytesMut::new();
            encoder.head(&head, &mut encoded).expect("it was decoded");
            encoder.body(message.body.len()).expect("its length");
            encoder.finish().expect("its end");
            encoded.extend_from_slice(&message.body);
            assert!(encoded == bytes, "{path:?}: {encoded:?}");
            count += 1;
        }
    }
    println!("{count} requests encoded to what they were");
    assert!(count >= 25, "{count}");
}

/// Every malformed request among the vectors: a last name, `LONE`, without a value.
const MALFORMED: [(&str, DecodeError); 3] = [
    ("rtorrent/request-odd_fields", DecodeError::MissingValue { offset: 217 }),
    ("uwsgi/request-odd_fields", DecodeError::MissingValue { offset: 186 }),
    ("perl-scgi/request-odd_fields", DecodeError::MissingValue { offset: 186 }),
];

#[test]
fn malformed_requests_have_their_error() {
    let mut errors = Vec::new();
    for server in SERVERS {
        for path in vectors(server, "request-", "scgi") {
            let bytes = fs::read(&path).expect("a request");
            if let (_, Some(error), _) = decode(&[&bytes]) {
                let name = path.file_stem().expect("a name").to_string_lossy();
                errors.push((format!("{server}/{name}"), error));
            }
        }
    }
    let expected = MALFORMED.map(|(name, error)| (name.to_owned(), error));
    assert_eq!(errors, expected);
}

/// Decodes a response that arrives in these pieces, then ends.
fn decode_response(pieces: &[&[u8]], head_request: bool) -> Message<ResponseHead> {
    let decoder = ResponseDecoder::default();
    let mut decoder = if head_request { decoder.without_body() } else { decoder };
    let mut buf = BytesMut::new();
    let mut message = Message::default();
    for piece in pieces {
        buf.extend_from_slice(piece);
        while let Some(event) = decoder.decode(&mut buf).expect("a legal response") {
            message.add_response(event);
        }
    }
    while let Some(event) = decoder.decode_eof(&mut buf).expect("a legal response") {
        message.add_response(event);
    }
    message
}

#[test]
fn responses_of_servers() {
    let mut count = 0;
    for server in SERVERS {
        for path in vectors(server, "response-", "cgi") {
            let bytes = fs::read(&path).expect("a response");
            let json = expected(&path);
            let message = decode_response(&[&bytes], false);
            let head = message.head.as_ref().expect("a head");
            assert_eq!(u64::from(head.status().code()), json["status"].as_u64().expect("a code"));
            if let Some(reason) = json["reason"].as_str() {
                assert_eq!(head.reason(), reason, "{path:?}");
            }
            let fields: Vec<_> =
                head.fields().iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            let mut wanted = pairs(&json["headers"]);
            wanted.retain(|(name, _)| !name.eq_ignore_ascii_case(b"status"));
            assert_eq!(fields, wanted, "{path:?}");
            let body_len = json["body_len"].as_u64().expect("a number");
            if head.status().has_no_body() {
                assert!(message.body.is_empty());
            } else {
                assert_eq!(message.body.len() as u64, body_len, "{path:?}");
                assert_eq!(hash(&message.body), json["body_sha256"].as_str().expect("a hash"));
            }
            assert!(message.ended, "{path:?}");
            if bytes.len() <= SHORT {
                for at in 0..=bytes.len() {
                    let split = decode_response(&[&bytes[..at], &bytes[at..]], false);
                    assert!(split == message, "{path:?} at {at}");
                }
            }
            count += 1;
        }
    }
    println!("{count} responses of servers");
    assert!(count >= 30, "{count}");
}

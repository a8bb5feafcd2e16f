//! What a request and a response cost in allocations, and that a peer cannot make us allocate
//! by what it declares. ConnectionGuard for each thread, so tests beside this one do not disturb it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use bytes::{Bytes, BytesMut};
use scgi_proto::{
    Buffers, ClientConfig, ClientExchange, ConnectionConfig, Decode, DecodeBuffer, Limits, Policy,
    RequestDecoder, RequestEncoder, RequestEvent, RequestHead, ResponseDecoder, ResponseEncoder,
    ResponseEvent, ResponseHead, ServerExchange, Status,
};

/// Room for what a test reads, as in an adapter that reads many requests into one buffer.
const ROOM: usize = 16 * 1024;

fn capture(path: &str) -> Vec<u8> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    fs::read(vectors.join(path)).expect("a capture")
}

/// Every request that this front server sent; Apache also connected without one.
fn captures(server: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(server);
    let entries = fs::read_dir(folder).expect("a folder of captures");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "scgi"))
        .filter(|path| fs::metadata(path).expect("a capture").len() > 0)
        .collect()
}

fn filled(bytes: &[u8], capacity: usize) -> BytesMut {
    let mut buf = BytesMut::with_capacity(capacity);
    buf.extend_from_slice(bytes);
    buf
}

fn decode_head(buf: &mut BytesMut, policy: Policy) -> (AllocationInfo, RequestHead) {
    let mut decoder = RequestDecoder::new(Limits::default(), policy);
    let mut head = None;
    let counted = measure(|| head = decoder.decode(buf).expect("a legal head"));
    let Some(RequestEvent::Head(head)) = head else { panic!("{head:?}") };
    (counted, head)
}

#[test]
fn every_captured_head_takes_two() {
    let mut count = 0;
    for path in ["nginx", "apache", "lighttpd"].into_iter().flat_map(captures) {
        let bytes = fs::read(&path).expect("a capture");
        let mut buf = filled(&bytes, bytes.len() + ROOM);
        let (shared, head) = decode_head(&mut buf, Policy::default());
        assert!(shared.count_total <= 2, "{path:?}, from a buffer with room: {shared:?}");
        // Places of names and values; the bytes stay where they were read.
        assert!(shared.bytes_total <= 128 + bytes.len() as u64 / 2, "{path:?}: {shared:?}");
        let mut whole = filled(&bytes, bytes.len());
        let (whole, _) = decode_head(&mut whole, Policy::default());
        assert!(whole.count_total <= 2, "{path:?}, from a buffer that is full: {whole:?}");

        let mut found = None;
        let lookup = measure(|| found = head.params().get("REQUEST_METHOD").map(<[u8]>::len));
        assert!(found.is_some());
        assert_eq!(lookup.count_total, 0, "a look-up is free");
        if head.params().get_all("HTTP_COOKIE").count() == 1 {
            let cookie = measure(|| drop(head.params().cookie()));
            assert_eq!(cookie.count_total, 0, "so is a single cookie");
        }
        count += 1;
    }
    println!("{count} captures");
    assert!(count >= 100, "{count}");
}

#[test]
fn a_buffer_that_is_just_the_head_is_taken_whole() {
    let bytes = capture("nginx/get_query.scgi");
    let mut buf = filled(&bytes, bytes.len());
    assert_eq!(buf.capacity(), bytes.len());
    let (counted, _) = decode_head(&mut buf, Policy::default());
    assert_eq!(counted.count_total, 1, "places of names and values: {counted:?}");
}

/// A call whose request is written and whose response has come, until its body is there.
fn call(head: RequestHead, response: &[u8]) -> Bytes {
    let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
    call.send(RequestEvent::Head(head)).expect("legal");
    call.send(RequestEvent::End).expect("legal");
    call.handle_written(call.pending().0.len());
    call.unfilled()[..response.len()].copy_from_slice(response);
    call.handle_read(response.len());
    assert!(matches!(call.next_event(), Ok(Some(ResponseEvent::Head(_)))));
    call.take_whole_body().expect("all of it")
}

#[test]
fn a_small_call_takes_two() {
    let response = capture("rtorrent/response-ok.cgi");
    for cookie in [0, 5000] {
        let head = RequestHead::builder("POST", "/RPC2").param("HTTP_COOKIE", "c".repeat(cookie));
        let (head, mut body) = (head.build(), Bytes::new());
        let counted = measure(|| body = call(head, &response));
        assert!(!body.is_empty());
        // One buffer for both directions, and what lets the fields and the body share it.
        assert!(counted.count_total <= 2, "{counted:?}");
    }
}

#[test]
fn strict_costs_no_more() {
    let (counted, _) =
        decode_head(&mut filled(&capture("rtorrent/request-ok.scgi"), ROOM), Policy::strict());
    assert!(counted.count_total <= 2, "{counted:?}");
}

#[test]
fn body_chunks_share_what_was_read() {
    let bytes = capture("nginx/post_bin_64k.scgi");
    let mut buf = filled(&bytes, bytes.len() + ROOM);
    let mut decoder = RequestDecoder::default();
    decoder.decode(&mut buf).expect("legal").expect("a head");
    let mut body = 0;
    let counted = measure(|| {
        while let Some(event) = decoder.decode(&mut buf).expect("legal") {
            body += if let RequestEvent::Body(chunk) = event { chunk.len() } else { 0 };
        }
    });
    assert_eq!((body, counted.count_total), (64 * 1024, 0), "{counted:?}");
}

#[test]
fn encoding_into_a_buffer_with_room_takes_none() {
    let head = RequestHead::builder("POST", "/RPC2").content_length(9).build();
    let mut out = BytesMut::with_capacity(ROOM);
    let counted = measure(|| RequestEncoder::default().head(&head, &mut out).expect("legal"));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    let mut out = BytesMut::new();
    let counted = measure(|| RequestEncoder::default().head(&head, &mut out).expect("legal"));
    assert_eq!(counted.count_total, 1, "the head's length is known before: {counted:?}");

    let head = ResponseHead::new(Status::OK).with_field("Content-Type", "text/plain");
    let mut out = BytesMut::with_capacity(ROOM);
    let counted = measure(|| ResponseEncoder::default().head(&head, &mut out).expect("legal"));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// One connection from the first byte to the last, with the program's answer made before.
fn exchange(memory: Buffers, request: &[u8], head: ResponseHead, body: &Bytes) -> Buffers {
    let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
    exchange.give_memory(memory);
    exchange.receive_slice(request);
    while let Some(event) = exchange.next_event().expect("legal") {
        drop(event);
    }
    exchange.send(ResponseEvent::Head(head)).expect("legal");
    exchange.send(ResponseEvent::Body(body.clone())).expect("legal");
    exchange.send(ResponseEvent::End).expect("legal");
    let (out, chunk) = exchange.pending();
    exchange.handle_written(out.len() + chunk.len());
    assert!(exchange.is_closed(), "the request was wholly read");
    exchange.take_memory()
}

#[test]
fn a_whole_request_in_the_memory_of_the_one_before_takes_its_places_and_its_handle() {
    let request = capture("nginx/post_form.scgi");
    let head = ResponseHead::new(Status::OK).with_field("Content-Type", "text/plain");
    for body in [Bytes::from(vec![b'.'; 200]), Bytes::from(vec![b'.'; 64 * 1024])] {
        let memory = exchange(Buffers::default(), &request, head.clone(), &body);
        let (next, mut left) = (head.clone(), None);
        let counted = measure(|| left = Some(exchange(memory, &request, next, &body)));
        // Where the NULs stand, and what lets the head share the buffer.
        assert!(counted.count_total <= 2, "{counted:?}");
    }
}

#[test]
fn a_response_takes_few() {
    let mut buf = filled(&capture("rtorrent/response-ok.cgi"), ROOM);
    let mut decoder = ResponseDecoder::default();
    let mut head = None;
    let counted = measure(|| head = decoder.decode(&mut buf).expect("a legal head"));
    assert!(matches!(head, Some(ResponseEvent::Head(_))));
    // What lets the fields share the buffer; the usual reason phrase is known.
    assert!(counted.count_total <= 1, "{counted:?}");
}

#[test]
fn declared_lengths_allocate_nothing() {
    let limits = Limits::default().with_max_header_block_len(usize::MAX);
    let cases: [(&str, &[u8]); 3] = [
        ("a block of 4 GB", b"4000000000:"),
        ("its first bytes", b"4000000000:A\0b\0"),
        ("a body of 16 EB", b"36:CONTENT_LENGTH\x0018446744073709551615\0,x"),
    ];
    for (what, input) in cases {
        let mut receiver = DecodeBuffer::new(RequestDecoder::new(limits, Policy::default()));
        let counted = measure(|| {
            receiver.buffer_mut().extend_from_slice(input);
            receiver.advance(input.len());
            while receiver.next_event().expect("legal so far").is_some() {}
            // The next read's room: what a front server writes at once, not what it declares.
            assert!(receiver.unfilled().len() <= 64 * 1024);
            receiver.buffer_mut();
        });
        assert!(counted.bytes_max <= 160 * 1024, "{what}: {counted:?}");
    }
}

#[test]
fn as_many_params_as_allowed_take_memory_by_their_bytes() {
    // Short params need more places than the first guess: the places grow, and no faster
    // than twice what is there.
    let block = "A\0\0".repeat(1000);
    let bytes = format!("{}:{block},", block.len());
    let (counted, head) = decode_head(&mut filled(bytes.as_bytes(), ROOM), Policy::default());
    assert_eq!(head.params().len(), 1000);
    assert!(counted.bytes_max <= 32 * 1024, "{counted:?}");
}

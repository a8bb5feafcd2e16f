//! How many instructions decoding and encoding a head takes, with a bound on each: `cargo bench
//! -p scgi-proto --bench instructions`, which fails above a bound. Needs Valgrind and
//! `cargo install --locked iai-callgrind-runner --version 0.16.1`.
//!
//! Instructions are counted, as they repeat where times do not. Another compiler or C library
//! changes them a little, for which there are 5 %. When the code gets better or has good reason to
//! take more, put the number that is printed in the place of the old one.

#![allow(missing_docs, unused_qualifications, reason = "the macros make public items")]

mod bound;
mod browser;

use std::hint::black_box;

use bound::at_most;
use bytes::BytesMut;
use iai_callgrind::{library_benchmark, library_benchmark_group, main};
use scgi_proto::{
    Decode, Limits, Policy, RequestDecoder, RequestEncoder, RequestEvent, RequestHead,
    ResponseDecoder, ResponseEncoder, ResponseEvent, ResponseHead, Status,
};

/// What Apache sends for a GET of a small client: 24 params in 621 bytes.
const REQUEST: &[u8] = include_bytes!("../tests/vectors/apache/get_query.scgi");

/// The head of a small response, as Python's flup sends it.
const RESPONSE: &[u8] = b"Status: 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\
    Cache-Control: no-store\r\nContent-Length: 200\r\n\r\n";

/// One of two numbers: with the feature `simd`, and without.
fn with_simd_or_not(simd: u64, portable: u64) -> u64 {
    if cfg!(feature = "simd") { simd } else { portable }
}

/// A buffer with room behind what was read.
fn filled(bytes: &[u8]) -> BytesMut {
    let mut buf = BytesMut::with_capacity(16 * 1024);
    buf.extend_from_slice(bytes);
    buf
}

fn request(policy: Policy) -> (RequestDecoder, BytesMut) {
    (RequestDecoder::new(Limits::default(), policy), filled(REQUEST))
}

fn response() -> (ResponseDecoder, BytesMut) {
    (ResponseDecoder::default(), filled(RESPONSE))
}

fn request_head() -> (RequestHead, BytesMut) {
    let (mut decoder, mut buf) = request(Policy::default());
    match decoder.decode(&mut buf) {
        Ok(Some(RequestEvent::Head(head))) => (head, filled(b"")),
        other => panic!("{other:?}"),
    }
}

fn response_head() -> (ResponseHead, BytesMut) {
    let head = ResponseHead::new(Status::OK)
        .with_field("Content-Type", "text/html; charset=utf-8")
        .with_field("Cache-Control", "no-store")
        .with_field("Content-Length", "200");
    (head, filled(b""))
}

/// What is not measured: freeing memory, and looking whether the result is one.
fn is_head<E>((event, _): (Option<E>, BytesMut)) {
    assert!(event.is_some(), "the head is whole");
}

fn is_filled(buf: BytesMut) {
    assert!(!buf.freeze().is_empty(), "a head was encoded");
}

#[library_benchmark(setup = request, teardown = is_head)]
#[bench::default(args = (Policy::default()), config = at_most(with_simd_or_not(2338, 2606)))]
#[bench::strict(args = (Policy::strict()), config = at_most(with_simd_or_not(3267, 3535)))]
fn request_decode(
    (mut decoder, mut buf): (RequestDecoder, BytesMut),
) -> (Option<RequestEvent>, BytesMut) {
    let event = decoder.decode(black_box(&mut buf)).expect("a legal head");
    (event, buf)
}

#[library_benchmark(config = at_most(9111), setup = request_head, teardown = is_filled)]
#[bench::with_room()]
fn request_encode((head, mut buf): (RequestHead, BytesMut)) -> BytesMut {
    RequestEncoder::default().head(black_box(&head), &mut buf).expect("a legal head");
    buf
}

#[library_benchmark(config = at_most(3007), setup = response, teardown = is_head)]
#[bench::default()]
fn response_decode(
    (mut decoder, mut buf): (ResponseDecoder, BytesMut),
) -> (Option<ResponseEvent>, BytesMut) {
    let event = decoder.decode(black_box(&mut buf)).expect("a legal head");
    (event, buf)
}

#[library_benchmark(config = at_most(1283), setup = response_head, teardown = is_filled)]
#[bench::with_room()]
fn response_encode((head, mut buf): (ResponseHead, BytesMut)) -> BytesMut {
    ResponseEncoder::default().head(black_box(&head), &mut buf).expect("a legal head");
    buf
}

/// A head that stays where it is: moving it is not measured.
fn browser_head(name: &'static str) -> (&'static RequestHead, &'static str) {
    (Box::leak(Box::new(browser::head())), name)
}

#[library_benchmark(setup = browser_head)]
#[bench::first(args = ("CONTENT_LENGTH"), config = at_most(290))]
#[bench::middle(args = ("REMOTE_ADDR"), config = at_most(278))]
#[bench::absent(args = ("PATH_INFO"), config = at_most(244))]
fn params_get((head, name): (&RequestHead, &str)) -> usize {
    head.params().get(black_box(name)).map_or(0, <[u8]>::len)
}

library_benchmark_group!(
    name = heads;
    benchmarks =
        request_decode, request_encode, response_decode, response_encode, params_get
);

main!(library_benchmark_groups = heads);

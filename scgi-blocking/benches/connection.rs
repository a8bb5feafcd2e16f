//! How many instructions a whole request takes from its first byte to the close, on a stream in
//! memory: `cargo bench -p scgi-blocking --bench connection`, which fails above a bound. Needs
//! Valgrind and `iai-callgrind-runner` in the version of the crate.
//!
//! What the kernel does is not in it: `cargo bench -p scgi-tests --bench transfer` times that.

#![allow(missing_docs, unused_qualifications, reason = "the macros make public items")]

#[path = "../../scgi-proto/benches/bound/mod.rs"]
mod bound;

use std::hint::black_box;
use std::io::Cursor;

use bound::at_most;
use iai_callgrind::{library_benchmark, library_benchmark_group, main};
use scgi_blocking::{ConnectionConfig, Request, Response, serve_connection};

/// A usual head without a body.
const REQUEST: &[u8] = include_bytes!("../../scgi-proto/tests/vectors/apache/get_query.scgi");

fn hello(_: Request) -> Response {
    Response::new(&[b'.'; 200][..]).with_field("Content-Type", "text/plain")
}

/// A peer that has sent its request and takes what comes: it is written behind that.
fn peer() -> Cursor<Vec<u8>> {
    let mut bytes = Vec::with_capacity(REQUEST.len() + 1024);
    bytes.extend_from_slice(REQUEST);
    Cursor::new(bytes)
}

fn serve(peer: Cursor<Vec<u8>>) {
    let config = ConnectionConfig::default();
    assert!(serve_connection(peer, hello, &config).is_ok());
}

/// A later request of its thread: what is made once is there.
fn later_peer() -> Cursor<Vec<u8>> {
    serve(peer());
    peer()
}

#[library_benchmark(config = at_most(7687), setup = later_peer)]
#[bench::get()]
fn request(peer: Cursor<Vec<u8>>) {
    serve(black_box(peer));
}

library_benchmark_group!(name = connection; benchmarks = request);

main!(library_benchmark_groups = connection);

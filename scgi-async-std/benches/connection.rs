//! How many instructions a whole request takes from its first byte to the close, on a stream in
//! memory: `cargo bench -p scgi-async-std --bench connection`, which fails above a bound. Needs
//! Valgrind and `iai-callgrind-runner` in the version of the crate.
//!
//! What the kernel does is not in it: `cargo bench -p scgi-tests --bench transfer` times that.

#![allow(missing_docs, unused_qualifications, reason = "the macros make public items")]

#[path = "../../scgi-proto/benches/bound/mod.rs"]
mod bound;

use std::future::{Future, pending};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bound::at_most;
use futures_lite::io::Cursor;
use iai_callgrind::{library_benchmark, library_benchmark_group, main};
use scgi_async_std::{ConnectionConfig, Request, Response, Sleep, serve_connection_with_timer};

/// A usual head without a body.
const REQUEST: &[u8] = include_bytes!("../../scgi-proto/tests/vectors/apache/get_query.scgi");

async fn hello(_: Request) -> Response {
    Response::new(&[b'.'; 200][..]).with_field("Content-Type", "text/plain")
}

/// A peer that has sent its request and takes what comes: it is written behind that.
fn peer() -> Cursor<Vec<u8>> {
    let mut bytes = Vec::with_capacity(REQUEST.len() + 1024);
    bytes.extend_from_slice(REQUEST);
    Cursor::new(bytes)
}

/// Nothing needs to be waited for.
fn never(_: Instant) -> Sleep {
    Box::pin(pending())
}

fn serve(peer: Cursor<Vec<u8>>) {
    let config = ConnectionConfig::default();
    let served = pin!(serve_connection_with_timer(peer, hello, &config, never));
    let done = served.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(done, Poll::Ready(Ok(()))), "nothing has to be waited for");
}

/// A later request of its thread: what is made once is there.
fn later_peer() -> Cursor<Vec<u8>> {
    serve(peer());
    peer()
}

#[library_benchmark(config = at_most(7689), setup = later_peer)]
#[bench::get()]
fn request(peer: Cursor<Vec<u8>>) {
    serve(black_box(peer));
}

library_benchmark_group!(name = connection; benchmarks = request);

main!(library_benchmark_groups = connection);

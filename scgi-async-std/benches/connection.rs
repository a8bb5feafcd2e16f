//! How many instructions a whole request takes from its first byte to the close, on a stream in
//! memory, with a bound on it: `cargo bench -p scgi-async-std --bench connection`, which fails above the
//! bound. Needs Valgrind and `iai-callgrind-runner` in the version of the crate.
//!
//! What the kernel does is not in it: `cargo bench -p scgi-examples --bench transfer` times that.

#![allow(missing_docs, unused_qualifications, reason = "the macros make public items")]

use std::future::Future;
use std::hint::black_box;
use std::io::{self, Read as _};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};
use iai_callgrind::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use scgi_async_std::{Config, Request, Response, serve_connection};

/// A usual head without a body.
const REQUEST: &[u8] = include_bytes!("request.scgi");

/// A peer that has sent its request and takes what comes.
struct Memory {
    input: &'static [u8],
    output: Vec<u8>,
}

impl AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.input.read(buf))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.output.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn hello(_: Request) -> Response {
    Response::new(&[b'.'; 200][..]).with_field("Content-Type", "text/plain")
}

fn peer() -> Memory {
    Memory { input: REQUEST, output: Vec::with_capacity(1024) }
}

fn serve(peer: Memory) {
    let config = Config::default();
    let served = pin!(serve_connection(peer, hello, &config));
    let done = served.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(done, Poll::Ready(Ok(()))), "nothing has to be waited for");
}

/// A later request of its thread: what is made once is there.
fn later_peer() -> Memory {
    serve(peer());
    peer()
}

/// 5 % above what was measured.
fn at_most(measured: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, measured + measured / 20)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

#[library_benchmark(config = at_most(8832), setup = later_peer)]
#[bench::get()]
fn request(peer: Memory) {
    serve(black_box(peer));
}

library_benchmark_group!(name = connection; benchmarks = request);

main!(library_benchmark_groups = connection);

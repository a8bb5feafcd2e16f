//! How many instructions a whole request takes from its first byte to the close, on a stream in
//! memory, with a bound on it: `cargo bench -p scgi-blocking --bench connection`, which fails above the
//! bound. Needs Valgrind and `iai-callgrind-runner` in the version of the crate.
//!
//! What the kernel does is not in it: `cargo bench -p scgi-examples --bench transfer` times that.

#![allow(missing_docs, unused_qualifications, reason = "the macros make public items")]

use std::hint::black_box;
use std::io::{self, Read, Write};

use iai_callgrind::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use scgi_blocking::{Config, Request, Response, serve_connection};

/// A usual head without a body.
const REQUEST: &[u8] = include_bytes!("request.scgi");

/// A peer that has sent its request and takes what comes.
struct Memory {
    input: &'static [u8],
    output: Vec<u8>,
}

impl Read for Memory {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl Write for Memory {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hello(_: Request) -> Response {
    Response::new(&[b'.'; 200][..]).with_field("Content-Type", "text/plain")
}

fn peer() -> Memory {
    Memory { input: REQUEST, output: Vec::with_capacity(1024) }
}

fn serve(peer: Memory) {
    let config = Config::default();
    assert!(serve_connection(peer, hello, &config).is_ok());
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

#[library_benchmark(config = at_most(8619), setup = later_peer)]
#[bench::get()]
fn request(peer: Memory) {
    serve(black_box(peer));
}

library_benchmark_group!(name = connection; benchmarks = request);

main!(library_benchmark_groups = connection);

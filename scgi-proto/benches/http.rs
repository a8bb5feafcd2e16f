//! How many instructions the conversions to and from `http` take, with a bound on each: `cargo bench
//! -p scgi-proto --bench http --features http`. See the benchmark `instructions`.

#![allow(missing_docs, unused_qualifications, reason = "the macros make public items")]

mod bound;
mod browser;

use std::hint::black_box;

use bound::at_most;
use http::request::Parts as RequestParts;
use http::response::Parts as ResponseParts;
use iai_callgrind::{library_benchmark, library_benchmark_group, main};
use scgi_proto::{RequestHead, ResponseHead};

fn response() -> ResponseParts {
    let response = http::Response::builder()
        .header("content-type", "text/html; charset=utf-8")
        .header("cache-control", "no-store")
        .header("content-length", "200");
    response.body(()).expect("a response").into_parts().0
}

#[library_benchmark(config = at_most(9275), setup = browser::head, teardown = drop)]
#[bench::browser()]
fn request_to_http(head: RequestHead) -> RequestParts {
    scgi_proto::http::request_to_http(black_box(head)).expect("a request")
}

#[library_benchmark(config = at_most(1108), setup = response, teardown = drop)]
#[bench::page()]
fn response_from_http(parts: ResponseParts) -> (ResponseParts, ResponseHead) {
    let head = scgi_proto::http::response_from_http(black_box(&parts));
    (parts, head)
}

library_benchmark_group!(
    name = conversions;
    benchmarks = request_to_http, response_from_http
);

main!(library_benchmark_groups = conversions);

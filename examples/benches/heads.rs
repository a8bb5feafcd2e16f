//! Decoding a request head, beside other parsers: `cargo bench -p scgi-examples --bench heads`.
//!
//! Every parser first copies the head into its receive buffer, as a read would. httparse gets
//! the HTTP request that the SCGI head was made of: the same words in another syntax. Compare
//! ratios of one run; times differ from machine to machine.

#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use scgi_proto::{Decode, Limits, Policy, RequestDecoder, RequestEncoder, RequestHead};
use tokio_util_06::codec::Decoder;

/// The headers of a browser's usual request.
const HEADERS: [(&str, &str); 9] = [
    ("Host", "www.example.org"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://www.example.org/app/items"),
    ("Cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("Connection", "keep-alive"),
    ("Cache-Control", "max-age=0"),
];

const URI: &str = "/app/items/42?sort=price&page=3&lang=en";

fn scgi_head() -> BytesMut {
    let mut head = RequestHead::builder("GET", URI)
        .param("DOCUMENT_ROOT", "/srv/www")
        .param("REMOTE_ADDR", "192.0.2.7")
        .param("REMOTE_PORT", "51234")
        .param("REQUEST_SCHEME", "https");
    for (name, value) in HEADERS {
        let name = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
        head = head.param(name, value);
    }
    let mut bytes = BytesMut::new();
    RequestEncoder::default().head(&head.build(), &mut bytes).expect("a legal head");
    bytes
}

fn http_head() -> Vec<u8> {
    let headers: String =
        HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {URI} HTTP/1.1\r\n{headers}\r\n").into_bytes()
}

fn decode(buf: &mut BytesMut, head: &[u8], policy: Policy) {
    buf.extend_from_slice(head);
    let mut decoder = RequestDecoder::new(Limits::default(), policy);
    let event = decoder.decode(buf).expect("a legal head");
    black_box(event.expect("the whole head"));
}

fn heads(criterion: &mut Criterion) {
    let (scgi, http) = (scgi_head(), http_head());
    let mut group = criterion.benchmark_group("head");
    let mut buf = BytesMut::with_capacity(1 << 16);
    group.bench_function("scgi-proto", |b| {
        b.iter(|| decode(&mut buf, &scgi, Policy::default()));
    });
    group.bench_function("scgi-proto strict", |b| {
        b.iter(|| decode(&mut buf, &scgi, Policy::strict()));
    });
    group.bench_function("httparse", |b| {
        let mut buf = Vec::with_capacity(1 << 16);
        b.iter(|| {
            buf.clear();
            buf.extend_from_slice(&http);
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut headers);
            black_box(request.parse(&buf).expect("a legal head"));
            black_box(&request);
        });
    });
    group.bench_function("tokio-scgi", |b| {
        let mut buf = BytesMut::with_capacity(1 << 16);
        b.iter(|| {
            buf.extend_from_slice(&scgi);
            let mut codec = tokio_scgi::server::SCGICodec::new();
            black_box(codec.decode(&mut buf).expect("a legal head"));
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = heads
}
criterion_main!(benches);

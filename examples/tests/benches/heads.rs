//! Decoding a request head, beside other parsers: `cargo bench -p scgi-tests --bench heads
//! [-- --rounds N]` prints a table.
//!
//! httparse gets the HTTP request that the SCGI head was made of: the same words in another syntax.
//! Every parser first copies the head into its receive buffer, as a read would; what that copy
//! takes is left out of its figure. Each is the median of all rounds, with the least and the most;
//! a round runs every parser once, and ratios are of figures of the same round. Compare ratios:
//! times differ from machine to machine.

use std::hint::black_box;
use std::time::Instant;

use bytes::BytesMut;
use clap::Parser;
use scgi_proto::{Decode, Limits, Policy, RequestDecoder, RequestEncoder, RequestHead};
use tokio_util_06::codec::Decoder;

/// The headers of a browser's usual request.
const HEADERS: [(&str, &str); 12] = [
    ("Host", "www.example.org"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://www.example.org/app/items"),
    ("Cookie", "session=0123456789abcdef"),
    ("Connection", "keep-alive"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
];

const URI: &str = "/app/items/42?sort=price&page=3&lang=en";

/// Heads of a mix: enough that the processor learns none of them by heart.
const MIX: usize = 256;

/// Nanoseconds of one batch of calls, and batches of a measurement. The fastest counts: an
/// interruption then spoils a batch, not a round.
const BATCH: f64 = 50_000.0;
const BATCHES: usize = 16;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// One request in both syntaxes.
struct Request {
    scgi: BytesMut,
    http: Vec<u8>,
}

impl Request {
    fn new(uri: &str, headers: &[(&str, String)]) -> Self {
        let mut head = RequestHead::builder("GET", uri)
            .param("DOCUMENT_ROOT", "/srv/www")
            .param("REMOTE_ADDR", "192.0.2.7")
            .param("REMOTE_PORT", "51234")
            .param("REQUEST_SCHEME", "https");
        let mut http = format!("GET {uri} HTTP/1.1\r\n");
        for (name, value) in headers {
            let param = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
            head = head.param(param, value);
            http += &format!("{name}: {value}\r\n");
        }
        let mut scgi = BytesMut::new();
        RequestEncoder::default().head(&head.build(), &mut scgi).expect("a legal head");
        Self { scgi, http: (http + "\r\n").into_bytes() }
    }

    fn typical() -> Self {
        Self::new(URI, &HEADERS.map(|(name, value)| (name, value.to_owned())))
    }

    /// With a cookie of 8 KiB.
    fn large() -> Self {
        let headers = HEADERS.map(|(name, value)| match name {
            "Cookie" => (name, "c".repeat(8192)),
            _ => (name, value.to_owned()),
        });
        Self::new(URI, &headers)
    }

    /// One of a mix: some headers are absent, values are longer, and other headers follow.
    fn varied(random: &mut impl FnMut(usize) -> usize) -> Self {
        let mut headers = Vec::new();
        for (name, value) in HEADERS {
            if random(6) > 0 {
                headers.push((name, value.to_owned() + &"v".repeat(random(24))));
            }
        }
        for name in ["X-A", "X-Forwarded-For", "X-Request-Id", "X-B", "DNT"] {
            if random(2) > 0 {
                headers.push((name, "v".repeat(1 + random(30))));
            }
        }
        Self::new(&format!("{URI}&q={}", "x".repeat(random(24))), &headers)
    }

    fn mix() -> Vec<Self> {
        // A linear congruential generator is random enough, and produces the same mix each time.
        let mut state = 1_u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        (0..MIX).map(|_| Self::varied(&mut random)).collect()
    }
}

/// A parser, which copies a request to its buffer first; the buffer is empty afterwards.
type Parse = fn(&mut BytesMut, &Request);

fn ours(buf: &mut BytesMut, request: &Request, policy: Policy) {
    buf.extend_from_slice(&request.scgi);
    let event = RequestDecoder::new(Limits::default(), policy).decode(buf).expect("a legal head");
    assert!(black_box(event).is_some(), "the whole head");
}

fn httparse(buf: &mut BytesMut, request: &Request) {
    buf.extend_from_slice(&request.http);
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    assert!(parsed.parse(buf).expect("a legal head").is_complete(), "the whole head");
    black_box(&parsed);
    buf.clear();
}

fn tokio_scgi(buf: &mut BytesMut, request: &Request) {
    buf.extend_from_slice(&request.scgi);
    let event = tokio_scgi::server::SCGICodec::new().decode(buf).expect("a legal head");
    assert!(black_box(event).is_some(), "the whole head");
    buf.clear();
}

/// Name, parser, and whether it is given the SCGI head.
const PARSERS: [(&str, Parse, bool); 4] = [
    ("scgi-proto", |buf, request| ours(buf, request, Policy::default()), true),
    ("scgi-proto, strict", |buf, request| ours(buf, request, Policy::strict()), true),
    ("httparse", httparse, false),
    ("tokio-scgi", tokio_scgi, true),
];

/// Nanoseconds of one call.
fn time(mut act: impl FnMut()) -> f64 {
    let mut batch = |calls: usize| {
        let start = Instant::now();
        for _ in 0..calls {
            act();
        }
        start.elapsed().as_nanos() as f64 / calls as f64
    };
    let mut least = |calls| (0..BATCHES).map(|_| batch(calls)).fold(f64::INFINITY, f64::min);
    let calls = (BATCH / least(1)).ceil();
    least(calls as usize)
}

/// Nanoseconds of one head, without those of the copy.
fn measure(parse: Parse, requests: &[Request], scgi: bool) -> f64 {
    // Never given away, so that each parser has the same.
    let mut buf = BytesMut::with_capacity(1 << 16);
    let parsed = time(|| requests.iter().for_each(|request| parse(&mut buf, request)));
    let copied = time(|| {
        for request in requests {
            buf.extend_from_slice(black_box(if scgi { &request.scgi } else { &request.http }));
            black_box(&buf);
            buf.clear();
        }
    });
    (parsed - copied) / requests.len() as f64
}

/// The median, the least and the most.
fn cell(mut rounds: Vec<f64>, digits: usize) -> String {
    rounds.sort_by(f64::total_cmp);
    let (median, min, max) = (rounds[rounds.len() / 2], rounds[0], rounds[rounds.len() - 1]);
    format!("{median:.digits$} ({min:.digits$}-{max:.digits$})")
}

fn print(name: &str, requests: &[Request], rounds: usize) {
    let rounds: Vec<_> = (0..rounds)
        .map(|_| PARSERS.map(|(_, parse, scgi)| measure(parse, requests, scgi)))
        .collect();
    let bytes = requests.iter().map(|request| request.scgi.len()).sum::<usize>() / requests.len();
    for (index, (parser, ..)) in PARSERS.into_iter().enumerate() {
        let of = |other: Option<usize>| {
            let figure = |round: &[f64; 4]| round[index] / other.map_or(1.0, |other| round[other]);
            rounds.iter().map(figure).collect::<Vec<_>>()
        };
        println!(
            "| {name}, {bytes} bytes | {parser} | {} | {} | {} |",
            cell(of(None), 0),
            cell(of(Some(2)), 2),
            cell(of(Some(3)), 3)
        );
    }
}

fn main() {
    let Args { rounds, .. } = Args::parse();
    println!("Medians of {rounds} rounds (least-most), net of the copy to the receive buffer.\n");
    println!("| head | parser | ns | x httparse | x tokio-scgi |");
    println!("|---|---|---|---|---|");
    print("typical", &[Request::typical()], rounds);
    print("256 different", &Request::mix(), rounds);
    print("cookie of 8 KiB", &[Request::large()], rounds);
}

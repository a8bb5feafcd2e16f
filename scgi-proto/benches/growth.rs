//! How the cost of decoding a head grows with its bytes, its params, and the reads it comes in:
//! `cargo bench -p scgi-proto --bench growth [-- --rounds N]` prints tables.
//!
//! Each figure is the median of rounds, with the least and the most; a round runs every case once,
//! so that a disturbance meets all of them. Nothing here fails: times are not for that.

use std::env;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use bytes::BytesMut;
use scgi_proto::{
    Decode, Limits, Policy, RequestDecoder, RequestEncoder, RequestHead, RequestHeadBuilder,
};

/// Nanoseconds of one batch of calls, so that the clock's steps do not matter.
const BATCH: f64 = 20_000.0;

/// Batches of a measurement. The fastest counts: an interruption then spoils a batch, not a round.
const BATCHES: usize = 16;

/// The params of a head with names and values of usual lengths, 30 bytes each with both NULs.
const COUNTS: [usize; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 998];

/// The bytes of a head that has one long value, up to the default limit.
const SIZES: [usize; 10] =
    [100, 256, 512, 1024, 4096, 8192, 16 * 1024, 64 * 1024, 128 * 1024, 256 * 1024];

/// The bytes of each read that a head is put together from.
const PIECES: [usize; 5] = [usize::MAX, 512, 64, 16, 1];

/// What Apache sends for a GET of a small client: 24 params in 621 bytes.
const TYPICAL: &[u8] = include_bytes!("../tests/vectors/apache/get_query.scgi");

/// Median, least and most, in nanoseconds.
struct Figures {
    median: f64,
    min: f64,
    max: f64,
}

impl Figures {
    fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self { median: rounds[rounds.len() / 2], min: rounds[0], max: rounds[rounds.len() - 1] }
    }

    /// All of it, each divided by `unit`.
    fn per(&self, unit: f64) -> String {
        let Self { median, min, max } = self;
        format!("{:.2} ({:.2}-{:.2})", median / unit, min / unit, max / unit)
    }
}

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

fn encode(head: RequestHeadBuilder) -> Vec<u8> {
    let mut out = BytesMut::new();
    RequestEncoder::default().head(&head.build(), &mut out).expect("a legal head");
    out.to_vec()
}

/// A head of that many params beside CONTENT_LENGTH and SCGI.
fn head_of_params(count: usize) -> Vec<u8> {
    let head = (0..count).fold(RequestHeadBuilder::default(), |head, index| {
        head.param(format!("HTTP_X_{index:04}"), "a value of 17 b. ")
    });
    encode(head)
}

/// A head whose block has that many bytes, most of them in a cookie.
fn head_of_bytes(size: usize) -> Vec<u8> {
    let head =
        |cookie: usize| RequestHead::builder("GET", "/").param("HTTP_COOKIE", "c".repeat(cookie));
    let block = |bytes: &[u8]| bytes.len() - bytes.iter().take_while(|b| **b != b':').count() - 2;
    let least = block(&encode(head(0)));
    encode(head(size.saturating_sub(least)))
}

/// Decodes a head that comes in pieces, with each of them or with the last one; the buffer continues
/// being used.
fn decode(buf: &mut BytesMut, head: &[u8], piece: usize, policy: Policy, each: bool) {
    let mut decoder = RequestDecoder::new(Limits::default(), policy);
    let mut left = head.len();
    let mut event = None;
    for piece in head.chunks(piece) {
        buf.extend_from_slice(black_box(piece));
        left -= piece.len();
        if !each && left > 0 {
            continue;
        }
        // As a read loop does: what is moved is an event, not that there is none.
        if let Some(whole) = decoder.decode(buf).expect("a legal head") {
            event = Some(whole);
        }
    }
    assert!(black_box(event).is_some(), "the head is whole");
}

/// The twin of `decode` that only appends.
fn append(buf: &mut BytesMut, head: &[u8], piece: usize) {
    for piece in head.chunks(piece) {
        buf.extend_from_slice(black_box(piece));
    }
    black_box(&buf);
    buf.clear();
}

/// As `decode`, with pieces that are read from a socket.
fn receive(buf: &mut BytesMut, pair: &mut (UnixStream, UnixStream), piece: usize, each: bool) {
    let mut decoder = RequestDecoder::default();
    pair.0.write_all(TYPICAL).expect("room in the socket");
    let mut left = TYPICAL.len();
    let mut event = None;
    while left > 0 {
        let filled = buf.len();
        buf.resize(filled + piece.min(left), 0);
        let count = pair.1.read(&mut buf[filled..]).expect("the head");
        buf.truncate(filled + count);
        left -= count;
        if each || left == 0 {
            event = decoder.decode(buf).expect("a legal head");
        }
    }
    assert!(black_box(event).is_some(), "the head is whole");
}

/// Nanoseconds of decoding without those of the copy to the buffer, one figure for each round.
fn net(buf: &mut BytesMut, head: &[u8], policy: Policy) -> f64 {
    let copy = time(|| append(buf, head, usize::MAX));
    time(|| decode(buf, head, usize::MAX, policy, true)) - copy
}

/// The cost of each head with the default and the strict policy, per `unit` of it.
fn print_growth(title: &str, unit: &str, rounds: usize, heads: &[(usize, Vec<u8>)], per: f64) {
    let mut buf = BytesMut::with_capacity(1 << 20);
    let policies = [Policy::default(), Policy::strict()];
    let mut times = vec![[const { Vec::new() }; 2]; heads.len()];
    for _ in 0..rounds {
        for ((_, head), times) in heads.iter().zip(&mut times) {
            for (policy, times) in policies.into_iter().zip(times) {
                times.push(net(&mut buf, head, policy));
            }
        }
    }
    println!("\n| {title} | bytes | ns | ns per {unit} | strict: ns | ns per {unit} |");
    println!("|---|---|---|---|---|---|");
    for ((size, head), [default, strict]) in heads.iter().zip(times) {
        let (default, strict) = (Figures::of(default), Figures::of(strict));
        let unit = *size as f64 / per;
        println!(
            "| {size} | {} | {:.0} | {} | {:.0} | {} |",
            head.len(),
            default.median,
            default.per(unit),
            strict.median,
            strict.per(unit)
        );
    }
}

fn print_pieces(rounds: usize) {
    let mut buf = BytesMut::with_capacity(1 << 20);
    let mut times = vec![[const { Vec::new() }; 3]; PIECES.len()];
    let mut pair = UnixStream::pair().expect("a pair of sockets");
    for _ in 0..rounds {
        for (piece, [appended, own, read]) in PIECES.into_iter().zip(&mut times) {
            let [each, once] = [true, false]
                .map(|each| time(|| decode(&mut buf, TYPICAL, piece, Policy::default(), each)));
            appended.push(each / once);
            own.push((each - once) / (TYPICAL.len().div_ceil(piece)) as f64);
            let each = time(|| receive(&mut buf, &mut pair, piece, true));
            read.push(each / time(|| receive(&mut buf, &mut pair, piece, false)));
        }
    }
    println!(
        "\n| bytes of a read | reads | read from a socket: x decoded once | only appended: x decoded once | ns per read |"
    );
    println!("|---|---|---|---|---|");
    for (piece, [appended, own, read]) in PIECES.into_iter().zip(times) {
        println!(
            "| {} | {} | {} | {} | {} |",
            piece.min(TYPICAL.len()),
            TYPICAL.len().div_ceil(piece),
            Figures::of(read).per(1.0),
            Figures::of(appended).per(1.0),
            Figures::of(own).per(1.0)
        );
    }
}

/// The number behind `--rounds`; cargo's own arguments are passed over.
fn rounds() -> usize {
    let given = env::args().skip_while(|argument| argument != "--rounds").nth(1);
    given.map_or(21, |rounds| rounds.parse().expect("--rounds wants a number"))
}

fn main() {
    let rounds = rounds();
    println!("Medians of {rounds} rounds (least-most), net of the copy to the receive buffer.");
    let heads: Vec<_> = COUNTS.into_iter().map(|count| (count, head_of_params(count))).collect();
    print_growth("params", "param", rounds, &heads, 1.0);
    let heads: Vec<_> = SIZES.into_iter().map(|size| (size, head_of_bytes(size))).collect();
    print_growth("bytes of the block", "KiB", rounds, &heads, 1024.0);
    println!("\nA head of {} bytes that comes in pieces:", TYPICAL.len());
    print_pieces(rounds);
}

//! The public request decoder as a peer of a head-parsing benchmark.
//!
//! Usage: `bench_parse [--strict]`. Speaks a line protocol: `FILE[,FILE...] CHUNK ITERS` in,
//! `NS ALLOCATIONS BYTES` for one request out. A file holds one whole request, which is decoded
//! from pieces of at most CHUNK bytes, as reads from a socket would bring them.

use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use clap::Parser;
use scgi_proto::{Decode, DecodeError, Limits, Policy, RequestDecoder};
use scgi_tests::BoxError;

#[derive(Parser)]
struct Args {
    /// Decode with the strict policy
    #[arg(long)]
    strict: bool,
}

fn main() -> Result<(), BoxError> {
    let policy = if Args::parse().strict { Policy::strict() } else { Policy::default() };
    let mut buf = BytesMut::with_capacity(1 << 16);
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or("a line is FILE[,FILE...] CHUNK ITERS");
        let (names, chunk, iters): (_, usize, u64) = (word()?, word()?.parse()?, word()?.parse()?);
        // Read anew each time: the same name may hold something else by now.
        let files: Vec<_> = names.split(',').map(std::fs::read).collect::<Result<_, _>>()?;
        let decode_all = |buf: &mut BytesMut| {
            files.iter().try_for_each(|request| decode(request, chunk, policy, buf))
        };
        // Counting takes time, so what is timed is not counted, and what is counted not timed.
        decode_all(&mut buf)?;
        let mut result = Ok(());
        let counted = allocation_counter::measure(|| result = decode_all(&mut buf));
        result?;
        let mut time = Duration::ZERO;
        let mut result = Ok(());
        allocation_counter::opt_out(|| {
            let start = Instant::now();
            result = (0..iters).try_for_each(|_| decode_all(&mut buf));
            time = start.elapsed();
        });
        result?;
        let count = files.len() as f64;
        println!(
            "{} {} {}",
            time.as_nanos() as f64 / (iters as f64 * count),
            counted.count_total as f64 / count,
            counted.bytes_total as f64 / count
        );
        io::stdout().flush()?;
    }
    Ok(())
}

fn decode(
    request: &[u8],
    chunk: usize,
    policy: Policy,
    buf: &mut BytesMut,
) -> Result<(), DecodeError> {
    let mut decoder = RequestDecoder::new(Limits::default(), policy);
    for piece in request.chunks(chunk) {
        buf.extend_from_slice(piece);
        while let Some(event) = decoder.decode(buf)? {
            black_box(&event);
        }
    }
    Ok(())
}

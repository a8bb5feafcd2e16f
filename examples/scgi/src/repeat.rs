//! `--repeat`: sends the same request many times, and measures how long it takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::BoxError;

use crate::failure::{Context as _, chain};
use crate::output::print;
use crate::plan::Plan;
use crate::reply::{Output, Reply};
use crate::runtime::Runtime;

/// Lines of the histogram.
const BARS: usize = 10;

/// Columns of the longest bar.
const BAR_WIDTH: u64 = 50;

/// Sends `count` requests, `parallel` at once, each on a thread of its own: so it is the same
/// for every runtime. Prints the summary; whether every status was below 400.
pub(crate) fn run(
    runtime: Runtime,
    plan: &Plan,
    count: u64,
    parallel: u64,
    done: impl Fn(&Reply) -> Result<(), BoxError> + Sync,
) -> Result<bool, BoxError> {
    let left = AtomicU64::new(count);
    let parallel = parallel.min(count);
    let started = Instant::now();
    let work = || work(runtime, plan, &left, &done);
    let tally = thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work);
        let threads: Vec<_> = (0..parallel).map(spawn).collect();
        let mut tally = Tally::default();
        for thread in threads {
            let thread = thread.context(|| format!("cannot send {parallel} at once"))?;
            tally.add(thread.join().map_err(|_| "a thread panicked")?);
        }
        Ok::<_, BoxError>(tally)
    })?;
    print(&tally.summary(parallel, started.elapsed()))?;
    if let Some(first) = &tally.first_error {
        return Err(
            format!("{} of {count} requests failed, the first: {first}", tally.failed).into()
        );
    }
    Ok(tally.statuses.keys().all(|status| *status < 400))
}

fn work(
    runtime: Runtime,
    plan: &Plan,
    left: &AtomicU64,
    done: &impl Fn(&Reply) -> Result<(), BoxError>,
) -> Tally {
    let mut tally = Tally::default();
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    while take().is_ok() {
        let mut reply = Reply::new(Output::Nowhere, false);
        match runtime.exchange(plan, None, &mut reply).and_then(|()| done(&reply)) {
            Ok(()) => tally.count(&reply),
            Err(error) => tally.fail(&*error),
        }
    }
    tally
}

/// What came of the requests.
#[derive(Debug, Default)]
struct Tally {
    times: Vec<Duration>,
    statuses: BTreeMap<u16, u64>,
    bytes: u64,
    failed: u64,
    first_error: Option<String>,
}

impl Tally {
    fn count(&mut self, reply: &Reply) {
        let figures = reply.figures();
        self.times.push(figures.total);
        *self.statuses.entry(figures.status).or_default() += 1;
        self.bytes += figures.bytes;
    }

    fn fail(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.failed += 1;
        self.first_error.get_or_insert_with(|| chain(error));
    }

    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.bytes += other.bytes;
        self.failed += other.failed;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    fn summary(&self, parallel: u64, took: Duration) -> String {
        let mut times = self.times.clone();
        times.sort_unstable();
        let (count, seconds) = (times.len(), took.as_secs_f64());
        let rate = count as f64 / seconds.max(f64::EPSILON);
        let mut text = format!(
            "{count} answered, {} failed, {parallel} at once, in {seconds:.3} s: {rate:.0} a second\n",
            self.failed
        );
        for (status, count) in &self.statuses {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "status {status}: {count}");
        }
        let _ = writeln!(text, "{} bytes of body", self.bytes);
        let (Some(min), Some(max)) = (times.first(), times.last()) else { return text };
        let (median, p99) = (quantile(&times, 50), quantile(&times, 99));
        for (name, time) in [("min", *min), ("median", median), ("p99", p99), ("max", *max)] {
            let _ = writeln!(text, "{name:<6} {} ms", millis(time.as_secs_f64()));
        }
        text + &histogram(&times)
    }
}

fn millis(seconds: f64) -> String {
    format!("{:10.3}", seconds * 1e3)
}

/// The smallest time that `percent` of all times do not go beyond; `times` are sorted, not none.
fn quantile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent).div_ceil(100).max(1) - 1]
}

/// A bar for each class of times; the classes grow by a constant factor, because times do.
fn histogram(times: &[Duration]) -> String {
    let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64).max(1e-9);
    let (min, max) = (seconds(times.first()), seconds(times.last()));
    let factor = (max / min).powf(1.0 / BARS as f64);
    let mut text = String::new();
    let mut from = 0;
    for bar in 1..=BARS {
        let bound = if bar == BARS { max } else { min * factor.powi(bar as i32) };
        let to = match bar {
            BARS => times.len(),
            _ => times.partition_point(|time| time.as_secs_f64() <= bound),
        };
        let count = (to - from) as u64;
        let width = (count * BAR_WIDTH).div_ceil(times.len() as u64);
        let line = format!("<= {} ms {count:>8} {}", millis(bound), "#".repeat(width as usize));
        let _ = writeln!(text, "{}", line.trim_end());
        from = to;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(millis: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        millis.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn quantiles() {
        let times = times(1..=100);
        assert_eq!(quantile(&times, 50), Duration::from_millis(50));
        assert_eq!(quantile(&times, 99), Duration::from_millis(99));
        assert_eq!(quantile(&times[..1], 99), Duration::from_millis(1));
        assert_eq!(quantile(&times[..3], 50), Duration::from_millis(2));
    }

    #[test]
    fn every_time_is_in_one_class() {
        for times in [times([5]), times([5, 5, 5]), times(1..=1000), times([0, 1, 900])] {
            let text = histogram(&times);
            let count = |line: &str| line.split_whitespace().nth(3).and_then(|n| n.parse().ok());
            let counts: Vec<usize> = text.lines().filter_map(count).collect();
            assert_eq!((counts.len(), counts.iter().sum()), (BARS, times.len()), "{text}");
        }
    }

    #[test]
    fn a_summary_without_answers() {
        let tally = Tally { failed: 3, ..Tally::default() };
        assert!(tally.summary(1, Duration::ZERO).starts_with("0 answered, 3 failed"));
    }
}

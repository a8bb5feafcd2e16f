//! Finds out whether a thread of this process is asleep, if the system reports it.

use super::rule::Asleep;

/// The system's number of this thread; 0 if it does not say.
pub(super) fn this_thread() -> u32 {
    if cfg!(not(any(target_os = "linux", target_os = "android"))) {
        return 0;
    }
    // A link to `PID/task/TID`.
    let link = std::fs::read_link("/proc/thread-self").ok();
    let number = link.as_deref().and_then(|link| link.file_name()?.to_str()?.parse().ok());
    number.unwrap_or(0)
}

/// How many of these threads are asleep; `None` if the system says it of none of them.
pub(super) fn count(threads: &[u32]) -> Option<Asleep> {
    let known: Vec<_> = threads.iter().filter_map(|&thread| is_asleep(thread)).collect();
    let count = known.iter().filter(|is_asleep| **is_asleep).count();
    let is_known = !known.is_empty() || threads.is_empty();
    is_known.then_some(Asleep { count, of: known.len() })
}

/// Whether a thread waits for something other than a processor.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_asleep(thread: u32) -> Option<bool> {
    use std::io::Read as _;
    // `TID (NAME) STATE ...`, where the name has at most 15 bytes and may hold anything.
    let mut start = [0; 64];
    let mut stat = std::fs::File::open(format!("/proc/self/task/{thread}/stat")).ok()?;
    let count = stat.read(&mut start).ok()?;
    let start = &start[..count];
    let name_end = start.windows(2).rposition(|pair| pair == b") ")?;
    Some(*start.get(name_end + 2)? != b'R')
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_asleep(_: u32) -> Option<bool> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_thread_that_waits_is_asleep_and_this_one_is_not() {
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("a) R b) R".into()).spawn(move || {
            tell.send(this_thread()).expect("a test");
            let _ = ended.recv();
        });
        let waiting = told.recv().expect("a thread");
        let this = this_thread();
        let begun = Instant::now();
        // It may not wait yet.
        while is_asleep(waiting) != Some(true) {
            assert!(begun.elapsed() < Duration::from_secs(5), "it runs");
        }
        assert_eq!(is_asleep(this), Some(false));
        let asleep = count(&[waiting, this, u32::MAX]).expect("known");
        assert_eq!((asleep.count, asleep.of), (1, 2));
        assert!(count(&[u32::MAX, 0]).is_none(), "there is no such thread");
        assert_eq!(count(&[]), Some(Asleep { count: 0, of: 0 }));
        drop(end);
        thread.expect("made").join().expect("no panic");
    }
}

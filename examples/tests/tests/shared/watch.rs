//! What a running server takes of the machine, as Linux reports it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs::{self, DirEntry};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Memory and descriptors of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Resident memory in bytes.
    pub(crate) memory: u64,
    /// Without those that wake a thread. Each thread of the blocking adapter may keep one.
    pub(crate) descriptors: usize,
    wakeups: usize,
    workers: usize,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).expect("resident memory");
        let entries = |kind| fs::read_dir(format!("/proc/{pid}/{kind}")).expect("a process");
        // Each entry may be gone by now.
        let files = entries("fd").filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let is_wakeup = |file: &PathBuf| file.as_os_str() == "anon_inode:[eventfd]";
        let (wakeups, others): (Vec<_>, Vec<_>) = files.partition(is_wakeup);
        let name =
            |entry: io::Result<DirEntry>| fs::read_to_string(entry.ok()?.path().join("comm")).ok();
        let workers = entries("task").filter_map(name).filter(|name| name == "scgi-worker\n");
        Self {
            memory: kib.parse::<u64>().expect("a number") * 1024,
            descriptors: others.len(),
            wakeups: wakeups.len(),
            workers: workers.count(),
        }
    }

    /// Waits until a process has no more descriptors than it had, but those for the wake-ups of its
    /// threads, and its memory has grown by less than `slack` bytes.
    #[track_caller]
    pub(crate) fn await_return(self, pid: u32, slack: u64, what: &str) {
        let begun = Instant::now();
        loop {
            let now = Self::of(pid);
            let settled =
                now.descriptors <= self.descriptors && now.wakeups <= self.wakeups + now.workers;
            if settled && now.memory <= self.memory + slack {
                println!("{what}: {self:?} before, {now:?} after");
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(15), "{what}: {self:?} became {now:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

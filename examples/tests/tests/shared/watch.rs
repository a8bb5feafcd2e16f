//! What a running server takes of the machine, as Linux reports it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::time::{Duration, Instant};

/// Memory, descriptors and threads of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Resident memory in bytes.
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).expect("resident memory");
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").count();
        Self { memory: kib.parse::<u64>().expect("a number") * 1024, descriptors }
    }

    /// Allows a process this many more descriptors.
    pub(crate) fn with_spare_descriptors(mut self, count: usize) -> Self {
        self.descriptors += count;
        self
    }

    /// Waits until a process has no more descriptors than it had, and its memory has grown by
    /// less than `slack` bytes.
    #[track_caller]
    pub(crate) fn await_return(self, pid: u32, slack: u64, what: &str) {
        let begun = Instant::now();
        loop {
            let now = Self::of(pid);
            let settled = now.descriptors <= self.descriptors;
            if settled && now.memory <= self.memory + slack {
                println!("{what}: {self:?} before, {now:?} after");
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(15), "{what}: {self:?} became {now:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

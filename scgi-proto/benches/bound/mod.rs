//! The bound on the instructions of a benchmark, for those of all libraries.

use iai_callgrind::{Callgrind, EventKind, LibraryBenchmarkConfig};

/// 5 % above the instructions that were measured.
pub(crate) fn at_most(measured: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, measured + measured / 20)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

//! Tests that cannot share a process or the machine with other tests.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::any::type_name;
use std::env;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Set in the process that [`alone`] starts.
const STARTED: &str = "SCGI_TEST_ALONE";

/// Keeps other tests of this program that call this or [`alone`] from running, until it is dropped.
pub(crate) fn one_at_a_time() -> MutexGuard<'static, ()> {
    // A test that failed reports that itself.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `test`, a closure in the body of a test, in a process of its own, one at a time: for tests
/// that change their process (limits, the logger) or measure it.
pub(crate) fn alone<T: FnOnce()>(test: T) {
    if env::var_os(STARTED).is_some() {
        return test();
    }
    let _guard = one_at_a_time();
    // `measuring::idle_memory::tokio::{{closure}}`
    let closure = type_name::<T>();
    let name = closure.split_once("::").and_then(|(_, path)| path.strip_suffix("::{{closure}}"));
    let name = name.unwrap_or_else(|| panic!("{closure} is not a closure in a test"));
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(STARTED, "1");
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    // Without a test of that name, it would end well.
    assert!(output.status.success() && text.contains("test result: ok. 1 passed"), "{name} failed");
}

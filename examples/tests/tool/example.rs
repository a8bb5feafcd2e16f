//! The example programs, beside the tests.

use std::path::PathBuf;

/// An example, which `cargo test` builds beside the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("the folder of the build");
    let program = folder.join("examples").join(name);
    assert!(program.is_file(), "run `cargo build -p scgi-examples --examples` first");
    program
}

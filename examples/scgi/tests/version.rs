//! `scgi --version`. As this package has a test, `cargo test --workspace` builds the program, which
//! the tests of `scgi-tests` run.

use std::process::Command;

#[test]
fn version_is_printed() {
    let output = Command::new(env!("CARGO_BIN_EXE_scgi")).arg("--version").output().expect("scgi");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with(concat!("scgi ", env!("CARGO_PKG_VERSION"))), "{text}");
}

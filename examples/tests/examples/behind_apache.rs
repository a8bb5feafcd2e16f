//! An example server behind a real Apache, until Ctrl-C.
//!
//! ```text
//! cargo build --workspace --bins --examples
//! cargo run -p scgi-tests --example behind-apache
//! cargo run -p scgi-tests --example behind-apache axum_app
//! ```
//!
//! Apache runs from a temporary folder, with the configuration in `examples/tests/front/apache.conf`.

use std::process::ExitCode;

use scgi_tests::behind::behind;
use scgi_tests::front::Front;

fn main() -> ExitCode {
    behind("apache", Front::apache)
}

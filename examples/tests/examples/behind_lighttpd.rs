//! An example server behind a real lighttpd, until Ctrl-C.
//!
//! ```text
//! cargo build --workspace --bins --examples
//! cargo run -p scgi-tests --example behind-lighttpd
//! cargo run -p scgi-tests --example behind-lighttpd axum_app
//! ```
//!
//! lighttpd runs from a temporary folder, with the configuration in `examples/tests/front/lighttpd.conf`.

use std::process::ExitCode;

use scgi_tests::behind::behind;
use scgi_tests::front::Front;

fn main() -> ExitCode {
    behind("lighttpd", Front::lighttpd)
}

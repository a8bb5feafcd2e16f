//! An example server behind a real Apache, until Ctrl-C.
//!
//! ```text
//! cargo build -p scgi-examples --examples
//! cargo run -p scgi-examples --example behind-apache
//! cargo run -p scgi-examples --example behind-apache axum_app
//! ```
//!
//! Apache runs from a temporary folder, with the configuration in `examples/front/apache.conf`.

use std::process::ExitCode;

use scgi_examples::behind::behind;
use scgi_examples::front::Front;

fn main() -> ExitCode {
    behind("apache", Front::apache)
}

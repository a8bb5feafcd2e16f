//! An example server behind a real lighttpd, until Ctrl-C.
//!
//! ```text
//! cargo build -p scgi-examples --examples
//! cargo run -p scgi-examples --example behind-lighttpd
//! cargo run -p scgi-examples --example behind-lighttpd axum_app
//! ```
//!
//! lighttpd runs from a temporary folder, with the configuration in `examples/front/lighttpd.conf`.

use std::process::ExitCode;

use scgi_examples::behind::behind;
use scgi_examples::front::Front;

fn main() -> ExitCode {
    behind("lighttpd", Front::lighttpd)
}

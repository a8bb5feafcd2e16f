//! An example server behind a real nginx, until Ctrl-C.
//!
//! ```text
//! cargo build --workspace --bins --examples
//! cargo run -p scgi-tests --example behind-nginx
//! cargo run -p scgi-tests --example behind-nginx axum_app
//! ```
//!
//! nginx runs from a temporary folder, with the configuration in `examples/tests/front/nginx.conf`.

use std::process::ExitCode;

use scgi_tests::behind::behind;
use scgi_tests::front::Front;

fn main() -> ExitCode {
    behind("nginx", Front::nginx)
}

//! An example server behind a real nginx, until Ctrl-C.
//!
//! ```text
//! cargo build -p scgi-examples --examples
//! cargo run -p scgi-examples --example behind-nginx
//! cargo run -p scgi-examples --example behind-nginx axum_app
//! ```
//!
//! nginx runs from a temporary folder, with the configuration in `examples/front/nginx.conf`.

use std::process::ExitCode;

use scgi_examples::behind::behind;
use scgi_examples::front::Front;

fn main() -> ExitCode {
    behind("nginx", Front::nginx)
}

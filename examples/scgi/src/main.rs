//! The program `scgi`.

use std::process::ExitCode;

fn main() -> ExitCode {
    scgi_cli::main()
}

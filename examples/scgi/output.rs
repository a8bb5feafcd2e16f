//! Standard output, which may be a closed pipe.

use std::io::{self, Write};

use scgi_examples::BoxError;

use crate::failure::Context as _;

/// Prints at once, byte for byte.
pub(crate) fn print(text: &str) -> Result<(), BoxError> {
    print_to(io::stdout().lock(), text)
}

/// Prints text with styles at once: without them if standard output is no terminal, or where
/// `NO_COLOR` and the like say so.
pub(crate) fn print_styled(text: &str) -> Result<(), BoxError> {
    print_to(anstream::stdout().lock(), text)
}

fn print_to(mut out: impl Write, text: &str) -> Result<(), BoxError> {
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.context(|| "standard output".into())
}

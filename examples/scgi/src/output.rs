//! Writes to standard output, which may be a closed pipe.

use std::io::{self, Write as _};

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use scgi_proto::BoxError;

use crate::failure::Context as _;

/// Prints at once, byte for byte.
pub(crate) fn print(text: &str) -> Result<(), BoxError> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    printed.context(|| "standard output".into())
}

/// Prints text with styles at once: without them if standard output is not a terminal, or where
/// `NO_COLOR` and the like say so.
pub(crate) fn print_styled(text: &str) -> Result<(), BoxError> {
    match AutoStream::choice(&io::stdout()) {
        // As one string: in pieces it could be seen, or mixed with others', half printed.
        ColorChoice::Never => print(&strip_str(text).to_string()),
        _ => print(text),
    }
}

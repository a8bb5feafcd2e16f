//! Prints notes for the operator on standard error.

use std::fmt;
use std::io::{self, Write as _};

/// Lines on standard error, unless `--quiet` was given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notes {
    pub(crate) quiet: bool,
}

impl Notes {
    pub(crate) fn write(self, text: fmt::Arguments<'_>) {
        if !self.quiet {
            // If standard error is closed, nothing can be reported.
            let _ = writeln!(io::stderr(), "scgi gateway: {text}");
        }
    }
}

//! `--save`: every byte of an exchange.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use scgi_examples::BoxError;

use crate::failure::Context as _;

/// Two files: FILE holds what was sent, as `scgi decode` and `--raw` take it, and `FILE.cgi`
/// what came back.
#[derive(Debug)]
pub(crate) struct Capture {
    sent: File,
    received: File,
}

impl Capture {
    pub(crate) fn create(path: &Path) -> Result<Self, BoxError> {
        let mut reply = OsString::from(path);
        reply.push(".cgi");
        let create = |path: &Path| File::create(path).context(|| path.display().to_string());
        Ok(Self { sent: create(path)?, received: create(reply.as_ref())? })
    }

    pub(crate) fn sent(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent.write_all(bytes)
    }

    pub(crate) fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.received.write_all(bytes)
    }
}

//! `--save`: writes every byte of an exchange to files.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use scgi_proto::BoxError;

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
        Self::create_pair(path, reply.as_ref())
    }

    /// With a name for each.
    pub(crate) fn create_pair(sent: &Path, received: &Path) -> Result<Self, BoxError> {
        // For the user alone: there may be cookies and passwords in it.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let create = |path: &Path| options.open(path).context(|| path.display().to_string());
        Ok(Self { sent: create(sent)?, received: create(received)? })
    }

    pub(crate) fn sent(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent.write_all(bytes)
    }

    pub(crate) fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.received.write_all(bytes)
    }
}

//! What the `hello_*` programs share beside SCGI: their arguments and their answer.

use clap::Parser;
use scgi_proto::Address;

/// The arguments of a `hello_*` program.
#[derive(Debug, Parser)]
pub struct HelloArgs {
    /// Connections served at once
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,
    /// Uses tokio's multi-thread runtime, with a thread for each core; only on tokio
    #[arg(long)]
    pub multi: bool,
    /// Where to listen: host:port, a path with a slash, unix:PATH, fd:0, or a URL (scgi, tcp, unix)
    #[arg(value_name = "ADDR")]
    pub address: Address,
}

impl HelloArgs {
    /// The arguments of this process; ends it if they are wrong.
    #[must_use]
    pub fn from_command_line() -> Self {
        Self::parse()
    }
}

/// The bytes of the answer, whatever the URI.
const LEN: usize = 200;

/// Says which URI was asked for, in 200 bytes of text.
///
/// # Examples
/// ```
/// let text = scgi_tests::hello(b"/app?x=1");
/// assert!(text.starts_with(b"You asked for /app?x=1\n..."));
/// assert_eq!(text.len(), 200);
/// ```
#[must_use]
pub fn hello(uri: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(LEN);
    text.extend_from_slice(b"You asked for ");
    text.extend_from_slice(&uri[..uri.len().min(LEN - 16)]);
    text.push(b'\n');
    text.resize(LEN - 1, b'.');
    text.push(b'\n');
    text
}

//! WebSocket clients written by others, for servers that have the route `/echo` of the tests.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::peers_python;

/// Runs the Python client with so many connections at the same time. Returns what it printed.
///
/// # Errors
/// If it cannot be started, or something did not hold; the text says what.
pub fn python(url: &str, connections: usize) -> io::Result<String> {
    run(Command::new(peers_python())
        .arg(script("websocket.py"))
        .arg(url)
        .arg(connections.to_string()))
}

/// Whether Node is here with a WebSocket of its own. Debian's is too old for that.
#[must_use]
pub fn has_node() -> bool {
    let check =
        ["--experimental-websocket", "-e", "process.exit(typeof WebSocket == 'function' ? 0 : 1)"];
    let mut command = Command::new("node");
    command.args(check).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs the client on Node's own WebSocket.
///
/// # Errors
/// As [`python`].
pub fn node(url: &str) -> io::Result<String> {
    run(Command::new("node").arg("--experimental-websocket").arg(script("websocket.mjs")).arg(url))
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

fn run(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(io::Error::other(format!("{command:?}: {}{}", text(&output.stdout), text(&output.stderr))))
}

//! The program behind the front servers in the tests, on every runtime.

#![allow(dead_code, reason = "each test uses a part of it")]

#[macro_use]
pub(crate) mod app;
pub(crate) mod async_std;
pub(crate) mod blocking;
pub(crate) mod smol;
pub(crate) mod tokio;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use tempfile::TempDir;

/// A running server of the program, on TCP and on a Unix socket.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) tcp: SocketAddr,
    pub(crate) unix: PathBuf,
    /// Holds the socket.
    _folder: Arc<TempDir>,
}

impl App {
    /// Starts `run` in a thread of its own, which reports the two addresses and serves for as
    /// long as the tests' process lives.
    pub(crate) fn start(run: impl FnOnce(PathBuf, Ready) + Send + 'static) -> Self {
        let folder = scgi_tests::process::scratch_dir().expect("a folder for the socket");
        let unix = folder.path().join("app.sock");
        let (sender, receiver) = std::sync::mpsc::channel();
        let path = unix.clone();
        thread::spawn(move || run(path, Box::new(move |tcp| sender.send(tcp).expect("a test"))));
        let tcp = receiver.recv().expect("the server starts");
        // Apache's workers have a user of their own.
        let rights = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&unix, rights).expect("rights of the socket");
        Self { tcp, unix, _folder: Arc::new(folder) }
    }
}

/// How a server reports that both its listeners are bound.
pub(crate) type Ready = Box<dyn FnOnce(SocketAddr) + Send>;

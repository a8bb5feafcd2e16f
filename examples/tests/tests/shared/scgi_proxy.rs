//! Running `scgi proxy`.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use scgi_tests::process::scratch_dir;
use tempfile::TempDir;

/// A running proxy, ended with the value.
pub(crate) struct Proxy {
    pub(crate) child: Child,
    pub(crate) dir: TempDir,
    /// Where it listens.
    pub(crate) address: String,
}

impl Proxy {
    pub(crate) fn start(listen: &str, backend: &str, more: &[&str]) -> Self {
        let dir = scratch_dir().expect("a folder");
        let file = |name| File::create(dir.path().join(name)).expect("a file");
        let mut command = Command::new(scgi_tests::programs::scgi());
        command.args(["proxy", listen, backend]).args(more).env_remove("NO_COLOR");
        let child =
            command.stdout(file("shown")).stderr(file("said")).spawn().expect("the program runs");
        let mut proxy = Self { child, dir, address: String::new() };
        let shown = proxy.wait_for("\n");
        let address = shown.lines().next().and_then(|line| line.strip_prefix("Listening on "));
        proxy.address = address.unwrap_or_else(|| panic!("{shown}")).into();
        proxy
    }

    pub(crate) fn tcp(backend: SocketAddr) -> Self {
        Self::start("127.0.0.1:0", &backend.to_string(), &[])
    }

    pub(crate) fn socket_address(&self) -> SocketAddr {
        self.address.parse().expect("a TCP address")
    }

    pub(crate) fn shown(&self) -> String {
        fs::read_to_string(self.dir.path().join("shown")).expect("text")
    }

    /// What it has shown once that contains `text`.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let shown = self.shown();
            if shown.contains(text) {
                return shown;
            }
            assert!(Instant::now() < deadline, "no {text:?} in {shown}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has shown once exchange `number` is over.
    #[track_caller]
    pub(crate) fn wait_for_end(&self, number: u64) -> String {
        self.wait_for(&format!("[{number}] = "));
        // Its findings are printed with that line.
        self.shown()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

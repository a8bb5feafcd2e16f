//! Unix sockets on union file systems, which are FUSE programs: an earlier version listened there,
//! and every connect was refused. Mounts real ones, so it runs in `.ci/heavy fuse` only.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tool::{EchoServer, RUNTIMES, scgi, text};
use rustix::process::Signal;
use scgi_tests::process::scratch_dir;

const GOOD: &[u8] = b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,";

/// A file system that is unmounted with the value.
struct Mount(PathBuf);

impl Mount {
    /// `source` is a folder, or several with a colon between.
    fn new(program: &str, source: &str, target: &Path) -> Self {
        let status = Command::new(program).arg(source).arg(target).status();
        assert!(status.is_ok_and(|status| status.success()), "{program} cannot mount here");
        Self(target.to_path_buf())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let status = Command::new("fusermount").arg("-u").arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
    }
}

#[track_caller]
fn answers(path: &Path, context: &str) {
    let mut stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("{context}: {error}"));
    stream.write_all(GOOD).expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    assert!(reply.starts_with("Status: 200 OK\r\n"), "{context}: {reply:?}");
}

#[test]
#[ignore = "mounts file systems: run .ci/heavy fuse"]
fn a_server_is_reached_on_a_union() {
    for program in ["bindfs", "mergerfs"] {
        for runtime in RUNTIMES {
            let context = format!("{program} {runtime}");
            let folder = scratch_dir().expect("a folder");
            let [first, second, union] = ["a", "b", "union"].map(|name| folder.path().join(name));
            for folder in [&first, &second, &union] {
                fs::create_dir(folder).expect("a folder");
            }
            let source = match program {
                "mergerfs" => format!("{}:{}", text(&first), text(&second)),
                _ => text(&first).to_owned(),
            };
            let _mount = Mount::new(program, &source, &union);
            let path = union.join("app.sock");
            drop(UnixListener::bind(&path).expect("a stale socket"));
            let server = EchoServer::start(&["--runtime", runtime, "--mode", "662", text(&path)]);
            answers(&path, &context);
            let mode = fs::symlink_metadata(&path).expect("the file").mode();
            assert_eq!(mode & 0o7777, 0o662, "{context}");
            let second = scgi(["echo", "--runtime", runtime, text(&path)]);
            assert_eq!(second.code, Some(1), "{context}: {}", second.stderr);
            assert!(second.stderr.contains("another server listens there"), "{context}");
            answers(&path, &context);
            server.signal(Signal::TERM);
            assert_eq!(server.wait().0, Some(0), "{context}");
            assert!(!path.exists(), "{context}");
        }
    }
}

//! The files of Unix sockets, on every runtime: what a starting server does with what stands in
//! its place, and what is left of it at its end.

#![cfg(target_os = "linux")]

mod tool;

use std::fs::{self, Permissions, hard_link, metadata, set_permissions};
use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use scgi_tests::process::scratch_dir;
use tool::{EchoServer, RUNTIMES, Run, scgi, text};

const GOOD: &[u8] = b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,";

fn start(runtime: &str, path: &Path) -> EchoServer {
    EchoServer::start(&["--runtime", runtime, text(path)])
}

#[track_caller]
fn answers(mut stream: UnixStream, runtime: &str) {
    stream.write_all(GOOD).expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    assert!(reply.starts_with("Status: 200 OK\r\n"), "{runtime}: {reply:?}");
}

#[track_caller]
fn answers_at(path: &Path, runtime: &str) {
    answers(UnixStream::connect(path).expect("a connection"), runtime);
}

/// What the program says when it cannot listen at `path`.
fn refusal(path: &Path, reason: &str) -> String {
    format!("scgi: cannot listen on unix:{0}: {0}: {reason}", path.display())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry"));
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_stale_socket_is_replaced() {
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("a.sock");
        let killed = start(runtime, &path);
        killed.signal(Signal::KILL);
        killed.wait();
        assert!(path.exists(), "{runtime}: a killed server cannot remove it");
        let server = start(runtime, &path);
        answers_at(&path, runtime);
        assert_eq!(names(folder.path()), ["a.sock"], "{runtime}");
        server.signal(Signal::TERM);
        server.wait();
        assert_eq!(names(folder.path()), [""; 0], "{runtime}");
    }
}

#[test]
fn a_live_socket_is_refused() {
    let reason = "another server listens there; stop it first, or choose another path";
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("a.sock");
        let server = start(runtime, &path);
        // Even one that does not answer just now.
        server.signal(Signal::STOP);
        let second = scgi(["echo", "--runtime", runtime, text(&path)]);
        server.signal(Signal::CONT);
        second.failed(1, &refusal(&path, reason));
        answers_at(&path, runtime);
        assert_eq!(names(folder.path()), ["a.sock"], "{runtime}");
    }
}

#[test]
fn what_is_no_socket_is_not_touched() {
    let reason = "a file that is no socket stands there, and is not touched; remove it, or choose another path";
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let [file, link, stale, to_stale, dir] =
            ["file", "link", "stale.sock", "to-stale", "dir"].map(|name| folder.path().join(name));
        fs::write(&file, "precious").expect("written");
        symlink(&file, &link).expect("a link");
        drop(UnixListener::bind(&stale).expect("a socket"));
        // Even to a stale socket: who can place a link must not choose what is replaced.
        symlink(&stale, &to_stale).expect("a link");
        fs::create_dir(&dir).expect("a folder");
        let before = names(folder.path());
        for path in [&file, &link, &to_stale, &dir] {
            let run = scgi(["echo", "--runtime", runtime, text(path)]);
            run.failed(1, &refusal(path, reason));
        }
        assert_eq!(fs::read(&file).expect("still there"), b"precious", "{runtime}");
        assert_eq!(names(folder.path()), before, "{runtime}");
    }
}

/// Runs `scgi echo` without root's power to write anywhere.
fn echo_as_anyone(runtime: &str, path: &Path) -> Run {
    let program = scgi_tests::programs::scgi();
    let mut command = match geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set", "-dac_override", "--inh-caps", "-all"]).arg(program);
            command
        }
        false => Command::new(program),
    };
    command.args(["echo", "--runtime", runtime, text(path)]).stdin(Stdio::null());
    command.output().expect("the program runs").into()
}

#[test]
fn wrong_rights_of_the_folder() {
    let denied = "Permission denied (os error 13): the user of this process may not create files in \
                  that folder";
    let missing =
        "No such file or directory (os error 2): that folder does not exist; create it first";
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("a.sock");
        set_permissions(folder.path(), Permissions::from_mode(0o555)).expect("rights");
        let run = echo_as_anyone(runtime, &path);
        set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("rights");
        run.failed(1, &refusal(&path, denied));
        let path = folder.path().join("missing/a.sock");
        echo_as_anyone(runtime, &path).failed(1, &refusal(&path, missing));
        assert_eq!(names(folder.path()), [""; 0], "{runtime}");
    }
}

#[test]
fn of_racing_starters_one_wins() {
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).expect("a stale socket"));
        let mut starters: Vec<_> = (0..8)
            .map(|_| {
                let mut command = Command::new(scgi_tests::programs::scgi());
                command.args(["echo", "--runtime", runtime, text(&path)]);
                command.stdout(Stdio::null()).stderr(Stdio::piped()).stdin(Stdio::null());
                command.spawn().expect("the program runs")
            })
            .collect();
        let begun = Instant::now();
        let mut losers = 0;
        while losers < 7 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{runtime}: {losers} gave up");
            thread::sleep(Duration::from_millis(10));
            losers = starters
                .iter_mut()
                .filter_map(|starter| starter.try_wait().expect("its status"))
                .count();
        }
        answers_at(&path, runtime);
        assert_eq!(names(folder.path()), ["a.sock"], "{runtime}");
        let mut refused = 0;
        for mut starter in starters {
            // The winner runs until then.
            let _ = starter.kill();
            let output = starter.wait_with_output().expect("its end");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            refused += usize::from(said.contains("another server listens there"));
        }
        assert_eq!(refused, 7, "{runtime}");
    }
}

#[test]
fn only_its_own_file_is_removed() {
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("a.sock");
        let first = start(runtime, &path);
        // Whoever removes the file of a running server and starts another one keeps the new one.
        fs::remove_file(&path).expect("removed");
        let second = start(runtime, &path);
        first.signal(Signal::TERM);
        assert_eq!(first.wait().0, Some(0), "{runtime}");
        answers_at(&path, runtime);
        second.signal(Signal::TERM);
        assert_eq!(second.wait().0, Some(0), "{runtime}");
        assert!(!path.exists(), "{runtime}");
    }
}

#[test]
fn the_mode_is_there_as_soon_as_the_file_is() {
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("a.sock");
        let watched = path.clone();
        // Looks without a pause; a second name keeps what it saw first.
        let kept = folder.path().join("kept");
        let watcher = thread::spawn(move || {
            let begun = Instant::now();
            while hard_link(&watched, &kept).is_err() {
                assert!(begun.elapsed() < Duration::from_secs(20), "no file");
            }
            metadata(&kept).expect("the file").mode() & 0o777
        });
        let server = EchoServer::start(&["--runtime", runtime, "--mode", "620", text(&path)]);
        assert_eq!(watcher.join().expect("no panic"), 0o620, "{runtime}");
        answers_at(&path, runtime);
        server.signal(Signal::TERM);
        assert_eq!(server.wait().0, Some(0), "{runtime}");
    }
}

#[test]
fn abstract_addresses_have_no_file() {
    for runtime in RUNTIMES {
        let name = format!("scgi-socket-files-{}-{runtime}", std::process::id());
        let address = format!("unix:@{name}");
        let server = EchoServer::start(&["--runtime", runtime, &address]);
        let target = SocketAddr::from_abstract_name(&name).expect("an address");
        answers(UnixStream::connect_addr(&target).expect("a connection"), runtime);
        let second = scgi(["echo", "--runtime", runtime, &address]);
        assert_eq!(second.code, Some(1), "{runtime}");
        assert!(second.stderr.contains("Address already in use"), "{runtime}: {}", second.stderr);
        server.signal(Signal::TERM);
        assert_eq!(server.wait().0, Some(0), "{runtime}");
        // Nothing is left that a next start would have to remove.
        drop(EchoServer::start(&["--runtime", runtime, &address]));
    }
}

//! The files of Unix sockets, on every runtime: what a starting server does with a file that is
//! there already, and what is left of its own at its end.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs::{self, Permissions, metadata, set_permissions};
use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::tool::{EchoServer, RUNTIMES, Run, scgi, text};
use rustix::process::{Signal, geteuid};
use scgi_tests::process::{required, scratch_dir};

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
    let reason = "there is a file that is not a socket, and it is not touched; remove it, or choose another path";
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
        // Anyone who removes the file of a running server and starts another one keeps the new one.
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
fn the_mode_is_never_wider_than_asked_for() {
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("a.sock");
        let watched = path.clone();
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let (is_ready, modes) = (Arc::new(AtomicBool::new(false)), Arc::clone(&seen));
        let watcher = thread::spawn({
            let is_ready = Arc::clone(&is_ready);
            move || {
                // Looks without a pause.
                while !is_ready.load(Ordering::Relaxed) {
                    let Ok(file) = fs::symlink_metadata(&watched) else { continue };
                    modes.lock().expect("no panic").insert(file.mode() & 0o7777);
                }
            }
        });
        let server = EchoServer::start(&["--runtime", runtime, "--mode", "622", text(&path)]);
        is_ready.store(true, Ordering::Relaxed);
        watcher.join().expect("no panic");
        // The umask of 022 takes some bits first.
        let seen = seen.lock().expect("no panic").clone();
        assert!(seen.iter().all(|mode| mode & !0o622 == 0), "{runtime}: {seen:?}");
        assert_eq!(metadata(&path).expect("the file").mode() & 0o7777, 0o622, "{runtime}");
        answers_at(&path, runtime);
        server.signal(Signal::TERM);
        assert_eq!(server.wait().0, Some(0), "{runtime}");
    }
}

/// An operator finds the socket by its path, and so do its clients.
#[test]
fn the_system_knows_the_socket_by_its_path() {
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        // As long as the system allows: 107 bytes.
        let room = 107 - text(folder.path()).len() - 1;
        let path = folder.path().join("s".repeat(room));
        let _server = start(runtime, &path);
        let stream = UnixStream::connect(&path).expect("a connection");
        let peer = stream.peer_addr().expect("its name");
        assert_eq!(peer.as_pathname(), Some(&*path), "{runtime}");
        let known = fs::read_to_string("/proc/net/unix").expect("the list of sockets");
        assert!(known.lines().any(|line| line.ends_with(text(&path))), "{runtime}");
        answers(stream, runtime);
    }
}

#[test]
fn the_lock_of_the_folder_does_not_decide() {
    if !required("flock") {
        return;
    }
    let folder = scratch_dir().expect("a folder");
    let paths = RUNTIMES.map(|runtime| folder.path().join(runtime));
    for path in &paths {
        drop(UnixListener::bind(path).expect("a stale socket"));
    }
    // Anyone who may read the folder can hold its lock, and for as long as they like.
    let mut command = Command::new("flock");
    if geteuid().is_root() {
        command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "flock"]);
    }
    // It becomes the program, so that the lock ends with it.
    command.arg("--no-fork").arg(folder.path()).args(["sh", "-c", "echo held; exec sleep 600"]);
    let mut holder = command.stdout(Stdio::piped()).spawn().expect("flock runs");
    let mut said = [0; 5];
    holder.stdout.as_mut().expect("its output").read_exact(&mut said).expect("the lock is held");
    thread::scope(|scope| {
        for (runtime, path) in RUNTIMES.iter().zip(&paths) {
            scope.spawn(move || {
                let server = start(runtime, path);
                answers_at(path, runtime);
                // Not only when it is needed: two starters could not tell.
                let warned = server.said();
                let warning = "starting without the lock of the folder";
                assert!(warned.contains(warning), "{runtime}: {warned}");
            });
        }
    });
    holder.kill().expect("it runs");
    holder.wait().expect("its end");
}

/// Android and some sandboxes refuse link(2) and rename(2).
#[test]
fn links_and_renames_are_not_needed() {
    const CALLS: &str = "link,linkat,rename,renameat,renameat2";
    if !required("strace") {
        return;
    }
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let (path, log) = (folder.path().join("a.sock"), folder.path().join("calls"));
        drop(UnixListener::bind(&path).expect("a stale socket"));
        let mut command = Command::new("strace");
        // -D: the program is the child of this one, and is ended with it.
        command.args(["-D", "-f", "-qq", "-o", text(&log)]);
        command.arg(format!("--inject={CALLS}:error=EPERM"));
        command.arg(format!("--trace={CALLS},bind"));
        command.arg(scgi_tests::programs::scgi());
        command.args(["echo", "--runtime", runtime, "--mode", "660", text(&path)]);
        let server = EchoServer::start_command(command);
        answers_at(&path, runtime);
        drop(server);
        let calls = fs::read_to_string(&log).expect("what it has called");
        assert!(calls.contains("bind("), "{runtime}: {calls}");
        assert!(!calls.contains("link") && !calls.contains("rename"), "{runtime}: {calls}");
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

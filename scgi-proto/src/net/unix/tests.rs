use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::string::ToString;
use std::time::Instant;
use std::vec::Vec;

use super::*;
use crate::Address;
use crate::net::bind::{bind as bind_address, bind_with, try_bind_with};

/// A folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::format!("scgi-bind-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        // That of a process that was killed and had this number before.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn names(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }

    /// Holds the lock of the folder until it is dropped.
    fn locked(&self) -> File {
        let folder = File::open(&self.0).unwrap();
        rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).unwrap();
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn at(path: &Path) -> Address {
    Address::Unix(path.into())
}

fn error(path: &Path) -> io::Error {
    let error = bind_address(at(path)).unwrap_err();
    assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
    error
}

fn kind(path: &Path) -> io::ErrorKind {
    error(path).kind()
}

fn stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn mode_is_set_and_the_file_removed_at_the_end() {
    let folder = Folder::new("mode");
    let path = folder.0.join("a.sock");
    // Some of these the umask would not leave.
    for wanted in [0o640, 0o600, 0o666, 0o777, 0o2660] {
        let options = BindOptions::default().with_mode(wanted).with_backlog(7);
        assert_eq!((options.backlog(), BindOptions::default().backlog()), (7, 4096));
        let bound = bind_with(at(&path), &options).unwrap();
        assert_eq!(mode(&path), wanted);
        assert_eq!(folder.names(), 1);
        UnixStream::connect(&path).unwrap();
        drop(bound);
        assert_eq!(folder.names(), 0);
    }
}

#[test]
fn without_a_mode_the_umask_decides() {
    let folder = Folder::new("umask");
    let (path, plain) = (folder.0.join("a.sock"), folder.0.join("plain.sock"));
    stale(&plain);
    let _bound = bind_address(at(&path)).unwrap();
    assert_eq!(mode(&path), mode(&plain));
    let path = folder.0.join("b.sock");
    let group = fs::metadata(&folder.0).unwrap().gid();
    let options = BindOptions::default().with_group(group);
    let _bound = bind_with(at(&path), &options).unwrap();
    assert_eq!(mode(&path), mode(&plain));
}

#[test]
fn owner_and_group_are_set_or_nothing_is_left() {
    let folder = Folder::new("owner");
    let path = folder.0.join("a.sock");
    let me = fs::metadata(&folder.0).unwrap();
    for group in [Some(me.gid() + 2), None] {
        let mut options = BindOptions::default().with_owner(me.uid() + 1).with_mode(0o660);
        options.group = group;
        let bound = bind_with(at(&path), &options);
        if me.uid() == 0 {
            bound.as_ref().unwrap();
            let made = fs::metadata(&path).unwrap();
            assert_eq!((made.uid(), made.gid()), (1, group.unwrap_or_else(|| me.gid())));
            assert_eq!(mode(&path), 0o660);
        } else {
            assert_eq!(bound.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }
    assert_eq!(folder.names(), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn rights_are_narrow_until_they_are_widened() {
    let folder = Folder::new("narrow");
    let group = fs::metadata(&folder.0).unwrap().gid();
    let plain = BindOptions::default();
    for (name, options, narrow, wide) in [
        ("mode", plain.with_mode(0o666), 0o644, 0o666),
        ("less", plain.with_mode(0o600), 0o600, 0o600),
        ("group", plain.with_mode(0o660).with_group(group), 0, 0o660),
    ] {
        let path = folder.0.join(name);
        let rights = Rights::new(&options);
        let socket = new_socket().unwrap();
        rights.narrow(&socket).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        // The umask of the test is not known; it only takes away.
        assert_eq!(mode(&path) & !narrow & 0o022, 0, "{name}: {:o}", mode(&path));
        assert_eq!(mode(&path) & !wide, 0, "{name}: {:o}", mode(&path));
        let file = SocketFile::made_at(&path).unwrap();
        rights.widen(&path, &file).unwrap();
        assert_eq!(mode(&path), wide, "{name}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_link_put_in_the_way_is_not_followed() {
    let folder = Folder::new("link");
    let (path, moved, other) =
        (folder.0.join("a.sock"), folder.0.join("b.sock"), folder.0.join("other"));
    fs::write(&other, "precious").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let rights = Rights::new(&BindOptions::default().with_mode(0o666));
    stale(&path);
    let file = SocketFile::made_at(&path).unwrap();
    fs::rename(&path, &moved).unwrap();
    symlink(&other, &path).unwrap();
    assert_eq!(rights.widen(&path, &file).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(mode(&other), 0o600);
    assert_ne!(mode(&moved), 0o666);
    // Nor is a socket with a second name taken for the one that was just made.
    fs::hard_link(&moved, folder.0.join("c.sock")).unwrap();
    assert_eq!(SocketFile::made_at(&moved).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(file);
    assert!(path.is_symlink(), "only its own file is removed");
}

#[test]
fn a_path_that_cannot_be_made_is_an_error() {
    let folder = Folder::new("slash");
    assert_eq!(kind(&folder.0.join("a.sock/")), io::ErrorKind::NotFound);
    assert_eq!(kind(&folder.0.join("missing/a.sock")), io::ErrorKind::NotFound);
    fs::write(folder.0.join("file"), "").unwrap();
    assert_eq!(kind(&folder.0.join("file/a.sock")), io::ErrorKind::NotADirectory);
    assert_eq!(folder.names(), 1);
}

#[test]
fn the_advice_fits_the_error() {
    for (errno, advice) in [
        (Errno::ACCESS, "the user of this process may not create files in that folder"),
        (Errno::NOENT, "that folder does not exist; create it first"),
        (
            Errno::PERM,
            "sockets cannot be made there; choose a path on another file system, such as /run",
        ),
    ] {
        let error = advised(errno.into());
        assert!(error.to_string().ends_with(advice), "{error}");
        assert_eq!(error.kind(), io::Error::from(errno).kind());
    }
    let error = advised(Errno::ROFS.into());
    assert_eq!(error.raw_os_error(), Some(Errno::ROFS.raw_os_error()));
}

#[test]
fn the_longest_path_is_the_system_s() {
    let folder = Folder::new("long");
    let room = MAX_PATH - folder.0.as_os_str().len() - 1;
    let longest = folder.0.join("a".repeat(room));
    let bound = bind_with(at(&longest), &BindOptions::default().with_mode(0o600)).unwrap();
    UnixStream::connect(&longest).unwrap();
    assert_eq!(kind(&longest), io::ErrorKind::AddrInUse);
    drop(bound);
    let too_long = folder.0.join("a".repeat(room + 1));
    let text = error(&too_long).to_string();
    assert!(text.ends_with(&std::format!("choose a path of at most {MAX_PATH} bytes")), "{text}");
    assert_eq!(folder.names(), 0);
}

#[test]
fn a_server_is_alive_and_not_disturbed() {
    let folder = Folder::new("live");
    let (full, silent, other) =
        (folder.0.join("a.sock"), folder.0.join("b.sock"), folder.0.join("c.sock"));
    // One with a full backlog, which blocks anyone who connects.
    let server = UnixListener::bind(&full).unwrap();
    rustix::net::listen(&server, 0).unwrap();
    let _waits = UnixStream::connect(&full).unwrap();
    assert_eq!(kind(&full), io::ErrorKind::AddrInUse);
    server.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    assert_eq!(server.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    // One that is bound and does not listen yet.
    let socket = new_socket().unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(&silent).unwrap()).unwrap();
    assert_eq!(kind(&silent), io::ErrorKind::AddrInUse);
    // One that takes datagrams.
    let _datagrams = UnixDatagram::bind(&other).unwrap();
    assert_eq!(kind(&other), io::ErrorKind::AddrInUse);
    assert_eq!(folder.names(), 3);
}

#[test]
fn stale_is_replaced_live_is_refused() {
    let folder = Folder::new("stale");
    let path = folder.0.join("a.sock");
    stale(&path);
    let bound = bind_address(at(&path)).unwrap();
    assert_eq!(kind(&path), io::ErrorKind::AddrInUse);
    assert_eq!(folder.names(), 1);
    drop(bound);
}

#[test]
fn other_files_are_not_touched() {
    let folder = Folder::new("other");
    let [file, link, dangling] = ["file", "link", "dangling"].map(|name| folder.0.join(name));
    fs::write(&file, "precious").unwrap();
    symlink(&file, &link).unwrap();
    symlink(folder.0.join("nothing"), &dangling).unwrap();
    for path in [&file, &link, &dangling, &folder.0] {
        assert_eq!(kind(path), io::ErrorKind::AlreadyExists, "{path:?}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    assert!(link.is_symlink() && dangling.is_symlink());
    assert_eq!(folder.names(), 3);
}

#[test]
fn a_file_that_is_no_longer_ours_stays() {
    let folder = Folder::new("ours");
    let path = folder.0.join("a.sock");
    let first = bind_address(at(&path)).unwrap();
    fs::remove_file(&path).unwrap();
    let second = bind_address(at(&path)).unwrap();
    drop(first);
    UnixStream::connect(&path).unwrap();
    drop(second);
}

#[test]
fn a_server_that_was_replaced_while_it_started_says_so() {
    let folder = Folder::new("lost");
    let path = folder.0.join("a.sock");
    let Bound::Unix(_listener, Some(file)) = bind_address(at(&path)).unwrap() else { panic!() };
    check_reachable(&path, &file).unwrap();
    fs::remove_file(&path).unwrap();
    let error = check_reachable(&path, &file).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
    let _other = UnixListener::bind(&path).unwrap();
    let error = check_reachable(&path, &file).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
}

#[test]
fn a_path_that_leads_nowhere_says_so() {
    let folder = Folder::new("nowhere");
    let path = folder.0.join("a.sock");
    // As on file systems that do not connect a file with its socket.
    stale(&path);
    let file = SocketFile::made_at(&path).unwrap();
    let error = check_reachable(&path, &file).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable, "{error}");
    assert!(error.to_string().contains("choose a path on another one"), "{error}");
}

#[test]
fn of_many_starters_one_wins() {
    let folder = Folder::new("race");
    let path = folder.0.join("a.sock");
    stale(&path);
    let bound: Vec<_> = thread::scope(|scope| {
        let starters: Vec<_> = (0..8).map(|_| scope.spawn(|| bind_address(at(&path)))).collect();
        starters.into_iter().filter_map(|starter| starter.join().unwrap().ok()).collect()
    });
    assert_eq!(bound.len(), 1);
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_lock_that_others_hold_does_not_decide() {
    let folder = Folder::new("lock");
    let path = folder.0.join("a.sock");
    let _held = folder.locked();
    stale(&path);
    let error = try_bind_with(at(&path), &BindOptions::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let begun = Instant::now();
    let _bound = bind_address(at(&path)).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "it waits for the other's start");
    assert!(begun.elapsed() < Duration::from_secs(20), "but not for as long as it likes");
    UnixStream::connect(&path).unwrap();
}

#[test]
fn the_lock_is_taken_and_given_back() {
    let folder = Folder::new("free");
    let path = folder.0.join("a.sock");
    let options = BindOptions::default();
    let held = folder.locked();
    let starter = thread::spawn({
        let path = path.clone();
        move || bind_address(at(&path)).map(|bound| (Instant::now(), bound))
    });
    thread::sleep(Duration::from_millis(50));
    let freed = Instant::now();
    drop(held);
    let (bound_at, _bound) = starter.join().unwrap().unwrap();
    assert!(bound_at >= freed);
    let other = try_bind_with(at(&folder.0.join("b.sock")), &options).unwrap();
    drop(other);
    assert!(FolderLock::try_now(&path).is_some(), "no server holds it once it has started");
    assert!(FolderLock::wait(Path::new("a.sock")).is_some(), "the working folder has one too");
    assert!(FolderLock::wait(&folder.0.join("missing/a.sock")).is_none());
}

#[test]
fn what_another_starter_has_made_meanwhile_stays() {
    let folder = Folder::new("meanwhile");
    let path = folder.0.join("a.sock");
    let mut tries = 0;
    // Others win each time, and stop again.
    let error = replace_stale(&path, || {
        tries += 1;
        let _ = fs::remove_file(&path);
        stale(&path);
        Err(io::ErrorKind::AddrInUse.into())
    });
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(tries, TRIES);
    probe::remove_stale(&path).unwrap();
    probe::remove_stale(&path).unwrap();
    assert_eq!(folder.names(), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn the_system_knows_the_socket_by_its_path() {
    let folder = Folder::new("name");
    let path = folder.0.join("a.sock");
    let _bound = bind_address(at(&path)).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path));
    let known = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(known.lines().any(|line| line.ends_with(path.to_str().unwrap())), "{known}");
}

#[test]
#[cfg(target_os = "linux")]
fn abstract_addresses_have_no_file() {
    let name = std::format!("@scgi-bind-{}", std::process::id());
    let bound = bind_address(Address::Unix(name.clone().into())).unwrap();
    assert!(matches!(bound, Bound::Unix(_, None)));
    UnixStream::connect_addr(&unix_address(Path::new(&name)).unwrap()).unwrap();
}

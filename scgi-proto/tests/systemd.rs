//! What systemd gives to a process, and what the process reports to it. The environment is that of another process:
//! a test runs this program again, made as systemd would.

#![cfg(all(feature = "systemd", target_os = "linux", not(miri)))]

use std::env;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use scgi_proto::driver::Clock;
use scgi_proto::server::Watchdog;
use scgi_proto::systemd::Notifier;
use scgi_proto::{Address, Bound, bind};

/// Set for the other process.
const INNER: &str = "SCGI_TEST_INNER";

fn is_inner() -> bool {
    env::var_os(INNER).is_some()
}

/// Runs one test of this program in a process with two sockets as descriptors 3 (admin) and 4
/// (web), which a shell moves there: only the process itself knows its id for `LISTEN_PID`.
fn run_inner(test: &str, sockets: [OwnedFd; 2], variables: &[(&str, &str)]) {
    run_inner_with("LISTEN_PID=$$", test, sockets, variables);
}

/// The same, with these words of a shell before the program.
fn run_inner_with(before: &str, test: &str, sockets: [OwnedFd; 2], variables: &[(&str, &str)]) {
    let script = format!(r#"exec 3<&0 4<&2 2>&1 0</dev/null; {before} exec "$@""#);
    let [admin, web] = sockets;
    let output = Command::new("bash")
        .args(["-c", &script, "bash"])
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INNER, "yes")
        .envs(variables.iter().copied())
        .stdin(Stdio::from(admin))
        .stderr(Stdio::from(web))
        .output()
        .expect("bash");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn sockets(path: &std::path::Path) -> [OwnedFd; 2] {
    let admin = TcpListener::bind("127.0.0.1:0").expect("a socket").into();
    [admin, UnixListener::bind(path).expect("a socket").into()]
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = env::temp_dir().join(format!("scgi-systemd-{}-{name}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder");
    folder
}

#[test]
fn sockets_by_name() {
    if is_inner() {
        return take_sockets();
    }
    let folder = folder("sockets");
    let path = folder.join("web.sock");
    let sockets = sockets(&path);
    let _waits = UnixStream::connect(&path).expect("it listens");
    let variables = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "admin:web")];
    run_inner("sockets_by_name", sockets, &variables);
    assert!(path.exists(), "the file is systemd's");
    std::fs::remove_dir_all(folder).expect("removed");
}

fn take_sockets() {
    let take = |name: &str| bind(Address::Systemd(name.into()));
    let missing = take("other").expect_err("no such socket");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().contains(r#"["admin", "web"]"#), "{missing}");
    let Bound::Unix(listener, None) = take("web").expect("passed") else { panic!("of Unix") };
    listener.accept().expect("the connection that waits");
    let Bound::Tcp(_listener) = take("admin").expect("passed") else { panic!("of TCP") };
    assert_eq!(take("web").expect_err("taken").kind(), ErrorKind::AddrInUse);
    assert_eq!(take("admin").expect_err("taken").kind(), ErrorKind::AddrInUse);
}

fn take(address: &str) -> std::io::Result<Bound> {
    bind(address)
}

#[track_caller]
fn refused(address: &str, kind: ErrorKind, part: &str) {
    let error = take(address).expect_err("refused");
    assert!(error.kind() == kind && error.to_string().contains(part), "{address}: {error:?}");
}

/// As `systemfd --no-pid` and other programs pass sockets, for development.
#[test]
fn sockets_without_a_process_id_and_names() {
    if is_inner() {
        // All in one process, as they are taken once.
        refused("systemd:web", ErrorKind::NotFound, "2 sockets were passed without names");
        refused("systemd:web", ErrorKind::NotFound, "fd:3 is the first");
        assert!(matches!(take("fd:4").expect("passed"), Bound::Unix(_, None)));
        assert!(matches!(take("fd:3").expect("passed"), Bound::Tcp(_)));
        return refused("fd:3", ErrorKind::AddrInUse, "descriptor 3 is in use already");
    }
    let folder = folder("no-pid");
    let sockets = sockets(&folder.join("web.sock"));
    let test = "sockets_without_a_process_id_and_names";
    run_inner_with("", test, sockets, &[("LISTEN_FDS", "2")]);
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn a_single_socket_needs_no_name() {
    if is_inner() {
        assert!(matches!(take("systemd:web").expect("the only one"), Bound::Tcp(_)));
        return refused("systemd:web", ErrorKind::AddrInUse, "in use already");
    }
    let folder = folder("single");
    let sockets = sockets(&folder.join("web.sock"));
    run_inner_with("", "a_single_socket_needs_no_name", sockets, &[("LISTEN_FDS", "1")]);
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn two_sockets_of_one_name_are_taken_one_after_the_other() {
    if is_inner() {
        assert!(matches!(take("systemd:web").expect("the first"), Bound::Tcp(_)));
        assert!(matches!(take("systemd:web").expect("the second"), Bound::Unix(_, None)));
        return refused("systemd:web", ErrorKind::AddrInUse, "in use already");
    }
    let folder = folder("same");
    let sockets = sockets(&folder.join("web.sock"));
    let variables = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "web:web")];
    run_inner("two_sockets_of_one_name_are_taken_one_after_the_other", sockets, &variables);
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn sockets_of_another_process_are_left_alone() {
    if is_inner() {
        return refused("systemd:web", ErrorKind::NotFound, "LISTEN_PID is that of another");
    }
    let folder = folder("other-pid");
    let sockets = sockets(&folder.join("web.sock"));
    let variables = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "admin:web"), ("LISTEN_PID", "1")];
    run_inner_with("", "sockets_of_another_process_are_left_alone", sockets, &variables);
    std::fs::remove_dir_all(folder).expect("removed");
}

/// What `Accept=yes` passes, and a program that got no socket at all.
#[test]
fn what_is_not_a_listening_socket_is_refused_with_advice() {
    if is_inner() {
        refused("systemd:web", ErrorKind::InvalidInput, "say Accept=no in the socket unit");
        refused("systemd:admin", ErrorKind::InvalidInput, "not a valid tcp socket");
        refused("fd:0", ErrorKind::InvalidInput, "descriptor 0 is not a socket; start this");
        refused("fd:77", ErrorKind::NotFound, "descriptor 77 is not open");
        refused("fd:4294967295", ErrorKind::NotFound, "is not open");
        // 5 is a datagram socket, 6 one that listens; LISTEN_FDS does not have them.
        refused("fd:5", ErrorKind::InvalidInput, "not a stream socket");
        assert!(matches!(take("fd:6").expect("a listener"), Bound::Tcp(_)));
        return;
    }
    let folder = folder("accepted");
    let (near, _far) = UnixStream::pair().expect("a connection");
    let datagrams = UnixDatagram::bind(folder.join("datagrams")).expect("a socket");
    let listener: OwnedFd = TcpListener::bind("127.0.0.1:0").expect("a socket").into();
    // A third socket comes as a descriptor that the shell inherits.
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).expect("a flag");
    let number = std::os::fd::AsRawFd::as_raw_fd(&listener);
    let before = format!("exec 5<&3; exec 6<&{number}; LISTEN_PID=$$");
    run_inner_with(
        &before,
        "what_is_not_a_listening_socket_is_refused_with_advice",
        [datagrams.into(), near.into()],
        &[("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "admin:web")],
    );
    std::fs::remove_dir_all(folder).expect("removed");
}

/// The queue of a datagram socket is full after some messages.
#[test]
fn a_report_that_nobody_reads_does_not_wait() {
    if is_inner() {
        let notifier = Notifier::from_env();
        let begun = std::time::Instant::now();
        notifier.ready();
        (0..1000).for_each(|_| notifier.alive());
        notifier.stopping();
        assert!(begun.elapsed() < Duration::from_secs(20));
        return;
    }
    let folder = folder("unread");
    let path = folder.join("notify");
    let systemd = UnixDatagram::bind(&path).expect("a socket");
    let variables = [("NOTIFY_SOCKET", path.to_str().expect("text"))];
    let test = "a_report_that_nobody_reads_does_not_wait";
    run_inner(test, sockets(&folder.join("web.sock")), &variables);
    let mut buf = [0; 100];
    let count = systemd.recv(&mut buf).expect("what had room");
    assert_eq!(&buf[..count], b"READY=1");
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn what_is_told() {
    if is_inner() {
        return tell();
    }
    let folder = folder("told");
    let path = folder.join("notify");
    let systemd = UnixDatagram::bind(&path).expect("a socket");
    systemd.set_nonblocking(true).expect("a socket");
    let variables =
        [("NOTIFY_SOCKET", path.to_str().expect("text")), ("WATCHDOG_USEC", "20000000")];
    run_inner("what_is_told", sockets(&folder.join("web.sock")), &variables);
    let mut told = Vec::new();
    let mut buf = [0; 100];
    while let Ok(count) = systemd.recv(&mut buf) {
        told.push(String::from_utf8_lossy(&buf[..count]).trim().to_owned());
    }
    assert_eq!(told, ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]);
    std::fs::remove_dir_all(folder).expect("removed");
}

/// A clock that is set by hand, to seconds.
struct Seconds<'a>(&'a std::cell::Cell<u64>);

impl Clock for Seconds<'_> {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.get())
    }

    fn poll_until(&mut self, _: &mut Context<'_>, at: Duration) -> Poll<()> {
        if self.now() < at { Poll::Pending } else { Poll::Ready(()) }
    }
}

fn tell() {
    let notifier = Notifier::from_env();
    assert_eq!(notifier.interval(), Some(Duration::from_secs(10)), "half of what is allowed");
    let now = std::cell::Cell::new(100);
    let mut watchdog = Watchdog::start(notifier, Seconds(&now));
    assert_eq!(format!("{watchdog:?}"), "Watchdog { next: 110s, .. }");
    // Alive at 110 and at 121 s, and not before 131.
    for second in [100, 109, 110, 119, 121, 130] {
        now.set(second);
        watchdog.poll(&mut Context::from_waker(Waker::noop()));
    }
    notifier.stopping();
}

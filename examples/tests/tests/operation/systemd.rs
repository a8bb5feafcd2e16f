//! As a service of systemd: the sockets that it passes by name, and what is reported to it. On every
//! runtime; the environment and the descriptors are made as systemd makes them.

#![cfg(target_os = "linux")]

use std::fs::{Permissions, set_permissions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use scgi_tests::front::Front;
use scgi_tests::http::Browser;
use scgi_tests::process::{required, scratch_dir};

use crate::tool::{self, EchoServer, RUNTIMES};

const GOOD: &[u8] = b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,";

/// Starts the program with two sockets as descriptors 3 (named admin) and 4 (named web).
///
/// They are passed as standard input and error, and moved by a shell, as only the process itself
/// knows its id, which `LISTEN_PID` must be.
fn start(admin: OwnedFd, web: OwnedFd, args: &[&str], more: &[(&str, &str)]) -> EchoServer {
    let script = r#"exec 3<&0 4<&2 2>/dev/null 0</dev/null; LISTEN_PID=$$ exec "$@""#;
    let mut command = Command::new("bash");
    command
        .args(["-c", script, "bash"])
        .arg(scgi_tests::programs::scgi())
        .arg("echo")
        .args(args)
        .envs([("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "admin:web")])
        .envs(more.iter().copied())
        .stdin(Stdio::from(admin));
    EchoServer::start_with_errors(command, Stdio::from(web))
}

fn ask(mut stream: impl Read + Write) -> String {
    stream.write_all(GOOD).expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply
}

#[test]
fn sockets_are_taken_by_name() {
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("web.sock");
        let unix = UnixListener::bind(&path).expect("a socket");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = tcp.local_addr().expect("its address");
        for (name, is_tcp) in [("web", false), ("admin", true)] {
            let (admin, web) = (tcp.try_clone(), unix.try_clone());
            let (admin, web) = (admin.expect("a copy").into(), web.expect("a copy").into());
            let server =
                start(admin, web, &["--runtime", runtime, &format!("systemd:{name}")], &[]);
            let reply = if is_tcp {
                ask(TcpStream::connect(address).expect("a connection"))
            } else {
                ask(UnixStream::connect(&path).expect("a connection"))
            };
            assert!(reply.starts_with("Status: 200 OK\r\n"), "{runtime} {name}: {reply:?}");
            server.signal(Signal::TERM);
            assert_eq!(server.wait().0, Some(0), "{runtime} {name}");
            // It is systemd's: neither the file nor the socket ends with the program.
            assert!(path.exists(), "{runtime} {name}");
        }
        // The next start serves what came in between.
        let waiting = UnixStream::connect(&path).expect("the socket still listens");
        let web = unix.try_clone().expect("a copy").into();
        let admin = tcp.try_clone().expect("a copy").into();
        let server = start(admin, web, &["--runtime", runtime, "systemd:web"], &[]);
        assert!(ask(waiting).starts_with("Status: 200 OK\r\n"), "{runtime}");
        drop(server);
    }
}

#[test]
fn a_socket_that_is_not_there() {
    for runtime in RUNTIMES {
        let run = tool::scgi(["echo", "--runtime", runtime, "systemd:web"]);
        assert_eq!(run.code, Some(1), "{runtime}");
        for part in ["systemd passed no socket named web", "FileDescriptorName=web"] {
            assert!(run.stderr.contains(part), "{runtime}: {}", run.stderr);
        }
    }
}

/// Asks `url` on eight connections at the same time, until `act` returns. Returns how many requests
/// were answered; none may fail.
fn under_load(url: &str, name: &str, act: impl FnOnce()) -> usize {
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let browser = Browser::new();
                while !stop.load(Ordering::SeqCst) {
                    let reply = browser.get(url).unwrap_or_else(|error| panic!("{name}: {error}"));
                    assert_eq!(reply.status, 200, "{name}: {}", reply.text());
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        act();
        stop.store(true, Ordering::SeqCst);
    });
    done.into_inner()
}

#[test]
fn a_restart_at_the_cap_on_the_socket_of_systemd_fails_no_request() {
    if !required("nginx") {
        return;
    }
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("web.sock");
        let unix = UnixListener::bind(&path).expect("a socket");
        set_permissions(&path, Permissions::from_mode(0o777)).expect("rights of the socket");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let nginx = Front::nginx(tcp.local_addr().expect("its address"), &path);
        let nginx = nginx.expect("nginx starts");
        for (socket, path) in [("web", "unix/"), ("admin", "")] {
            let name = format!("systemd:{socket}");
            let start_one = || {
                let (admin, web) = (tcp.try_clone(), unix.try_clone());
                let (admin, web) = (admin.expect("a copy").into(), web.expect("a copy").into());
                start(admin, web, &["--runtime", runtime, "--max-connections", "2", &name], &[])
            };
            let url = format!("{}/{path}", nginx.url());
            let mut last = None;
            let done = under_load(&url, &format!("{runtime}, {socket}"), || {
                for _ in 0..4 {
                    let server = start_one();
                    thread::sleep(Duration::from_millis(200));
                    server.signal(Signal::TERM);
                    // Until the next one starts, requests wait in the queue of the socket.
                    assert_eq!(server.wait().0, Some(0), "{runtime}, {socket}");
                }
                last = Some(start_one());
            });
            drop(last.take());
            println!("{runtime}, {socket}: {done} requests, none failed");
            assert!(done > 20, "{runtime}, {socket}: {done} requests are no load");
        }
    }
}

fn next(notified: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let len = notified.recv(&mut message).expect("a message");
    String::from_utf8_lossy(&message[..len]).trim_end().to_owned()
}

#[test]
fn systemd_is_told() {
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("notify.sock");
        let notified = UnixDatagram::bind(&path).expect("a socket");
        notified.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let mut command = Command::new(scgi_tests::programs::scgi());
        command.args(["echo", "--runtime", runtime, "127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
        let server = EchoServer::start_command(command);
        assert_eq!(next(&notified), "READY=1", "{runtime}");
        // Every 200 ms, although no client connects.
        for _ in 0..3 {
            assert_eq!(next(&notified), "WATCHDOG=1", "{runtime}");
        }
        server.signal(Signal::TERM);
        let mut last = next(&notified);
        while last == "WATCHDOG=1" {
            last = next(&notified);
        }
        assert_eq!(last, "STOPPING=1", "{runtime}");
        assert_eq!(server.wait().0, Some(0), "{runtime}");
    }
}

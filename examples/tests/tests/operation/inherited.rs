//! Servers that another program starts with a listening socket: spawn-fcgi, lighttpd, and what
//! systemd does in other ways than in `systemd`. On every runtime, with the real programs.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::tool::{EchoServer, RUNTIMES, text};
use rustix::process::Signal;
use scgi_tests::process::{Running, find_program, free_port, required, scratch_dir};
use scgi_tests::programs;

const GOOD: &[u8] = b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,";

fn ask(mut stream: impl Read + Write) -> String {
    stream.write_all(GOOD).expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply
}

#[track_caller]
fn answers(stream: impl Read + Write, context: &str) {
    let reply = ask(stream);
    assert!(reply.starts_with("Status: 200 OK\r\n"), "{context}: {reply:?}");
}

#[test]
fn spawn_fcgi_starts_it() {
    if !required("spawn-fcgi") {
        return;
    }
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("app.sock");
        let port = free_port().expect("a port").to_string();
        for is_tcp in [false, true] {
            // -n: it becomes the program instead of starting it in the background.
            let mut command = Command::new("spawn-fcgi");
            command.arg("-n");
            match is_tcp {
                true => command.args(["-a", "127.0.0.1", "-p", &port]),
                false => command.args(["-s", text(&path), "-M", "0660"]),
            };
            command.arg("--").arg(programs::scgi()).args(["echo", "--runtime", runtime, "fd:0"]);
            let server = EchoServer::start_command(command);
            if is_tcp {
                assert_eq!(server.address, format!("127.0.0.1:{port}"), "{runtime}");
                answers(TcpStream::connect(&server.address).expect("a connection"), runtime);
            } else {
                assert_eq!(server.address, format!("unix:{}", text(&path)), "{runtime}");
                answers(UnixStream::connect(&path).expect("a connection"), runtime);
            }
            server.signal(Signal::TERM);
            assert_eq!(server.wait().0, Some(0), "{runtime}");
        }
        assert!(path.exists(), "{runtime}: the file is that of spawn-fcgi");
    }
}

fn browse(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /app HTTP/1.0\r\nHost: test\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(reply)
}

/// The process ids of those that run `program` with this argument.
fn processes(argument: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("the processes").filter_map(Result::ok);
    let is_it = |folder: &Path| {
        let line = fs::read(folder.join("cmdline")).unwrap_or_default();
        let mut words = line.split(|&byte| byte == 0);
        let is_program = words.next().is_some_and(|word| word.ends_with(b"/scgi"));
        is_program && words.any(|word| word == argument.as_bytes())
    };
    let found = entries.filter(|entry| is_it(&entry.path()));
    found.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn lighttpd_starts_it() {
    if !required("lighttpd") {
        return;
    }
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let port = free_port().expect("a port");
        let path = text(folder.path());
        // So that its process is found.
        let mark = format!("{}.5s", folder.path().display().to_string().len() + 100);
        let program = programs::scgi();
        let config = format!(
            r#"
            server.document-root = "{path}"
            server.bind = "127.0.0.1"
            server.port = {port}
            server.errorlog = "{path}/errors"
            server.modules = ("mod_scgi")
            scgi.server = ("/app" => ((
                "bin-path" => "{} echo --runtime {runtime} --shutdown-deadline {mark} fd:0",
                "socket" => "{path}/app.sock",
                "max-procs" => 1,
                "check-local" => "disable"
            )))"#,
            program.display()
        );
        fs::write(folder.path().join("lighttpd.conf"), config).expect("written");
        let mut command = Command::new(find_program("lighttpd").expect("it is there"));
        command.args(["-D", "-f", "lighttpd.conf"]).current_dir(folder.path());
        let mut lighttpd = Running::spawn(command.stderr(Stdio::null())).expect("it starts");
        lighttpd
            .wait_until(|| browse(port).is_some_and(|reply| reply.contains(" 200 ")))
            .unwrap_or_else(|error| {
                panic!("{runtime}: {error}: {:?}", fs::read_to_string(folder.path().join("errors")))
            });
        let reply = browse(port).expect("a reply");
        assert!(
            reply.contains("SERVER_SOFTWARE") && reply.contains("lighttpd"),
            "{runtime}: {reply}"
        );
        assert_eq!(processes(&mark).len(), 1, "{runtime}");
        lighttpd.stop().expect("it ends");
        // lighttpd ends the program with SIGTERM.
        let begun = Instant::now();
        while !processes(&mark).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{runtime}: it still runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// `systemd-socket-activate`, which starts the program as systemd does when a client connects.
fn activate(args: &[&str], runtime: &str, address: &str) -> Command {
    let mut command = Command::new("systemd-socket-activate");
    command.args(args).arg(programs::scgi()).args(["echo", "--runtime", runtime, address]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Connects as soon as it listens.
fn connect(path: &Path) -> UnixStream {
    let begun = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn systemd_passes_a_listener() {
    if !required("systemd-socket-activate") {
        return;
    }
    for runtime in RUNTIMES {
        for (args, address) in [
            (&["--fdname=web"][..], "systemd:web"),
            (&[][..], "fd:3"),
            // StandardInput=socket.
            (&["--inetd"][..], "fd:0"),
        ] {
            let folder = scratch_dir().expect("a folder");
            let path = folder.path().join("app.sock");
            let listen = ["-l", text(&path)];
            let args = [&listen, args].concat();
            let mut child = activate(&args, runtime, address).spawn().expect("it starts");
            answers(connect(&path), &format!("{runtime} {address}"));
            answers(connect(&path), &format!("{runtime} {address}"));
            child.kill().expect("it runs");
            child.wait().expect("its end");
        }
    }
}

#[track_caller]
fn refused(output: &Output, advice: &str, context: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{context}: {said}");
    assert!(said.contains(advice), "{context}: {said}");
}

/// `Accept=yes` starts one program for each connection; this one wants the listener.
#[test]
fn an_accepted_connection_is_refused_with_advice() {
    let advice = "is an accepted connection, not a listening socket; say Accept=no";
    for runtime in RUNTIMES {
        for address in ["systemd:web", "fd:3", "fd:0"] {
            let (near, _far) = UnixStream::pair().expect("a connection");
            let script = match address {
                "fd:0" => r#"exec "$@""#,
                _ => r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ exec "$@""#,
            };
            let mut command = Command::new("bash");
            command.args(["-c", script, "bash"]).arg(programs::scgi());
            command.args(["echo", "--runtime", runtime, address]);
            if address != "fd:0" {
                command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web");
            }
            let output = command.stdin(Stdio::from(OwnedFd::from(near))).output();
            refused(&output.expect("it runs"), advice, &format!("{runtime} {address}"));
        }
    }
    if !required("systemd-socket-activate") {
        return;
    }
    let folder = scratch_dir().expect("a folder");
    let path = folder.path().join("app.sock");
    let mut command =
        activate(&["-l", text(&path), "--accept", "--fdname=web"], "tokio", "systemd:web");
    let mut child = command.spawn().expect("it starts");
    let mut stream = connect(&path);
    let mut reply = Vec::new();
    // The program ends at once, and with it the connection.
    stream.read_to_end(&mut reply).expect("its end");
    assert_eq!(reply, b"");
    // What has started it would take it along at its end.
    let errors = BufReader::new(child.stderr.take().expect("its errors"));
    let mut lines = errors.lines().map(|line| line.expect("text"));
    assert!(lines.any(|line| line.contains(advice)));
    child.kill().expect("it runs");
    child.wait().expect("its end");
}

/// As systemfd and other programs for development do: one socket, no process id, no name.
#[test]
fn a_socket_without_a_process_id_and_a_name() {
    for runtime in RUNTIMES {
        for address in ["systemd:web", "fd:3"] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
            let target = listener.local_addr().expect("its address");
            let mut command = Command::new("bash");
            command.args(["-c", r#"exec 3<&0 0</dev/null; exec "$@""#, "bash"]);
            command.arg(programs::scgi()).args(["echo", "--runtime", runtime, address]);
            command.env("LISTEN_FDS", "1").stdin(Stdio::from(OwnedFd::from(listener)));
            let server = EchoServer::start_command(command);
            assert_eq!(server.address, target.to_string(), "{runtime} {address}");
            answers(TcpStream::connect(target).expect("a connection"), runtime);
        }
    }
}

/// No one reads what is reported to systemd: the queue is full after some messages.
#[test]
fn a_full_queue_of_systemd_does_not_stop_the_server() {
    std::thread::scope(|scope| {
        for runtime in RUNTIMES {
            scope.spawn(move || {
                let folder = scratch_dir().expect("a folder");
                let path = folder.path().join("notify.sock");
                let unread = UnixDatagram::bind(&path).expect("a socket");
                let filler = UnixDatagram::unbound().expect("a socket");
                filler.set_nonblocking(true).expect("a socket");
                while filler.send_to(b"full", &path).is_ok() {}
                let mut command = Command::new(programs::scgi());
                command.args(["echo", "--runtime", runtime, "127.0.0.1:0"]);
                command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "20000");
                let server = EchoServer::start_command(command);
                // Many reports long.
                std::thread::sleep(Duration::from_millis(300));
                answers(TcpStream::connect(&server.address).expect("a connection"), runtime);
                server.signal(Signal::TERM);
                assert_eq!(server.wait().0, Some(0), "{runtime}");
                drop(unread);
            });
        }
    });
}

/// What was passed is not closed for others: the next program serves what came in between.
#[test]
fn a_listener_that_was_passed_outlives_the_program() {
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("app.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let start = || {
            let mut command = Command::new(programs::scgi());
            command.args(["echo", "--runtime", runtime, "fd:0"]);
            let passed = OwnedFd::from(listener.try_clone().expect("a copy"));
            EchoServer::start_command({
                command.stdin(Stdio::from(passed));
                command
            })
        };
        let first = start();
        answers(connect(&path), runtime);
        first.signal(Signal::TERM);
        assert_eq!(first.wait().0, Some(0), "{runtime}");
        let waiting = UnixStream::connect(&path).expect("the socket still listens");
        let _second = start();
        answers(waiting, runtime);
    }
}

/// The auto-reload of the guide: systemfd holds the socket while the program is built again.
#[test]
#[ignore = "needs systemfd: run .ci/heavy reload"]
fn systemfd_holds_the_socket() {
    for runtime in RUNTIMES {
        let port = free_port().expect("a port");
        let address = format!("127.0.0.1:{port}");
        // As watchexec does: the program starts again when it ends.
        let script = r#"for _ in 1 2; do "$@"; done"#;
        let mut command = Command::new("systemfd");
        command.args(["--no-pid", "--quiet", "-s", &format!("tcp::{address}"), "--"]);
        command.args(["bash", "-c", script, "bash"]).arg(programs::scgi());
        // So that its process is found.
        let mark = format!("{port}ms");
        command.args(["echo", "--runtime", runtime, "--shutdown-deadline", &mark, "systemd:web"]);
        let holder = EchoServer::start_command(command);
        assert_eq!(holder.address, address, "{runtime}");
        for _ in 0..2 {
            answers(TcpStream::connect(&address).expect("a connection"), runtime);
            let ids = processes(&mark);
            let [id] = &ids[..] else { panic!("{runtime}: {ids:?}") };
            let ended = Command::new("kill").arg(id).status().expect("kill runs");
            assert!(ended.success(), "{runtime}");
            let begun = Instant::now();
            while processes(&mark).contains(id) {
                assert!(begun.elapsed() < Duration::from_secs(20), "{runtime}: it still runs");
                std::thread::sleep(Duration::from_millis(5));
            }
            // The next connection waits in the socket until the next program has started.
        }
        assert_eq!(holder.wait().0, Some(0), "{runtime}");
    }
}

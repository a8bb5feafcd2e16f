//! A server whose process may have no more threads or descriptors. It is a process of its own (this
//! test, started again), whose limits are changed from here.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use scgi_blocking::{Address, Listener, Request, Response, Stream, serve};

use crate::harness::{MS, read_all};

/// The server, in the process that a test starts.
#[test]
#[ignore = "not a test, but what the tests below start"]
fn server_with_limits() {
    let listener = Listener::bind("127.0.0.1:0").expect("bound");
    println!("address {}", listener.local_address().expect("its address"));
    let handler = |_: Request| {
        sleep(200 * MS);
        Response::new("done")
    };
    // It stops when the test closes its input.
    let signal = || drop(io::copy(&mut io::stdin(), &mut io::sink()));
    let server = serve(listener, handler).with_max_connections(32).with_graceful_shutdown(signal);
    #[cfg(feature = "systemd")]
    let server = server.with_systemd();
    let summary = server.run().expect("a summary");
    assert_eq!((summary.aborted, summary.without_place), (0, 0), "{summary:?}");
}

struct Server {
    child: Child,
    /// Open as long as the server may print something.
    _output: BufReader<ChildStdout>,
    address: Address,
}

impl Server {
    fn start() -> Self {
        Self::start_command(Command::new(std::env::current_exe().expect("this test")))
    }

    fn start_command(mut command: Command) -> Self {
        command.args(["--ignored", "--exact", "limits::server_with_limits", "--nocapture"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut lines = (&mut output).lines().map(|line| line.expect("text"));
        // The harness may print its own words on the same line.
        let address = lines.find_map(|line| {
            line.split_once("address ").map(|(_, address)| address.trim().to_owned())
        });
        let address = address.expect("an address").parse().expect("an address");
        Self { child, _output: output, address }
    }

    fn limit(&self, resource: Resource, current: Option<u64>) {
        let pid = Pid::from_child(&self.child);
        let before = prlimit(Some(pid), resource, Rlimit { current, maximum: None });
        // One that is bounded already can only keep its maximum.
        if before.is_err() {
            let maximum = rustix::process::getrlimit(resource).maximum;
            let current = current.or(maximum);
            prlimit(Some(pid), resource, Rlimit { current, maximum }).expect("a limit");
        }
    }

    /// Bytes of address space that it has.
    fn size(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.child.id());
        let pages = fs::read_to_string(path).expect("statm");
        let pages: u64 = pages.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        pages * rustix::param::page_size() as u64
    }

    fn count(&self, folder: &str) -> usize {
        fs::read_dir(format!("/proc/{}/{folder}", self.child.id())).expect("a folder").count()
    }

    /// Sends so many requests at the same time, and reads their answers.
    fn ask(&self, count: usize) {
        self.send(count).iter_mut().for_each(read_answer);
    }

    fn send(&self, count: usize) -> Vec<Stream> {
        let connect = |_| Stream::connect(&self.address).expect("connected");
        let mut streams: Vec<_> = (0..count).map(connect).collect();
        for stream in &mut streams {
            stream.write_all(b"0:,").expect("written");
        }
        streams
    }

    /// Lets it stop, which must not take long.
    fn stop(&mut self) {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None => assert!(begun.elapsed() < 10_000 * MS, "it does not end"),
            }
            sleep(MS);
        };
        assert!(status.success(), "{status}");
    }
}

fn read_answer(stream: &mut Stream) {
    assert!(read_all(stream).ends_with("done"));
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn threads_that_cannot_be_made_are_made_later() {
    let server = Server::start();
    server.ask(2);
    let before = server.count("task");
    // Not even the stack of one thread more.
    server.limit(Resource::As, Some(server.size() + (1 << 20)));
    for _ in 0..2 {
        // Those that exist serve them, one after the other.
        server.ask(6);
    }
    assert_eq!(server.count("task"), before, "a thread was made");
    server.limit(Resource::As, None);
    // All were idle for a while: none that does not exist counts as one that accepts.
    for _ in 0..3 {
        sleep(150 * MS);
        let begun = Instant::now();
        server.ask(8);
        assert!(begun.elapsed() < 2000 * MS, "{:?}", begun.elapsed());
    }
    assert!(server.count("task") > 8, "{}", server.count("task"));
}

#[test]
fn a_stop_while_threads_cannot_be_made_answers_all() {
    let mut server = Server::start();
    server.ask(2);
    let before = server.count("task");
    server.limit(Resource::As, Some(server.size() + (1 << 20)));
    let mut waiting = server.send(8);
    // Some wait in the queue, as spawns fail.
    sleep(100 * MS);
    assert_eq!(server.count("task"), before, "a thread was made");
    server.stop();
    waiting.iter_mut().for_each(read_answer);
}

/// Two threads, and not even the stack of one more.
fn without_threads(server: &Server) {
    server.ask(2);
    server.limit(Resource::As, Some(server.size() + (1 << 20)));
}

#[test]
fn a_connection_without_a_head_makes_room_when_no_thread_can_be_made() {
    let server = Server::start();
    without_threads(&server);
    // More than there are threads.
    let silent: Vec<_> = (0..6).map(|_| Stream::connect(&server.address)).collect();
    sleep(150 * MS);
    let begun = Instant::now();
    server.ask(1);
    // Without that, it waits until the first head is late: 10 s.
    assert!(begun.elapsed() < 5000 * MS, "{:?}", begun.elapsed());
    drop(silent);
}

#[cfg(feature = "systemd")]
#[test]
fn the_watchdog_is_told_while_no_thread_can_be_made() {
    use std::os::unix::net::UnixDatagram;

    let path = std::env::temp_dir().join(format!("scgi-blocking-notify-{}", std::process::id()));
    let notified = UnixDatagram::bind(&path).expect("bound");
    notified.set_read_timeout(Some(10_000 * MS)).expect("a timeout");
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    let mut server = Server::start_command(command);
    without_threads(&server);
    let waiting = server.send(20);
    notified.set_nonblocking(true).expect("a mode");
    while notified.recv(&mut [0; 100]).is_ok() {}
    notified.set_nonblocking(false).expect("a mode");
    // Ten rounds of 200 ms; a message comes every 50 ms.
    for _ in 0..10 {
        let mut message = [0; 100];
        let len = notified.recv(&mut message).expect("a message");
        assert_eq!(message[..len].trim_ascii_end(), b"WATCHDOG=1");
    }
    { waiting }.iter_mut().for_each(read_answer);
    server.stop();
    fs::remove_file(path).expect("its file");
}

#[test]
fn a_connection_without_a_head_makes_room_when_descriptors_run_out() {
    let server = Server::start();
    server.ask(1);
    server.limit(Resource::Nofile, Some(server.count("fd") as u64 + 10));
    let silent: Vec<_> = (0..15).map(|_| Stream::connect(&server.address)).collect();
    sleep(150 * MS);
    let begun = Instant::now();
    server.ask(1);
    // Without that, it waits until the first head is late: 10 s.
    assert!(begun.elapsed() < 5000 * MS, "{:?}", begun.elapsed());
    drop(silent);
}

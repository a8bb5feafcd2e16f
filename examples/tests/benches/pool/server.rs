//! The servers: processes that this program starts of itself. A request's URI says how long its
//! handler waits or computes, in microseconds: `/wait/5000`, `/compute/1000`.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::net::listen;
use rustix::process::{Pid, Signal, kill_process};
use scgi_proto::{Address, Bound, bind};
use scgi_tests::process::{Running, free_port};
use scgi_tests::{BoxError, hello};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// `scgi-tokio` on one thread
    Tokio,
    /// `scgi-blocking` with its defaults
    Blocking,
    /// 256 threads that wait in accept(2), without a library
    BarePool,
    /// A bare accept loop on tokio
    Floor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    Unix,
    Tcp,
}

pub(crate) const TRANSPORTS: [Transport; 2] = [Transport::Unix, Transport::Tcp];

/// As long a queue as the servers of the libraries have.
const BACKLOG: i32 = 4096;

/// Threads of the bare pool: as many as those of `scgi-blocking` at most.
const THREADS: usize = 256;

/// A server that runs until the value is dropped.
pub(crate) struct Server {
    pub(crate) address: Address,
    running: Running,
    dir: TempDir,
}

/// What a server of the libraries has counted when it has stopped.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Report {
    /// Connections that it has accepted, and let in.
    pub(crate) served: u64,
    /// Connections that it has closed to make room, as their heads were late.
    pub(crate) evicted: u64,
}

/// The connection that finds out whether a server is ready.
const PROBES: u64 = 1;

impl Report {
    pub(crate) fn write(self, path: &Path) -> io::Result<()> {
        fs::write(path, format!("{} {}", self.served, self.evicted))
    }

    fn read(path: &Path) -> Result<Self, BoxError> {
        let text = fs::read_to_string(path)?;
        let (served, evicted) = text.split_once(' ').ok_or("not a report")?;
        Ok(Self { served: served.parse::<u64>()? - PROBES, evicted: evicted.parse()? })
    }
}

impl Server {
    pub(crate) async fn start(kind: Kind, transport: Transport) -> Result<Self, BoxError> {
        let dir = tempfile::tempdir()?;
        let address = match transport {
            Transport::Unix => format!("unix:{}", dir.path().join("socket").display()),
            Transport::Tcp => format!("127.0.0.1:{}", free_port()?),
        };
        let kind = kind.to_possible_value().map(|value| value.get_name().to_owned());
        let mut command = Command::new(env::current_exe()?);
        command.args(["--serve", &kind.unwrap_or_default(), &address]);
        command.arg("--report").arg(dir.path().join("report"));
        let address: Address = address.parse()?;
        let mut running = Running::spawn(&mut command)?;
        let probe = |address: &Address| match address {
            Address::Tcp(address) => std::net::TcpStream::connect(address).is_ok(),
            Address::Unix(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
            _ => false,
        };
        running.wait_until(|| probe(&address))?;
        Ok(Self { address, running, dir })
    }

    /// Processor time of all its threads so far.
    pub(crate) fn cpu(&self) -> Result<Duration, BoxError> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.running.id()))? {
            // A thread may end while one looks.
            let Ok(stat) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            sum += stat.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> Result<usize, BoxError> {
        Ok(fs::read_dir(format!("/proc/{}/task", self.running.id()))?.count())
    }

    /// Asks it to stop, as an operator does.
    pub(crate) fn terminate(&self) -> Result<(), BoxError> {
        let pid = Pid::from_raw(i32::try_from(self.running.id())?).ok_or("no process")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// Stops it, if that was not asked yet, and returns what it has counted.
    pub(crate) fn finish(self) -> Result<Report, BoxError> {
        let status = self.running.stop()?;
        if !status.success() {
            return Err(format!("a server has failed: {status}").into());
        }
        Report::read(&self.dir.path().join("report"))
    }
}

/// Serves until a signal.
pub(crate) fn run(kind: Kind, address: &Address) -> Result<Report, BoxError> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    match kind {
        Kind::Tokio => runtime()?.block_on(async {
            let listener = scgi_tokio::Listener::bind(address).await?;
            let mut signals =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            let server = scgi_tokio::serve(listener, answer);
            let counters = server.counters();
            let signal = async move { _ = signals.recv().await };
            let summary = server.with_graceful_shutdown(signal).await?;
            Ok(Report { served: summary.served, evicted: counters.evicted() })
        }),
        Kind::Blocking => {
            let listener = scgi_blocking::Listener::bind(address)?;
            let mut signals = signal_hook::iterator::Signals::new([15])?;
            let signal = move || _ = signals.forever().next();
            let server = scgi_blocking::serve(listener, answer_blocking);
            let counters = server.counters();
            let summary = server.with_graceful_shutdown(signal).run()?;
            Ok(Report { served: summary.served, evicted: counters.evicted() })
        }
        Kind::BarePool => {
            bare_pool(&bind_long(address)?);
            Ok(Report::default())
        }
        Kind::Floor => {
            runtime()?.block_on(floor(bind_long(address)?))?;
            Ok(Report::default())
        }
    }
}

fn bind_long(address: &Address) -> io::Result<Bound> {
    let bound = bind(address)?;
    match &bound {
        Bound::Tcp(listener) => listen(listener, BACKLOG)?,
        Bound::Unix(listener, _) => listen(listener, BACKLOG)?,
    }
    Ok(bound)
}

/// What a handler does before it answers.
#[derive(Debug, Clone, Copy)]
enum Work {
    Wait(Duration),
    Compute(Duration),
}

/// Reads it from a URI, or from a whole request that holds one.
fn work(bytes: &[u8]) -> Work {
    let time = |name: &[u8]| {
        let at = bytes.windows(name.len()).position(|part| part == name)? + name.len();
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit());
        let micros = digits.fold(0, |sum, digit| 10 * sum + u64::from(digit - b'0'));
        Some(Duration::from_micros(micros))
    };
    match (time(b"/wait/"), time(b"/compute/")) {
        (_, Some(time)) => Work::Compute(time),
        (time, None) => Work::Wait(time.unwrap_or_default()),
    }
}

fn do_work(work: Work) {
    match work {
        Work::Wait(Duration::ZERO) => {}
        Work::Wait(time) => thread::sleep(time),
        Work::Compute(time) => compute(time),
    }
}

/// As much work as takes this time on a processor of its own.
fn compute(time: Duration) {
    // Counted in rounds, as the clock would count the time of others too.
    static ROUNDS: std::sync::OnceLock<f64> = std::sync::OnceLock::new();
    let spin = |rounds: u64| {
        (0..rounds).fold(1_u64, |sum, n| std::hint::black_box(sum.wrapping_mul(31) ^ n))
    };
    let each = *ROUNDS.get_or_init(|| {
        let start = Instant::now();
        std::hint::black_box(spin(2_000_000));
        start.elapsed().as_secs_f64() / 2_000_000.0
    });
    std::hint::black_box(spin((time.as_secs_f64() / each) as u64));
}

async fn answer(
    mut request: scgi_tokio::Request,
) -> Result<scgi_tokio::Response, scgi_tokio::Error> {
    while request.body_mut().chunk().await?.is_some() {}
    let uri = request.head().request_uri().unwrap_or_default();
    match work(uri) {
        Work::Wait(Duration::ZERO) => {}
        Work::Wait(time) => tokio::time::sleep(time).await,
        Work::Compute(time) => compute(time),
    }
    Ok(scgi_tokio::Response::new(hello(uri)).with_field("Content-Type", "text/plain"))
}

fn answer_blocking(
    mut request: scgi_blocking::Request,
) -> Result<scgi_blocking::Response, scgi_blocking::Error> {
    request.body_mut().discard()?;
    let uri = request.head().request_uri().unwrap_or_default();
    do_work(work(uri));
    Ok(scgi_blocking::Response::new(hello(uri)).with_field("Content-Type", "text/plain"))
}

/// What the libraries answer, for any URI.
fn reply() -> &'static [u8] {
    let head = "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n";
    [head.as_bytes(), &hello(b"/wait/0")].concat().leak()
}

fn bare_pool(bound: &Bound) {
    let reply = reply();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    // A client that closes early is fine.
                    let _ = match bound {
                        Bound::Tcp(listener) => {
                            listener.accept().and_then(|(stream, _)| bare_answer(stream, reply))
                        }
                        Bound::Unix(listener, _) => bare_unix(listener, reply),
                    };
                }
            });
        }
    });
}

fn bare_unix(listener: &UnixListener, reply: &[u8]) -> io::Result<()> {
    listener.accept().and_then(|(stream, _)| bare_answer(stream, reply))
}

fn bare_answer(mut stream: impl Read + Write, reply: &[u8]) -> io::Result<()> {
    let mut buf = [0; 8192];
    let count = stream.read(&mut buf)?;
    do_work(work(&buf[..count]));
    stream.write_all(reply)
}

async fn floor(bound: Bound) -> Result<(), BoxError> {
    let reply = reply();
    macro_rules! accept {
        ($listener:expr) => {{
            let listener = $listener;
            loop {
                let (mut stream, _) = listener.accept().await?;
                tokio::spawn(async move {
                    // However much came: it is not looked at.
                    let read = std::future::poll_fn(|cx| {
                        let mut buf = [0; 8192];
                        let mut buf = tokio::io::ReadBuf::new(&mut buf);
                        tokio::io::AsyncRead::poll_read(
                            std::pin::Pin::new(&mut stream),
                            cx,
                            &mut buf,
                        )
                    });
                    read.await?;
                    stream.write_all(reply).await
                });
            }
        }};
    }
    match bound {
        Bound::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            accept!(tokio::net::TcpListener::from_std(listener)?)
        }
        Bound::Unix(listener, _file) => {
            listener.set_nonblocking(true)?;
            accept!(tokio::net::UnixListener::from_std(listener)?)
        }
    }
}

/// One request on a connection of its own; returns whether a whole answer came.
pub(crate) async fn ask(address: &Address, request: &[u8], buf: &mut Vec<u8>) -> Outcome {
    macro_rules! talk {
        ($connected:expr) => {{
            let Ok(mut stream) = $connected else { return Outcome::NotConnected };
            let written = stream.write_all(request).await;
            buf.clear();
            // The answer counts, also if writing failed.
            let read = stream.read_to_end(buf).await;
            let is_whole = read.is_ok() && buf.len() == reply_len();
            if is_whole {
                return Outcome::Answered;
            }
            Outcome::Failed(format!("{written:?}, {read:?}, {} bytes", buf.len()))
        }};
    }
    match address {
        Address::Tcp(address) => talk!(tokio::net::TcpStream::connect(address).await),
        Address::Unix(path) => talk!(tokio::net::UnixStream::connect(path).await),
        _ => Outcome::NotConnected,
    }
}

/// The length of every answer.
fn reply_len() -> usize {
    "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n".len() + 200
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Answered,
    NotConnected,
    /// For this reason: an error of the stream, or an answer that is not whole.
    Failed(String),
}

/// A request whose handler does this.
pub(crate) fn request(uri: &str) -> Vec<u8> {
    let block = format!(
        "CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_METHOD\0GET\0REQUEST_URI\0{uri}\0SERVER_NAME\0localhost\0"
    );
    format!("{}:{block},", block.len()).into_bytes()
}

//! The servers: with the library and without, as processes that this program starts of itself.

use std::convert::Infallible;
use std::env;
use std::fs;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::Command;
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::ValueEnum;
use futures_util::stream;
use scgi_proto::{Address, Bound, RequestEncoder, RequestHead, bind};
use scgi_tests::process::{Running, free_port};
use scgi_tests::{BoxError, hello};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpSocket;

/// Bytes of a read or write: what the libraries read of a body at most.
pub(crate) const BUFFER: usize = 64 * 1024;

/// A request that asks for nothing in particular.
pub(crate) const REQUEST: &[u8] =
    b"69:CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_METHOD\0GET\0REQUEST_URI\0/app/items/42\0,";

/// The head of a request with a body of `size` bytes.
pub(crate) fn upload_head(size: u64) -> BytesMut {
    let head = RequestHead::builder("POST", "/").content_length(size).build();
    let mut out = BytesMut::new();
    RequestEncoder::default().head(&head, &mut out).expect("a legal head");
    out
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Runtime {
    Tokio,
    Smol,
    Blocking,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Job {
    /// Reads a large body
    Upload,
    /// Writes one
    Download,
    /// Answers in 200 bytes
    Reply,
}

/// How a server on tokio uses its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    One,
    /// The multi-thread runtime, with two workers
    Multi,
    /// Two threads, each with a runtime and a listener of its own (SO_REUSEPORT), as `hello_cores`
    Cores,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) runtime: Runtime,
    pub(crate) job: Job,
    pub(crate) shape: Shape,
    pub(crate) bare: bool,
    /// Bytes of a large body.
    pub(crate) size: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Transport {
    Unix,
    Tcp,
}

/// A server that runs until the value is dropped.
pub(crate) struct Server {
    pub(crate) address: Address,
    running: Running,
    _dir: TempDir,
}

impl Server {
    pub(crate) fn start(task: Task, transport: Transport) -> Result<Self, BoxError> {
        let dir = tempfile::tempdir()?;
        let address = match transport {
            Transport::Unix => format!("unix:{}", dir.path().join("socket").display()),
            Transport::Tcp => format!("127.0.0.1:{}", free_port()?),
        };
        let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let mut command = Command::new(env::current_exe()?);
        command
            .args(["--serve", &name(&|| task.runtime.to_possible_value())])
            .args(["--job", &name(&|| task.job.to_possible_value())])
            .args(["--shape", &name(&|| task.shape.to_possible_value())])
            .args(["--size", &(task.size >> 20).to_string()])
            .args(task.bare.then_some("--bare"))
            .arg(&address);
        let address = address.parse()?;
        let mut running = Running::spawn(&mut command)?;
        running.wait_until(|| connect(&address).is_ok())?;
        Ok(Self { address, running, _dir: dir })
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

    /// The most KiB of memory that it ever held.
    pub(crate) fn peak(&self) -> Result<f64, BoxError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmHWM")?;
        Ok(kib.parse()?)
    }
}

/// A stream of either kind.
pub(crate) trait Io: Read + Write {}
impl<T: Read + Write> Io for T {}

pub(crate) fn connect(address: &Address) -> io::Result<Box<dyn Io>> {
    match address {
        Address::Tcp(address) => Ok(Box::new(TcpStream::connect(address)?)),
        Address::Unix(path) => Ok(Box::new(UnixStream::connect(path)?)),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Serves until the process ends.
pub(crate) fn run(task: Task, address: &Address) -> Result<(), BoxError> {
    let current = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    match (task.runtime, task.shape) {
        (Runtime::Blocking, _) if task.bare => bare_loop(task, &bind(address)?),
        (Runtime::Blocking, _) => {
            let listener = scgi_blocking::Listener::bind(address)?;
            scgi_blocking::serve(listener, move |request| answer_blocking(task, request)).run()?;
            Ok(())
        }
        (Runtime::Smol, _) => smol::block_on(serve_smol(task, address)),
        (Runtime::Tokio, Shape::One) => current()?.block_on(serve(task, address)),
        (Runtime::Tokio, Shape::Multi) => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            // The accept loop on a worker too, not on a third thread.
            let address = address.clone();
            runtime.worker_threads(2).enable_all().build()?.block_on(async move {
                tokio::spawn(async move { serve(task, &address).await }).await?
            })
        }
        (Runtime::Tokio, Shape::Cores) => thread::scope(|scope| {
            let threads =
                [(); 2].map(|()| scope.spawn(|| current()?.block_on(serve(task, address))));
            threads.into_iter().try_for_each(|one| one.join().map_err(|_| "a thread panicked")?)
        }),
    }
}

async fn serve(task: Task, address: &Address) -> Result<(), BoxError> {
    if let (Shape::Cores, Address::Tcp(address)) = (task.shape, address) {
        let listener = listen(address.parse()?)?;
        if task.bare {
            return bare_tcp(task, listener).await;
        }
        scgi_tokio::serve(listener, move |request| answer(task, request)).await?;
    } else if task.bare {
        return bare_tokio(task, bind(address)?).await;
    } else {
        let listener = scgi_tokio::Listener::bind(address).await?;
        scgi_tokio::serve(listener, move |request| answer(task, request)).await?;
    }
    Ok(())
}

async fn serve_smol(task: Task, address: &Address) -> Result<(), BoxError> {
    if task.bare {
        return bare_smol(task, bind(address)?).await;
    }
    let listener = scgi_async_std::Listener::bind(address).await?;
    scgi_async_std::smol::serve(listener, move |request| answer_smol(task, request)).await?;
    Ok(())
}

/// One of several listeners on the same port.
fn listen(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

/// The pieces of a large body.
fn chunks(size: u64) -> impl Iterator<Item = Result<Bytes, Infallible>> {
    let chunk = Bytes::from(vec![b'x'; BUFFER]);
    (0..size / BUFFER as u64).map(move |_| Ok(chunk.clone()))
}

/// The handler on an adapter whose bodies are waited for.
macro_rules! answer {
    ($name:ident, $adapter:ident) => {
        async fn $name(
            task: Task,
            mut request: $adapter::Request,
        ) -> Result<$adapter::Response, $adapter::Error> {
            while request.body_mut().chunk().await?.is_some() {}
            if task.job == Job::Download {
                let body = $adapter::Body::from_stream(stream::iter(chunks(task.size)));
                return Ok($adapter::Response::new(body.with_len(task.size)));
            }
            let text = hello(request.head().request_uri().unwrap_or_default());
            Ok($adapter::Response::new(text).with_field("Content-Type", "text/plain"))
        }
    };
}

answer!(answer, scgi_tokio);
answer!(answer_smol, scgi_async_std);

fn answer_blocking(
    task: Task,
    mut request: scgi_blocking::Request,
) -> Result<scgi_blocking::Response, scgi_blocking::Error> {
    while request.body_mut().chunk()?.is_some() {}
    if task.job == Job::Download {
        let body = scgi_blocking::Body::from_chunks(chunks(task.size));
        return Ok(scgi_blocking::Response::new(body.with_len(task.size)));
    }
    let text = hello(request.head().request_uri().unwrap_or_default());
    Ok(scgi_blocking::Response::new(text).with_field("Content-Type", "text/plain"))
}

/// What the library answers to `REQUEST`.
fn reply() -> Vec<u8> {
    let head = "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n";
    [head.as_bytes(), &hello(b"/app/items/42")].concat()
}

async fn bare_tokio(task: Task, bound: Bound) -> Result<(), BoxError> {
    match bound {
        Bound::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            bare_tcp(task, tokio::net::TcpListener::from_std(listener)?).await
        }
        Bound::Unix(listener, _file) => {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::UnixListener::from_std(listener)?;
            let reply = reply().leak();
            loop {
                tokio::spawn(bare_answer(task, listener.accept().await?.0, reply));
            }
        }
    }
}

async fn bare_tcp(task: Task, listener: tokio::net::TcpListener) -> Result<(), BoxError> {
    let reply = reply().leak();
    loop {
        tokio::spawn(bare_answer(task, listener.accept().await?.0, reply));
    }
}

async fn bare_smol(task: Task, bound: Bound) -> Result<(), BoxError> {
    let reply = reply().leak();
    macro_rules! accept {
        ($listener:expr) => {{
            let listener = smol::Async::new($listener)?;
            loop {
                smol::spawn(bare_transfer(task, listener.accept().await?.0, reply)).detach();
            }
        }};
    }
    match bound {
        Bound::Tcp(listener) => accept!(listener),
        Bound::Unix(listener, _file) => accept!(listener),
    }
}

/// As `bare_answer`, of large bodies, on the streams of futures-io.
async fn bare_transfer<S>(task: Task, mut stream: S, reply: &[u8]) -> io::Result<()>
where
    S: smol::io::AsyncRead + smol::io::AsyncWrite + Unpin,
{
    use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buf = vec![b'x'; BUFFER];
    if task.job == Job::Download {
        stream.read(&mut buf).await?;
        for _ in 0..task.size / BUFFER as u64 {
            stream.write_all(&buf).await?;
        }
        return Ok(());
    }
    let mut left = upload_head(task.size).len() as u64 + task.size;
    while left > 0 {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            count => left = left.saturating_sub(count as u64),
        }
    }
    stream.write_all(reply).await
}

/// Moves as many bytes as the library does, and looks at none.
async fn bare_answer<S>(task: Task, mut stream: S, reply: &[u8]) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match task.job {
        Job::Upload => {
            let mut buf = vec![0; BUFFER];
            let mut left = upload_head(task.size).len() as u64 + task.size;
            while left > 0 {
                match stream.read(&mut buf).await? {
                    0 => return Ok(()),
                    count => left = left.saturating_sub(count as u64),
                }
            }
        }
        Job::Download | Job::Reply => {
            // The buffer is not in the future: it would be held while waiting.
            poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut [0; 8192])))
                .await?;
        }
    }
    if task.job == Job::Download {
        let chunk = vec![b'x'; BUFFER];
        for _ in 0..task.size / BUFFER as u64 {
            stream.write_all(&chunk).await?;
        }
        return Ok(());
    }
    stream.write_all(reply).await
}

/// One connection after the other: a thread that ends would take the count of its time along.
fn bare_loop(task: Task, bound: &Bound) -> Result<(), BoxError> {
    let reply = reply();
    loop {
        // A client that closes early, as one that only looks whether the server is there, is fine.
        let _ = match bound {
            Bound::Tcp(listener) => bare_blocking(task, listener.accept()?.0, &reply),
            Bound::Unix(listener, _) => bare_blocking(task, listener.accept()?.0, &reply),
        };
    }
}

fn bare_blocking(task: Task, mut stream: impl Read + Write, reply: &[u8]) -> io::Result<()> {
    let mut buf = vec![0; BUFFER];
    if task.job == Job::Upload {
        let mut left = upload_head(task.size).len() as u64 + task.size;
        while left > 0 {
            match stream.read(&mut buf)? {
                0 => return Ok(()),
                count => left = left.saturating_sub(count as u64),
            }
        }
    } else if stream.read(&mut buf)? == 0 {
        return Ok(());
    }
    if task.job == Job::Download {
        for _ in 0..task.size / BUFFER as u64 {
            stream.write_all(&buf)?;
        }
        return Ok(());
    }
    stream.write_all(reply)
}

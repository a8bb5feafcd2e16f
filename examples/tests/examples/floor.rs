//! What each runtime costs by itself: a bare accept loop that reads once, writes the answer of the
//! `hello_*` programs whatever it read, and closes. It speaks no SCGI: the servers are measured
//! against it.
//!
//! Usage: `floor tokio|smol|async-std|threads [--multi] ADDR`
//!
//! A task that waits holds its stream and no buffer: memory is measured too.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::thread;

use clap::{Parser, ValueEnum};
use rustix::net::listen;
use scgi_proto::{Address, Bound, bind};
use scgi_tests::{BoxError, hello};

#[derive(Debug, Parser)]
struct Args {
    /// What runs the loop
    #[arg(value_enum)]
    runtime: Runtime,
    /// Uses tokio's multi-thread runtime, with a thread for each core; only with `tokio`
    #[arg(long)]
    multi: bool,
    /// Where to listen: host:port, a path with a slash, unix:PATH, fd:0, or a URL (scgi, tcp, unix)
    #[arg(value_name = "ADDR")]
    address: Address,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Runtime {
    Tokio,
    Smol,
    AsyncStd,
    /// A thread for each connection
    Threads,
}

/// As long a queue as the servers have.
const BACKLOG: i32 = 4096;

/// Bytes of the one read.
const READ: usize = 8192;

/// As `hello_*` answers when asked for this URI.
fn reply() -> &'static [u8] {
    let head = "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n";
    let page = hello(b"/app/items/42?sort=price&page=3&lang=en");
    Vec::leak([head.as_bytes(), &page].concat())
}

/// Accepts until the process ends, with one task for each connection.
macro_rules! accept {
    ($listener:expr, $answer:path, $spawn:expr) => {{
        let (listener, reply) = ($listener, reply());
        loop {
            let (stream, _) = listener.accept().await?;
            $spawn($answer(stream, reply));
        }
    }};
}

async fn tokio_loop(bound: Bound) -> io::Result<()> {
    use tokio::net::{TcpListener, UnixListener};
    match bound {
        Bound::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            accept!(TcpListener::from_std(listener)?, answer_tokio, tokio::spawn)
        }
        Bound::Unix(listener, _file) => {
            listener.set_nonblocking(true)?;
            accept!(UnixListener::from_std(listener)?, answer_tokio, tokio::spawn)
        }
    }
}

async fn smol_loop(bound: Bound) -> io::Result<()> {
    use smol::{Async, spawn};
    match bound {
        Bound::Tcp(listener) => accept!(Async::new(listener)?, answer, |task| spawn(task).detach()),
        Bound::Unix(listener, _file) => {
            accept!(Async::new(listener)?, answer, |task| spawn(task).detach())
        }
    }
}

async fn async_std_loop(bound: Bound) -> io::Result<()> {
    use async_std::net::TcpListener;
    use async_std::os::unix::net::UnixListener;
    use async_std::task::spawn;
    match bound {
        Bound::Tcp(listener) => accept!(TcpListener::from(listener), answer, spawn),
        Bound::Unix(listener, _file) => accept!(UnixListener::from(listener), answer, spawn),
    }
}

fn threads_loop(bound: Bound) -> io::Result<()> {
    let reply = reply();
    match bound {
        Bound::Tcp(listener) => loop {
            let (stream, _) = listener.accept()?;
            thread::spawn(|| answer_blocking(stream, reply));
        },
        Bound::Unix(listener, _file) => loop {
            let (stream, _) = listener.accept()?;
            thread::spawn(|| answer_blocking(stream, reply));
        },
    }
}

async fn answer<S>(mut stream: S, reply: &[u8]) -> io::Result<()>
where
    S: futures_util::AsyncRead + futures_util::AsyncWrite + Unpin,
{
    use futures_util::AsyncWriteExt as _;
    // The buffer is not in the future: it would be held while waiting.
    poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut [0; READ])).await?;
    stream.write_all(reply).await
}

async fn answer_tokio<S>(mut stream: S, reply: &[u8]) -> io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    use tokio::io::{AsyncWriteExt as _, ReadBuf};
    poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut [0; READ]))).await?;
    stream.write_all(reply).await
}

fn answer_blocking(mut stream: impl Read + Write, reply: &[u8]) -> io::Result<()> {
    // However much came: it is not looked at.
    let _ = stream.read(&mut [0; READ])?;
    stream.write_all(reply)
}

fn main() -> Result<(), BoxError> {
    let Args { runtime, multi, address } = Args::parse();
    let bound = bind(&address)?;
    match &bound {
        Bound::Tcp(listener) => listen(listener, BACKLOG)?,
        Bound::Unix(listener, _) => listen(listener, BACKLOG)?,
    }
    println!("Listening on {address}");
    match runtime {
        Runtime::Tokio => {
            let mut runtime = if multi {
                tokio::runtime::Builder::new_multi_thread()
            } else {
                tokio::runtime::Builder::new_current_thread()
            };
            runtime.enable_all().build()?.block_on(tokio_loop(bound))?;
        }
        Runtime::Smol => smol::block_on(smol_loop(bound))?,
        Runtime::AsyncStd => async_std::task::block_on(async_std_loop(bound))?,
        Runtime::Threads => threads_loop(bound)?,
    }
    Ok(())
}

//! smol and async-std, as the core wants a runtime: tasks, sockets, and how to connect. Both are
//! built on async-io.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use scgi_proto::Address;
use scgi_proto::driver::Connector;
use scgi_proto::server::Runtime;
use scgi_proto::socket::Reactor;

use crate::stream::Stream;
use crate::transport::{Clock, FuturesIo};

/// How a runtime starts a task.
type Spawn = fn(Pin<Box<dyn Future<Output = ()> + Send>>);

/// A runtime that is built on async-io: smol or async-std.
#[derive(Clone, Copy)]
pub struct AsyncIo {
    spawn: Spawn,
    threads: fn() -> usize,
}

impl AsyncIo {
    pub(crate) fn new(spawn: Spawn, threads: fn() -> usize) -> Self {
        Self { spawn, threads }
    }
}

/// The number of threads that a runtime reads from this variable when it starts.
pub(crate) fn threads_from_env(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// One thread for each processor.
#[cfg_attr(
    not(feature = "async-std"),
    expect(dead_code, reason = "smol has one thread by default")
)]
pub(crate) fn one_for_each_processor() -> usize {
    available_parallelism().map_or(1, usize::from)
}

impl Runtime for AsyncIo {
    type Clock = Clock;

    fn clock(&self) -> Clock {
        Clock::of_async_io(Instant::now())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        (self.spawn)(Box::pin(task));
    }

    fn is_multi_threaded(&self) -> bool {
        (self.threads)() > 1
    }
}

impl fmt::Debug for AsyncIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncIo").field("threads", &(self.threads)()).finish()
    }
}

impl Reactor for FuturesIo {
    type Tcp = Async<TcpStream>;
    #[cfg(unix)]
    type Unix = Async<UnixStream>;
    #[cfg(not(unix))]
    type Unix = Async<TcpStream>;

    fn register_tcp(socket: TcpStream) -> io::Result<Self::Tcp> {
        Async::new_nonblocking(socket)
    }

    #[cfg(unix)]
    fn register_unix(socket: UnixStream) -> io::Result<Self::Unix> {
        Async::new_nonblocking(socket)
    }

    fn poll_readable(stream: &Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match stream {
            Stream::Tcp(stream) => stream.poll_readable(cx),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.poll_readable(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl Connector for FuturesIo {
    async fn connect_tcp(address: SocketAddr) -> io::Result<Self::Tcp> {
        Async::<TcpStream>::connect(address).await
    }

    async fn look_up(name: &Address) -> io::Result<Vec<SocketAddr>> {
        let name = name.clone();
        blocking::unblock(move || name.resolve()).await
    }

    fn delay(pause: Duration) -> impl Future + Send {
        Timer::after(pause)
    }
}

//! The streams of futures-io and a runtime's timer, as the drivers of the core want them.

#[cfg(feature = "net")]
use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
#[cfg(feature = "net")]
use std::net::TcpStream;
#[cfg(all(feature = "net", unix))]
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

#[cfg(feature = "net")]
use async_io::Async;
use bytes::BytesMut;
use futures_io::{AsyncRead, AsyncWrite};
use scgi_proto::adapter::{self, Adapter, READER_CHUNK, Reads, Streams, TakesTimer};
use scgi_proto::driver;
#[cfg(feature = "net")]
use scgi_proto::{
    adapter::Timed,
    socket::{SocketRef, as_socket},
};

#[cfg(feature = "net")]
use crate::stream::Stream;

/// The adapter for the streams of futures-io.
#[derive(Debug, Clone, Copy)]
pub struct FuturesIo;

/// A stream of futures-io.
pub(crate) type Transport<IO> = adapter::Transport<FuturesIo, IO>;

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Streams<IO> for FuturesIo {
    fn poll_read(io: &mut IO, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(io).poll_read(cx, buf)
    }

    fn poll_write(io: &mut IO, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        io: &mut IO,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(io).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(io).poll_flush(cx)
    }

    fn poll_shutdown(io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(io).poll_close(cx)
    }

    #[cfg(feature = "net")]
    fn socket(io: &IO) -> Option<SocketRef<'_>> {
        let io: &dyn Any = io;
        if let Some(stream) = io.downcast_ref::<Stream>() {
            return stream.get();
        }
        let socket = as_socket::<Async<TcpStream>>(io);
        #[cfg(unix)]
        let socket = socket.or_else(|| as_socket::<Async<UnixStream>>(io));
        #[cfg(feature = "smol")]
        let socket = socket.or_else(|| as_socket::<smol::net::TcpStream>(io));
        #[cfg(all(feature = "smol", unix))]
        let socket = socket.or_else(|| as_socket::<smol::net::unix::UnixStream>(io));
        #[cfg(feature = "async-std")]
        let socket = socket.or_else(|| as_socket::<async_std::net::TcpStream>(io));
        #[cfg(all(feature = "async-std", unix))]
        let socket = socket.or_else(|| as_socket::<async_std::os::unix::net::UnixStream>(io));
        socket
    }
}

impl<R: AsyncRead> Reads<R> for FuturesIo {
    fn poll_append(
        reader: Pin<&mut R>,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let start = buf.len();
        buf.resize(start + READER_CHUNK, 0);
        let read = reader.poll_read(cx, &mut buf[start..]);
        let count = if let Poll::Ready(Ok(count)) = &read { *count } else { 0 };
        buf.truncate(start + count);
        read
    }
}

impl Adapter for FuturesIo {
    type Clock = Clock;
    type Waiting = Clock;
}

impl TakesTimer for FuturesIo {
    type Timer = Timer;

    fn clock_with(timer: Timer) -> Clock {
        Clock::since(Instant::now(), timer)
    }
}

#[cfg(feature = "net")]
impl Timed for FuturesIo {
    fn clock() -> Clock {
        Clock::of_async_io(Instant::now())
    }
}

/// Makes a future that is ready at a given time: what a runtime has for waiting.
///
/// `async_io::Timer::at`, boxed, is one; `serve` on smol and async-std uses it.
pub type Timer = fn(Instant) -> Sleep;

/// A wait that a [`Timer`] made.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection's time, from a timer.
pub struct Clock {
    start: Instant,
    source: TimerSource,
    /// Made when something first has to wait, and when a deadline comes closer.
    sleep: Option<(Instant, Waiting)>,
}

/// What makes the waits.
#[derive(Clone, Copy)]
enum TimerSource {
    Made(Timer),
    /// The timer of async-io, which needs no box.
    #[cfg(feature = "net")]
    AsyncIo,
}

impl TimerSource {
    fn wait(self, at: Instant) -> Waiting {
        match self {
            Self::Made(timer) => Waiting::Boxed(timer(at)),
            #[cfg(feature = "net")]
            Self::AsyncIo => Waiting::AsyncIo(async_io::Timer::at(at)),
        }
    }
}

/// A wait that is made.
enum Waiting {
    Boxed(Sleep),
    #[cfg(feature = "net")]
    AsyncIo(async_io::Timer),
}

impl Clock {
    /// A clock that was at zero at `start`, with this timer.
    pub(crate) fn since(start: Instant, timer: Timer) -> Self {
        Self { start, source: TimerSource::Made(timer), sleep: None }
    }

    /// A clock with the timer of async-io, that was at zero at `start`.
    #[cfg(feature = "net")]
    pub(crate) fn of_async_io(start: Instant) -> Self {
        Self { start, source: TimerSource::AsyncIo, sleep: None }
    }
}

/// A clock of the same time and timer.
impl From<&Self> for Clock {
    fn from(clock: &Self) -> Self {
        Self { sleep: None, ..*clock }
    }
}

impl driver::PinnedClock for Clock {
    fn now(&self) -> Duration {
        driver::Clock::now(self)
    }

    fn poll_until(mut self: Pin<&mut Self>, cx: &mut Context<'_>, at: Duration) -> Poll<()> {
        driver::Clock::poll_until(&mut *self, cx, at)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("start", &self.start).finish_non_exhaustive()
    }
}

impl driver::Clock for Clock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Duration) -> Poll<()> {
        let Some(at) = self.start.checked_add(at) else { return Poll::Pending };
        // A deadline that moved later is looked at when the old one comes: bytes do not move the
        // timer.
        if self.sleep.as_ref().is_none_or(|(until, _)| *until > at) {
            self.sleep = Some((at, self.source.wait(at)));
        }
        match &mut self.sleep {
            Some((_, Waiting::Boxed(sleep))) => ready!(sleep.as_mut().poll(cx)),
            #[cfg(feature = "net")]
            Some((_, Waiting::AsyncIo(sleep))) => _ = ready!(Pin::new(sleep).poll(cx)),
            None => {}
        }
        self.sleep = None;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    use driver::Clock as _;

    use super::*;

    #[test]
    fn a_deadline_that_moves_with_each_read_makes_no_new_timer() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        fn timer(_: Instant) -> Sleep {
            MADE.fetch_add(1, Ordering::SeqCst);
            Box::pin(pending())
        }
        let mut clock = Clock::since(Instant::now(), timer);
        let mut cx = Context::from_waker(Waker::noop());
        for read in 0..1000 {
            assert!(clock.poll_until(&mut cx, Duration::from_secs(60 + read)).is_pending());
        }
        assert_eq!(MADE.load(Ordering::SeqCst), 1);
        assert!(clock.poll_until(&mut cx, Duration::from_secs(5)).is_pending());
        assert_eq!(MADE.load(Ordering::SeqCst), 2, "one that comes closer");
    }
}

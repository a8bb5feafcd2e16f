//! The streams of futures-io and a runtime's timer, as the drivers of the core want them.

#[cfg(feature = "net")]
use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
#[cfg(feature = "net")]
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
#[cfg(all(feature = "net", unix))]
use std::{
    os::fd::{AsFd, BorrowedFd},
    os::unix::net::UnixStream,
};

#[cfg(feature = "net")]
use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use scgi_proto::driver;
#[cfg(all(feature = "net", unix))]
use scgi_proto::socket::{
    has_peer_left, read_at_once, reset_on_close, send_at_once, write_at_once,
};
#[cfg(feature = "net")]
use scgi_proto::{Peer, driver::Advice, server::AcceptedStream};
#[cfg(all(feature = "net", not(unix)))]
use socket2::SockRef;

#[cfg(feature = "net")]
use crate::stream::Stream;

/// A stream of futures-io.
#[derive(Debug)]
#[cfg_attr(not(feature = "net"), expect(unreachable_pub, reason = "`Serve` names it"))]
pub struct Transport<IO>(pub(crate) IO);

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> driver::Transport for Transport<IO> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.0);
        match second {
            [] => io.poll_write(cx, first),
            _ => io.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(second)]),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }

    #[cfg(all(feature = "net", unix))]
    fn advise(&self, advice: Advice) {
        let Some(socket) = self.socket() else { return };
        match advice {
            Advice::SendAtOnce => send_at_once(socket),
            Advice::ResetOnClose => reset_on_close(socket),
        }
    }

    #[cfg(all(feature = "net", not(unix)))]
    fn advise(&self, advice: Advice) {
        let Some(socket) = tcp(&self.0) else { return };
        // Where these fail, the connection is broken already.
        let _ = match advice {
            Advice::SendAtOnce => socket.set_tcp_nodelay(true),
            Advice::ResetOnClose => socket.set_linger(Some(Duration::ZERO)),
        };
    }

    #[cfg(all(feature = "net", unix))]
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        self.socket().map_or(Ok(None), |socket| read_at_once(socket, buf))
    }

    #[cfg(all(feature = "net", unix))]
    fn try_write(&mut self, first: &[u8], second: &[u8]) -> io::Result<Option<usize>> {
        let bufs = [IoSlice::new(first), IoSlice::new(second)];
        self.socket().map_or(Ok(None), |socket| write_at_once(socket, &bufs))
    }

    #[cfg(all(feature = "net", unix))]
    fn has_peer_left(&self) -> bool {
        self.socket().is_some_and(has_peer_left)
    }
}

#[cfg(feature = "net")]
impl AcceptedStream for Transport<Stream> {
    fn peer(&self) -> io::Result<Peer> {
        self.0.peer()
    }
}

#[cfg(all(feature = "net", unix))]
impl<IO: 'static> Transport<IO> {
    /// The socket, if the stream is one: for calls that the runtime need not know of.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        fn fd<S: AsFd + 'static>(io: &dyn Any) -> Option<BorrowedFd<'_>> {
            io.downcast_ref::<S>().map(AsFd::as_fd)
        }
        let io: &dyn Any = &self.0;
        if let Some(stream) = io.downcast_ref::<Stream>() {
            return stream.socket();
        }
        let socket = fd::<Async<TcpStream>>(io).or_else(|| fd::<Async<UnixStream>>(io));
        #[cfg(feature = "smol")]
        let socket = socket
            .or_else(|| fd::<smol::net::TcpStream>(io))
            .or_else(|| fd::<smol::net::unix::UnixStream>(io));
        #[cfg(feature = "async-std")]
        let socket = socket
            .or_else(|| fd::<async_std::net::TcpStream>(io))
            .or_else(|| fd::<async_std::os::unix::net::UnixStream>(io));
        socket
    }
}

#[cfg(all(feature = "net", not(unix)))]
fn tcp(io: &dyn Any) -> Option<SockRef<'_>> {
    if let Some(stream) = io.downcast_ref::<Stream>() {
        return stream.tcp();
    }
    let socket =
        io.downcast_ref::<Async<TcpStream>>().map(|stream| SockRef::from(stream.get_ref()));
    #[cfg(feature = "smol")]
    let socket = socket.or_else(|| io.downcast_ref::<smol::net::TcpStream>().map(SockRef::from));
    #[cfg(feature = "async-std")]
    let socket =
        socket.or_else(|| io.downcast_ref::<async_std::net::TcpStream>().map(SockRef::from));
    socket
}

/// Makes a future that is ready at a given time: what a runtime has for waiting.
///
/// `async_io::Timer::at`, boxed, is one; `serve` on smol and async-std uses it.
pub type Timer = fn(Instant) -> Sleep;

/// A wait that a [`Timer`] made.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection's time, from a timer.
#[cfg_attr(not(feature = "net"), expect(unreachable_pub, reason = "`Serve` names it"))]
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

    /// A clock of the same time and timer.
    pub(crate) fn another(&self) -> Self {
        Self { sleep: None, ..*self }
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

//! tokio's streams and timers, as the drivers of the core want them.

use std::any::Any;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use pin_project_lite::pin_project;
use scgi_proto::adapter::{self, Adapter, Reads, Streams, Timed};
use scgi_proto::driver;
use scgi_proto::socket::{SocketRef, as_socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::io::poll_read_buf;

use crate::runtime::Tokio;
use crate::stream::Stream;

/// A stream of tokio.
pub(crate) type Transport<IO> = adapter::Transport<Tokio, IO>;

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Streams<IO> for Tokio {
    fn poll_read(io: &mut IO, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(io).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
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
        Pin::new(io).poll_shutdown(cx)
    }

    fn socket(io: &IO) -> Option<SocketRef<'_>> {
        let io: &dyn Any = io;
        if let Some(stream) = io.downcast_ref::<Stream>() {
            return stream.get();
        }
        #[cfg(unix)]
        return as_socket::<TcpStream>(io).or_else(|| as_socket::<UnixStream>(io));
        #[cfg(not(unix))]
        as_socket::<TcpStream>(io)
    }
}

impl<R: AsyncRead> Reads<R> for Tokio {
    fn poll_append(
        reader: Pin<&mut R>,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        poll_read_buf(reader, cx, buf)
    }
}

impl Adapter for Tokio {
    type Clock = Clock;
    type Waiting = PinnedClock;
}

impl Timed for Tokio {
    fn clock() -> Clock {
        Clock::since(Instant::now())
    }
}

/// A connection's time, from tokio's timers.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// Made when something first has to wait, then moved from deadline to deadline.
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom `sleep` wakes.
    waker: Option<Waker>,
}

impl Clock {
    /// A clock that was at zero at `start`.
    pub(crate) fn since(start: Instant) -> Self {
        Self { start, sleep: None, waker: None }
    }
}

impl driver::Clock for Clock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Duration) -> Poll<()> {
        let Some(at) = self.start.checked_add(at) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
            self.waker = None;
        }
        // An upload waits for each chunk, and to tell the timer again whom to wake is a tenth of
        // what that takes.
        let is_told = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_told && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        loop {
            // Also when the task has used up its budget: the timer would not be registered then.
            ready!(pin!(unconstrained(sleep.as_mut())).poll(cx));
            // A deadline that moved later is looked at when the old one comes: bytes do not move
            // the timer.
            if sleep.deadline() >= at {
                break;
            }
            sleep.as_mut().reset(at);
        }
        (self.sleep, self.waker) = (None, None);
        Poll::Ready(())
    }
}

pin_project! {
    /// As [`Clock`], in the memory of the future that waits: it costs no allocation.
    pub struct PinnedClock {
        start: Instant,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl PinnedClock {
    /// A clock that was at zero at `start`.
    pub(crate) fn since(start: Instant) -> Self {
        Self { start, sleep: None }
    }
}

impl From<&Clock> for PinnedClock {
    fn from(clock: &Clock) -> Self {
        Self::since(clock.start)
    }
}

impl driver::PinnedClock for PinnedClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn poll_until(self: Pin<&mut Self>, cx: &mut Context<'_>, at: Duration) -> Poll<()> {
        let mut this = self.project();
        let Some(at) = this.start.checked_add(at) else { return Poll::Pending };
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep_until(at)));
        }
        let Some(mut sleep) = this.sleep.as_pin_mut() else { return Poll::Pending };
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        loop {
            // Also when the task has used up its budget: the timer would not be registered then.
            ready!(pin!(unconstrained(sleep.as_mut())).poll(cx));
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use driver::Clock as _;
    use tokio::runtime::Builder;
    use tokio::task::coop::consume_budget;
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn a_deadline_that_moves_with_each_read_makes_no_new_timer() {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let _guard = runtime.enter();
        let mut clock = Clock::since(Instant::now());
        let mut cx = Context::from_waker(Waker::noop());
        let mut timer = |clock: &mut Clock, seconds| {
            assert!(clock.poll_until(&mut cx, Duration::from_secs(seconds)).is_pending());
            let sleep = clock.sleep.as_ref().expect("it is waited for");
            (&raw const **sleep, sleep.deadline() - clock.start)
        };
        let first = timer(&mut clock, 60);
        assert_eq!(first.1, Duration::from_secs(60));
        for read in 1..1000 {
            // Neither made again nor told to the runtime again.
            assert_eq!(timer(&mut clock, 60 + read), first);
        }
        // One that comes closer.
        assert_eq!(timer(&mut clock, 5), (first.0, Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_wakes_a_task_that_had_used_up_its_budget() {
        let start = Instant::now();
        let mut clock = Clock::since(start);
        let mut has_budget = true;
        let passes = poll_fn(|cx| {
            while has_budget {
                has_budget = pin!(consume_budget()).poll(cx).is_ready();
            }
            clock.poll_until(cx, Duration::from_secs(60))
        });
        timeout(Duration::from_secs(100), passes).await.expect("it wakes");
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_wakes_the_task_that_waits_now() {
        let start = Instant::now();
        let mut clock = Clock::since(start);
        let first = clock.poll_until(&mut Context::from_waker(Waker::noop()), Duration::MAX / 2);
        assert!(first.is_pending());
        let at = Duration::from_secs(60);
        assert!(clock.poll_until(&mut Context::from_waker(Waker::noop()), at).is_pending());
        let passes = tokio::spawn(async move { poll_fn(|cx| clock.poll_until(cx, at)).await });
        timeout(Duration::from_secs(100), passes).await.expect("it wakes").expect("no panic");
        assert_eq!(start.elapsed(), at);
    }
}

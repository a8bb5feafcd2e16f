//! tokio's streams and timers, as the drivers of the core want them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use scgi_proto::driver;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::io::poll_read_buf;

/// A stream of tokio.
#[derive(Debug)]
pub(crate) struct Transport<IO>(pub(crate) IO);

impl<IO: AsyncRead + AsyncWrite + Unpin> driver::Transport for Transport<IO> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        poll_read_buf(Pin::new(&mut self.0), cx, buf)
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
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A connection's time, from tokio's timers.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// Made when something first has to wait, then moved from deadline to deadline.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    /// A clock that was at zero at `start`.
    pub(crate) fn since(start: Instant) -> Self {
        Self { start, sleep: None }
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
        }
        // A deadline that moved later is looked at when the old one comes: bytes do not move the
        // timer.
        ready!(sleep.as_mut().poll(cx));
        if sleep.deadline() < at {
            sleep.as_mut().reset(at);
            return sleep.as_mut().poll(cx);
        }
        self.sleep = None;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use driver::Clock as _;
    use tokio::runtime::Builder;

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
}

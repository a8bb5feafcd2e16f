//! What a connection does while it waits: it discards what no one asked for, notices that the peer
//! leaves, and acts on deadlines, after a last try.

use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use super::Connection;
use crate::driver::read_buffer::with_read_buffer;
use crate::driver::transport::{Clock, Transport};
use crate::error::Error;
use crate::exchange::server::flow::ReadPlan;

/// Reads of what is discarded, before other tasks have their turn: 1 MiB.
const READS: usize = 64;

impl<T: Transport, C: Clock> Connection<T, C> {
    /// While something else than the body is waited for: discards what no one can ask for, and is
    /// ready if the peer has left.
    pub(super) fn poll_unasked(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let mut reads = 0;
        loop {
            match self.exchange.read_plan() {
                ReadPlan::Discard if reads == READS => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                ReadPlan::Discard => match self.poll_discard(cx) {
                    Poll::Ready(Ok(())) => reads += 1,
                    Poll::Ready(Err(error)) => return Poll::Ready(error.into()),
                    Poll::Pending => return Poll::Pending,
                },
                ReadPlan::Keep => match self.poll_keep(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(error.into()),
                    Poll::Pending => return Poll::Pending,
                },
                ReadPlan::Watch => {
                    let Self { exchange, clock, .. } = self;
                    exchange.handle_watching(|| clock.now());
                    return Poll::Pending;
                }
                ReadPlan::Deliver | ReadPlan::Nothing => break,
            }
        }
        if self.exchange.is_peer_gone() {
            self.exchange.abort();
            return Poll::Ready(Error::Closed);
        }
        Poll::Pending
    }

    /// One read of what is discarded.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let transport = &mut self.outlet.transport;
        let read = with_read_buffer(|buf| transport.poll_read(cx, buf));
        match read {
            Poll::Ready(Ok(count)) => self.exchange.handle_discarded(count),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Poll::Ready(Err(error)) => {
                self.exchange.close();
                return Poll::Ready(Err(error));
            }
            Poll::Pending => {
                self.exchange.release_buffer();
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One read of what belongs to the protocol that the program may change to.
    #[cold]
    fn poll_keep(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { outlet, exchange, .. } = self;
        let read = with_read_buffer(|buf| {
            let room = exchange.max_kept_len().min(buf.len());
            let read = outlet.transport.poll_read(cx, &mut buf[..room]);
            read.map_ok(|count| exchange.receive_slice(&buf[..count]))
        });
        match read {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                exchange.close();
                Poll::Ready(Err(error))
            }
            read => read,
        }
    }

    /// Acts on deadlines that have passed, where nothing needs to wait and no timer reports them.
    ///
    /// # Errors
    /// The deadline, after the exchange has acted on it.
    #[inline]
    pub fn check_deadline(&mut self) -> Result<(), Error> {
        while let Some(now) = self.exchange.time_if_due(|| self.clock.now()) {
            self.act_on_time(now)?;
        }
        Ok(())
    }

    /// Ready when a deadline has passed: with an error, after the exchange has acted on it, or so
    /// that the caller looks again at what it waits for, as a last try may have moved that.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let Some(at) = self.exchange.poll_timeout() else { return Poll::Pending };
            ready!(self.clock.poll_until(cx, at));
            // It may be early.
            if let Some(now) = self.exchange.time_if_due(|| self.clock.now()) {
                return Poll::Ready(self.act_on_time(now));
            }
        }
    }

    /// Does what is due: asks the system, and judges if that moved nothing.
    #[cold]
    fn act_on_time(&mut self, now: Duration) -> Result<(), Error> {
        let tries = self.exchange.last_tries(now);
        let moved = tries.read && self.try_read()? || tries.write && self.try_write()?;
        if moved {
            return Ok(());
        }
        if tries.look && self.outlet.transport.has_peer_left() {
            self.exchange.handle_peer_left();
            return Err(Error::Closed);
        }
        self.exchange.handle_timeout(now).map_or(Ok(()), |timeout| Err(timeout.into()))
    }

    /// Reads what waits in the system; returns whether there was something.
    pub(super) fn try_read(&mut self) -> Result<bool, Error> {
        let Self { outlet, exchange, .. } = self;
        let read = with_read_buffer(|buf| {
            let count = outlet.transport.try_read(buf)?;
            if let Some(count) = count {
                exchange.receive_slice(&buf[..count]);
            }
            Ok(count.is_some())
        });
        self.close_if_failed(read)
    }

    /// Writes what the system takes.
    fn try_write(&mut self) -> Result<bool, Error> {
        let Self { outlet, exchange, .. } = self;
        let written = outlet.try_write(exchange.pending());
        if let Ok(Some(count)) = written {
            exchange.handle_written(count);
        }
        self.close_if_failed(written.map(|count| count.is_some()))
    }

    fn close_if_failed<R>(&mut self, result: io::Result<R>) -> Result<R, Error> {
        result.map_err(|error| {
            self.exchange.close();
            error.into()
        })
    }
}

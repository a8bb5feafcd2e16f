//! A server's connection after a 101.

use core::any::Any;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use std::boxed::Box;
use std::io;
use std::sync::Arc;

use super::Connection;
use crate::driver::transport::{Clock, Transport};
use crate::driver::upgrade_program::UpgradeProgram;
use crate::driver::upgraded::{Tunnel, Upgraded};
use crate::error::Error;
use crate::shutdown::{Shutdown, ShutdownSignal};

/// What a server adds to an upgraded connection.
#[derive(Default)]
pub(crate) struct Lease {
    /// Set when the server ends what still runs.
    pub(crate) cut: Option<Shutdown>,
    /// The place among the server's connections, given up when this is dropped.
    pub(crate) place: Option<Arc<dyn Any + Send + Sync>>,
}

/// The server's end.
struct ServerTunnel<T: Transport, C: Clock> {
    // Dropped before the place is given up.
    connection: Connection<T, C>,
    reader: Cut,
    writer: Cut,
    _place: Option<Arc<dyn Any + Send + Sync>>,
}

/// What ends the wait of one direction.
#[derive(Default)]
struct Cut {
    signal: ShutdownSignal,
    /// The one that the signal has, to see without its lock whether that is up to date.
    waker: Option<Waker>,
}

impl Cut {
    fn new(cut: Option<&Shutdown>) -> Self {
        Self { signal: cut.map(Shutdown::signal).unwrap_or_default(), waker: None }
    }

    /// Ready when the server ends the connection.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            // Anyone who sets it has that waker.
            return if self.signal.is_set() { Poll::Ready(()) } else { Poll::Pending };
        }
        self.waker = Some(cx.waker().clone());
        Pin::new(&mut self.signal).poll(cx)
    }
}

impl<T: Transport, C: Clock> Connection<T, C> {
    /// The connection after the head of a 101 was written: it belongs to the program, from the first
    /// byte that came behind the request. Otherwise the connection as it is.
    ///
    /// # Errors
    /// The connection itself, if it has not been upgraded.
    #[allow(clippy::result_large_err, reason = "it is what the caller had")]
    pub fn into_upgraded(self) -> Result<Upgraded, Self>
    where
        T: Send + 'static,
        C: Send + 'static,
    {
        self.into_leased(Lease::default())
    }

    /// As [`into_upgraded`](Self::into_upgraded), of a server.
    #[allow(clippy::result_large_err, reason = "it is what the caller had")]
    pub(crate) fn into_leased(self, lease: Lease) -> Result<Upgraded, Self>
    where
        T: Send + 'static,
        C: Send + 'static,
    {
        if !self.exchange.is_upgraded() {
            return Err(self);
        }
        let cut = lease.cut.as_ref();
        let (reader, writer) = (Cut::new(cut), Cut::new(cut));
        let tunnel = ServerTunnel { connection: self, reader, writer, _place: lease.place };
        Ok(Upgraded::new(tunnel))
    }
}

/// The directions of an upgraded connection, for an adapter that waits by itself.
impl<T: Transport, C: Clock> Connection<T, C> {
    /// As [`Upgraded::poll_read`], with no regard to the server.
    ///
    /// # Errors
    /// If the stream failed, or the connection is over.
    pub fn poll_upgraded_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.check_upgraded()?;
        let Self { exchange, outlet, .. } = self;
        let kept = exchange.read_kept(buf);
        if kept > 0 {
            return Poll::Ready(Ok(kept));
        }
        loop {
            match outlet.transport.poll_read(cx, buf) {
                Poll::Ready(Ok(count)) => {
                    exchange.handle_upgraded_read(count);
                    return Poll::Ready(Ok(count));
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// As [`Upgraded::poll_write`], with no regard to the server. `first` is not empty.
    ///
    /// # Errors
    /// If the stream failed, the connection is over, or the peer takes nothing for as long as the
    /// write timeout.
    pub fn poll_upgraded_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_upgraded()?;
        let written = match self.outlet.poll_write(cx, (first, second)) {
            Poll::Pending => self.poll_upgraded_blocked(cx, |connection| {
                connection.outlet.try_write((first, second))
            }),
            done => done,
        };
        let count = ready!(written)?;
        self.exchange.handle_upgraded_written(count);
        Poll::Ready(Ok(count))
    }

    /// As [`Upgraded::poll_flush`], with no regard to the server.
    ///
    /// # Errors
    /// As [`poll_upgraded_write`](Self::poll_upgraded_write).
    pub fn poll_upgraded_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_upgraded()?;
        let flushed = self.outlet.poll_flush(cx);
        self.poll_upgraded_end(cx, flushed)
    }

    /// As [`Upgraded::poll_shutdown`], with no regard to the server.
    ///
    /// # Errors
    /// As [`poll_upgraded_write`](Self::poll_upgraded_write).
    pub fn poll_upgraded_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_upgraded()?;
        let shut = self.outlet.transport.poll_shutdown(cx);
        self.poll_upgraded_end(cx, shut)
    }

    /// What moves no bytes, under the deadline of a write.
    fn poll_upgraded_end(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let done = match done {
            Poll::Pending => self.poll_upgraded_blocked(cx, |_| Ok(None)),
            done => done,
        };
        ready!(done)?;
        self.exchange.handle_upgraded_written(0);
        Poll::Ready(Ok(()))
    }

    /// Fails if the connection is over.
    fn check_upgraded(&self) -> io::Result<()> {
        if self.exchange.is_upgraded() { Ok(()) } else { Err(Error::Closed.into()) }
    }

    /// The result of a call that must wait for the peer: pending, or why it failed. `retry` is the
    /// last try before its deadline is judged.
    fn poll_upgraded_blocked<R>(
        &mut self,
        cx: &mut Context<'_>,
        retry: impl FnOnce(&mut Self) -> io::Result<Option<R>>,
    ) -> Poll<io::Result<R>> {
        let Self { exchange, clock, .. } = self;
        exchange.handle_write_blocked(clock.now());
        let now = loop {
            let Some(at) = exchange.poll_timeout() else { return Poll::Pending };
            ready!(clock.poll_until(cx, at));
            // It may be early.
            if let Some(now) = exchange.time_if_due(|| clock.now()) {
                break now;
            }
        };
        if let Some(done) = retry(self)? {
            return Poll::Ready(Ok(done));
        }
        let Some(timeout) = self.exchange.handle_timeout(now) else { return Poll::Pending };
        let error = Error::from(timeout);
        self.report(&error);
        Poll::Ready(Err(error.into()))
    }
}

impl<T: Transport, C: Clock> ServerTunnel<T, C> {
    /// Fails if the server has given up the connection.
    fn check_cut(&mut self) -> io::Result<()> {
        if self.reader.signal.is_set() { Err(self.cut_off()) } else { Ok(()) }
    }

    fn cut_off(&mut self) -> io::Error {
        self.connection.abort();
        io::Error::new(io::ErrorKind::ConnectionAborted, "the server has stopped")
    }

    /// The result of a call of the writing direction.
    fn poll_written<R>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if done.is_pending() {
            ready!(self.writer.poll(cx));
            return Poll::Ready(Err(self.cut_off()));
        }
        if self.connection.exchange.is_closed() {
            if let Some(reader) = &self.reader.waker {
                // It has nothing to wait for any more.
                reader.wake_by_ref();
            }
        }
        done
    }
}

impl<T: Transport + Send, C: Clock + Send> Tunnel for ServerTunnel<T, C> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.check_cut()?;
        let read = self.connection.poll_upgraded_read(cx, buf);
        if read.is_pending() {
            ready!(self.reader.poll(cx));
            return Poll::Ready(Err(self.cut_off()));
        }
        read
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_cut()?;
        let written = self.connection.poll_upgraded_write(cx, first, second);
        self.poll_written(cx, written)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut()?;
        let flushed = self.connection.poll_upgraded_flush(cx);
        self.poll_written(cx, flushed)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut()?;
        let shut = self.connection.poll_upgraded_shutdown(cx);
        self.poll_written(cx, shut)
    }

    fn shutdown_signal(&self) -> ShutdownSignal {
        self.connection.shutdown_signal()
    }
}

impl<T: Transport, C: Clock> Drop for ServerTunnel<T, C> {
    fn drop(&mut self) {
        if self.reader.signal.is_set() {
            // The peer sees that it was cut, and so does the log.
            self.connection.abort();
        }
    }
}

impl UpgradeProgram {
    /// Runs it with a connection whose 101 was sent, in the task of that connection.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_on<T, C>(self: Box<Self>, connection: Connection<T, C>)
    where
        T: Transport + Send + 'static,
        C: Clock + Send + 'static,
    {
        if let Ok(io) = connection.into_upgraded() {
            self.run(io).await;
        }
    }
}

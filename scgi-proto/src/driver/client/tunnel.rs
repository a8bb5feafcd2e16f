//! A client's connection after a 101.

use core::task::{Context, Poll, ready};
use std::io;

use super::Client;
use super::client_io::ClientIo;
use crate::driver::transport::{Clock, Transport};
use crate::driver::upgraded::{Tunnel, Upgraded};
use crate::error::Error;

/// The client's end.
struct ClientTunnel<T, C> {
    client: Client<T, C>,
}

impl<T: Transport + Send + 'static, C: Clock + Send + 'static> Client<T, C> {
    /// The connection after a 101, which the request has asked for. Only the write timeout still
    /// holds.
    ///
    /// # Errors
    /// The client itself, if the response is another one.
    #[allow(clippy::result_large_err, reason = "it is what the caller had")]
    pub fn into_upgraded(self) -> Result<Upgraded, Self> {
        if self.io.call.is_upgraded() { Ok(self.into_tunnel()) } else { Err(self) }
    }

    pub(super) fn into_tunnel(self) -> Upgraded {
        Upgraded::new(ClientTunnel { client: self })
    }
}

impl<T: Transport, C: Clock> ClientTunnel<T, C> {
    /// The result of a write or a flush. If it must wait, its deadline runs.
    fn poll_timed<R>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<R>>,
        retry: impl FnOnce(&mut ClientIo<T>) -> io::Result<Option<R>>,
    ) -> Poll<io::Result<R>> {
        let Client { io, clock } = &mut self.client;
        if done.is_ready() {
            io.call.handle_upgraded_written();
            return done;
        }
        io.call.handle_upgraded_blocked(clock.now());
        let now = loop {
            let Some(at) = io.call.poll_timeout() else { return Poll::Pending };
            ready!(clock.poll_until(cx, at));
            let now = clock.now();
            // It may be early.
            if now >= at {
                break now;
            }
        };
        if let Some(done) = retry(io)? {
            io.call.handle_upgraded_written();
            return Poll::Ready(Ok(done));
        }
        let Some(late) = io.call.handle_timeout(now) else { return Poll::Pending };
        Poll::Ready(Err(Error::from(late).into()))
    }

    fn check_open(&self) -> io::Result<()> {
        if self.client.io.call.is_upgraded() { Ok(()) } else { Err(Error::Closed.into()) }
    }
}

impl<T: Transport + Send, C: Clock + Send> Tunnel for ClientTunnel<T, C> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.check_open()?;
        let ClientIo { call, outlet, .. } = &mut self.client.io;
        let kept = call.read_kept(buf);
        if kept > 0 {
            return Poll::Ready(Ok(kept));
        }
        loop {
            match outlet.transport.poll_read(cx, buf) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_open()?;
        let written = self.client.io.outlet.poll_write(cx, (first, second));
        self.poll_timed(cx, written, |io| io.outlet.try_write((first, second)))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_open()?;
        let flushed = self.client.io.outlet.poll_flush(cx);
        self.poll_timed(cx, flushed, |_| Ok(None))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_open()?;
        let shut = self.client.io.outlet.transport.poll_shutdown(cx);
        self.poll_timed(cx, shut, |_| Ok(None))
    }
}

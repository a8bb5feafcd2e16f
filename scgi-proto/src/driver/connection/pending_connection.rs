//! A connection that was accepted and has no memory yet: for the accept loops of adapters.

use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::boxed::Box;
use std::io;

use bytes::BytesMut;

use crate::driver::counters::ConnectionGuard;
use crate::driver::read_buffer::with_read_buffer;
use crate::driver::transport::{Clock, Transport};
use crate::exchange::peer::Peer;

/// A connection that a server has let in.
///
/// These are all of its fields: an accept loop takes it apart.
#[derive(Debug)]
pub struct Admission {
    /// It is counted as long as this lives.
    pub counted: ConnectionGuard,
    /// Who it is, if the server asked. Boxed, as few servers ask, and many connections wait.
    pub peer: Option<Box<Peer>>,
}

/// A connection that has received nothing yet, so it holds no memory but this.
///
/// Front servers send the head at once: those that wait here for long are hardly theirs, and
/// there may be many. [`Connection::received`](super::Connection::received) continues with it.
#[derive(Debug)]
pub struct PendingConnection<T, C> {
    pub(super) transport: T,
    pub(super) clock: C,
    pub(super) admitted: Admission,
}

impl<T, C> PendingConnection<T, C> {
    /// A connection that a server has let in when `clock` was at zero.
    pub fn new(transport: T, clock: C, admitted: Admission) -> Self {
        Self { transport, clock, admitted }
    }

    /// The stream, to be read from first in another way.
    pub fn transport(&self) -> &T {
        &self.transport
    }
}

impl<T: Transport, C: Clock> PendingConnection<T, C> {
    /// Reads the first bytes if they are there: `None` if not. They are empty if the peer closed.
    ///
    /// # Errors
    /// If the stream failed.
    pub fn try_first(&mut self) -> io::Result<Option<BytesMut>> {
        with_read_buffer(|buf| {
            let count = self.transport.try_read(buf)?;
            Ok(count.map(|count| BytesMut::from(&buf[..count])))
        })
    }

    /// Waits for the first bytes: `None` if there are none, because the peer closed, broke the
    /// connection, was late, or must make room.
    pub fn poll_first(
        &mut self,
        cx: &mut Context<'_>,
        timeout: Duration,
    ) -> Poll<Option<BytesMut>> {
        let Self { transport, clock, admitted } = self;
        loop {
            let read = with_read_buffer(|buf| {
                let read = transport.poll_read(cx, buf);
                read.map_ok(|count| BytesMut::from(&buf[..count]))
            });
            match read {
                Poll::Ready(Ok(bytes)) => return Poll::Ready((!bytes.is_empty()).then_some(bytes)),
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        let is_evicted = admitted.counted.poll_evicted(cx).is_ready();
        while !is_evicted && clock.now() < timeout {
            ready!(clock.poll_until(cx, timeout));
        }
        // After a pause of the process, bytes may wait that the runtime has not heard of. A
        // connection with unread input is not closed.
        let read = with_read_buffer(|buf| {
            let count = transport.try_read(buf).ok()??;
            Some(BytesMut::from(&buf[..count]))
        });
        Poll::Ready(read.filter(|bytes| !bytes.is_empty()))
    }
}

//! The traits that an adapter implements: the tasks, the timers and the listener of its runtime.

use core::future::Future;
use core::task::{Context, Poll, Waker};
use std::io;

use crate::driver::{BodyWrapper, Clock, Transport};
use crate::exchange::peer::Peer;
use crate::message::{IntoResponse, Request};
use crate::net::address::Address;

/// A runtime, as far as a server uses it.
pub trait Runtime: Send + Sync + 'static {
    /// The time of one connection.
    type Clock: Clock + Send + 'static;

    /// A clock that is at zero now.
    fn clock(&self) -> Self::Clock;

    /// Starts a task. No one waits for it.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Whether tasks run on more than one thread. If they do, every connection gets a task, so that
    /// the threads share the work. If not, the accept loop itself answers a request that is there
    /// already, which saves the task.
    fn is_multi_threaded(&self) -> bool;
}

/// Where a server accepts connections: a listening socket, or anything else that yields streams.
pub trait Acceptor: Send {
    /// A connection.
    type Stream: AcceptedStream;

    /// Waits for the next connection.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;

    /// The next connection that waits in the system, without waiting for one. A server asks this
    /// before it closes the listener.
    ///
    /// # Errors
    /// If accepting fails.
    fn try_accept(&mut self) -> io::Result<Option<Self::Stream>> {
        match self.poll_accept(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(accepted) => accepted.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    /// Why it cannot accept at all, if it cannot.
    ///
    /// # Errors
    /// The reason. The server then does not start.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }

    /// The address it listens on, where it has one.
    fn address(&self) -> Option<Address> {
        None
    }

    /// Whether another process holds the listening socket too, or will take it over. A server that
    /// stops then leaves waiting connections to that process, if it has no place for them.
    fn is_inherited(&self) -> bool {
        false
    }
}

/// A stream that an [`Acceptor`] yields.
pub trait AcceptedStream: Transport + Send + 'static {
    /// The program at the other end.
    ///
    /// # Errors
    /// If that is not known. A server that asks for it then closes the connection.
    fn peer(&self) -> io::Result<Peer>;
}

/// What answers the requests of a server: an adapter wraps the handlers of its users in it.
pub trait RequestHandler: Send + Sync + 'static {
    /// The bodies of the adapter.
    type Body: BodyWrapper;

    /// Whether every request names its peer, without [`with_peers`](super::Serve::with_peers).
    const ASKS_PEER: bool = false;

    /// Answers one request.
    fn call(
        &self,
        request: Request<Self::Body>,
    ) -> impl Future<Output: IntoResponse<Self::Body>> + Send;
}

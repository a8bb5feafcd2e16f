//! The stream of an upgraded connection, shared by a thread that reads and one that writes.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use scgi_proto::{Error, ShutdownSignal, driver};

use crate::connection::{Connection, Step};
use crate::socket::{Cancel, Socket};
use crate::stream::Stream;
use crate::transport::{Patience, Transport};
use crate::wait::Clock;

/// The driver of a client.
type Client<IO> = driver::Client<Transport<IO>, Clock>;

/// An upgraded connection, on either end of it.
pub(super) trait Tunnel: Send + Sync {
    fn run(&self, call: Call<'_>) -> io::Result<usize>;

    fn shutdown_signal(&self) -> ShutdownSignal;
}

/// What is called on it.
pub(super) enum Call<'a> {
    Read(&'a mut [u8]),
    Write(&'a [u8]),
    Flush,
    ShutdownWrite,
}

/// The end that a program has: a server's connection, or a client.
pub(super) trait End: Send {
    /// Polls the driver once.
    fn step(&mut self, call: &mut Call<'_>) -> Step<usize>;

    fn socket(&mut self) -> Option<&dyn Socket>;

    /// What ends its waits, if it is a server's.
    fn cancel(&self) -> Option<Arc<Cancel>>;

    fn is_over(&mut self) -> bool;

    fn shutdown_signal(&mut self) -> ShutdownSignal;
}

/// No one waits with the lock, unless the stream is not a socket.
pub(super) struct SharedEnd<E> {
    end: Mutex<E>,
    /// Another handle of its socket, to wait with; `None` if there is none.
    handle: Option<Stream>,
}

impl<E: End> SharedEnd<E> {
    pub(super) fn new(mut end: E) -> Self {
        let handle = end.socket().and_then(|socket| socket.share().ok());
        Self { end: Mutex::new(end), handle }
    }

    fn lock(&self) -> MutexGuard<'_, E> {
        // Only a panic in the program's own stream could poison it.
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection is over, so the other direction has nothing to wait for.
    fn end_waits(&self) {
        if let Some(handle) = &self.handle {
            handle.shutdown_both();
        }
    }
}

impl<E: End> Tunnel for SharedEnd<E> {
    /// Polls the driver until it is ready, and waits between.
    fn run(&self, mut call: Call<'_>) -> io::Result<usize> {
        loop {
            let mut end = self.lock();
            let wait = match end.step(&mut call) {
                Step::Done(done) => {
                    if end.is_over() {
                        self.end_waits();
                    }
                    return done.map_err(io::Error::from);
                }
                Step::Again => continue,
                Step::Wait(wait) => wait,
            };
            let cancel = end.cancel();
            drop(end);
            let socket = self.handle.as_ref().map(|handle| handle as &dyn Socket);
            wait.run(socket, cancel.as_deref(), false)?;
        }
    }

    fn shutdown_signal(&self) -> ShutdownSignal {
        self.lock().shutdown_signal()
    }
}

/// Polls either driver: their methods have the same names.
macro_rules! poll {
    ($driver:expr, $cx:expr, $call:expr) => {
        match $call {
            Call::Read(buf) => $driver.poll_upgraded_read($cx, buf),
            Call::Write(bytes) => $driver.poll_upgraded_write($cx, bytes, &[]),
            Call::Flush => $driver.poll_upgraded_flush($cx).map_ok(|()| 0),
            Call::ShutdownWrite => $driver.poll_upgraded_shutdown($cx).map_ok(|()| 0),
        }
        .map_err(Error::from)
    };
}

impl<IO: Read + Write + Send> End for Connection<IO> {
    fn step(&mut self, call: &mut Call<'_>) -> Step<usize> {
        Self::step(self, Patience::Nothing, |driver, cx| poll!(driver, cx, call))
    }

    fn socket(&mut self) -> Option<&dyn Socket> {
        Self::socket(self)
    }

    fn cancel(&self) -> Option<Arc<Cancel>> {
        Self::cancel(self).cloned()
    }

    fn is_over(&mut self) -> bool {
        self.driver().exchange().is_closed()
    }

    fn shutdown_signal(&mut self) -> ShutdownSignal {
        self.driver().shutdown_signal()
    }
}

impl<IO: Read + Write + Send> End for Client<IO> {
    fn step(&mut self, call: &mut Call<'_>) -> Step<usize> {
        self.transport_mut().begin_poll(Patience::Nothing);
        self.clock_mut().begin_poll();
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(done) = poll!(self, &mut cx, call) {
            return Step::Done(done);
        }
        match self.transport_mut().blocked() {
            Some(interest) => Step::Wait(self.clock_mut().wait_for(interest)),
            None => Step::Again,
        }
    }

    fn socket(&mut self) -> Option<&dyn Socket> {
        self.transport_mut().socket()
    }

    fn cancel(&self) -> Option<Arc<Cancel>> {
        None
    }

    fn is_over(&mut self) -> bool {
        !self.is_upgraded()
    }

    fn shutdown_signal(&mut self) -> ShutdownSignal {
        ShutdownSignal::default()
    }
}

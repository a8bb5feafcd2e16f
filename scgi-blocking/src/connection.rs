//! The server side of one connection, event by event: the driver of the core, and what waits
//! between its polls.

use std::cell::Cell;
use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

use scgi_proto::driver;
use scgi_proto::driver::Admission;
use scgi_proto::{Buffers, ConnectionConfig, Error, RequestEvent, ResponseEvent, Status};

use crate::socket::{Cancel, Socket};
use crate::transport::{Patience, Transport};
use crate::upgraded::Upgraded;
use crate::wait::{Clock, Wait, with_waker};

/// The driver of a connection.
pub(crate) type Driver<IO> = driver::Connection<Transport<IO>, Clock>;

/// The server side of one connection: request events come out, response events go in.
///
/// All deadlines of [`ConnectionConfig`] hold on sockets; see the [crate's page](crate) for other streams.
/// [`serve`](crate::serve()) is built on this.
///
/// # Examples
/// ```
/// use scgi_blocking::{ConnectionConfig, Connection, RequestEvent, ResponseEvent, ResponseHead, Status};
///
/// fn answer(stream: std::net::TcpStream) -> Result<(), scgi_blocking::Error> {
///     let mut connection = Connection::new(stream, &ConnectionConfig::default());
///     while let Some(event) = connection.next_event()? {
///         if event == RequestEvent::End {
///             break;
///         }
///     }
///     connection.send(ResponseEvent::Head(ResponseHead::new(Status::OK)))?;
///     connection.send(ResponseEvent::Body("hello".into()))?;
///     connection.send(ResponseEvent::End)?;
///     connection.finish()
/// }
/// ```
pub struct Connection<IO> {
    driver: Driver<IO>,
    /// Set when the server ends what still runs; `None` if it is not a server's connection.
    cancel: Option<Arc<Cancel>>,
}

impl<IO: Read + Write + 'static> Connection<IO> {
    /// The server side of a connection that was just accepted.
    #[inline]
    pub fn new(io: IO, config: &ConnectionConfig) -> Self {
        let driver = driver::Connection::new(Transport::new(io), Clock::begin(), config);
        Self { driver, cancel: None }
    }

    /// One of a server: it ends when `cancel` is set, is counted, and uses the memory that the
    /// one before left to this thread.
    pub(crate) fn of_server(
        io: IO,
        config: &ConnectionConfig,
        cancel: Arc<Cancel>,
        admitted: Admission,
    ) -> Self {
        let (transport, clock) = (Transport::new(io), Clock::begin());
        let driver =
            driver::Connection::admitted(transport, clock, config, admitted, MEMORY.take());
        Self { driver, cancel: Some(cancel) }
    }
}

/// What became of one poll of the driver.
pub(crate) enum Step<R> {
    Done(Result<R, Error>),
    /// To be polled again at once.
    Again,
    /// To be polled again after a wait.
    Wait(Wait),
}

impl<IO> Connection<IO> {
    pub(crate) fn driver(&mut self) -> &mut Driver<IO> {
        &mut self.driver
    }

    /// What sets the end of a server's connections.
    pub(crate) fn cancel(&self) -> Option<&Arc<Cancel>> {
        self.cancel.as_ref()
    }

    pub(crate) fn socket(&mut self) -> Option<&dyn Socket> {
        self.driver.parts_mut().0.socket()
    }

    /// Polls the driver once.
    #[inline]
    pub(crate) fn step<R>(
        &mut self,
        patience: Patience,
        poll: impl FnOnce(&mut Driver<IO>, &mut Context<'_>) -> Poll<Result<R, Error>>,
    ) -> Step<R> {
        let Self { driver, cancel } = self;
        if cancel.as_ref().is_some_and(|cancel| cancel.is_set()) {
            driver.abort();
            return Step::Done(Err(Error::Closed));
        }
        let (transport, clock) = driver.parts_mut();
        transport.begin_poll(patience);
        clock.begin_poll();
        if let Poll::Ready(result) = with_waker(|cx| poll(driver, cx)) {
            return Step::Done(result);
        }
        let (transport, clock) = driver.parts_mut();
        match transport.blocked() {
            Some(interest) => Step::Wait(clock.wait_for(interest)),
            None => Step::Again,
        }
    }

    /// Polls the driver until it is ready, and waits between.
    #[inline]
    pub(crate) fn block_on<R>(
        &mut self,
        patience: Patience,
        mut poll: impl FnMut(&mut Driver<IO>, &mut Context<'_>) -> Poll<Result<R, Error>>,
    ) -> Result<R, Error> {
        loop {
            match self.step(patience, &mut poll) {
                Step::Done(result) => return result,
                Step::Again => {}
                Step::Wait(wait) => self.wait(&wait)?,
            }
        }
    }

    /// Waits for what the last step said, or until this thread is woken.
    pub(crate) fn wait(&mut self, wait: &Wait) -> Result<(), Error> {
        let Self { driver, cancel } = self;
        let socket = driver.parts_mut().0.socket();
        Ok(wait.run(socket, cancel.as_deref(), true)?)
    }
}

impl<IO: Read + Write> Connection<IO> {
    /// Waits for the next event of the request.
    ///
    /// Yields the head once, then body chunks as they arrive, then [`RequestEvent::End`], then
    /// `None`. `None` at once means that the front server closed without sending anything, as
    /// Apache does on some errors of its client.
    ///
    /// # Errors
    /// [`Error::Decode`] or [`Error::Timeout`]: the response to that is ready, and
    /// [`finish`](Self::finish) sends it. [`Error::Io`]: the stream failed.
    pub fn next_event(&mut self) -> Result<Option<RequestEvent>, Error> {
        self.block_on(self.read_patience(), Driver::poll_next_event)
    }

    /// Reads of a body that flows may wait a moment themselves, unless the body may not be waited
    /// for at all; a wait for a head has to end when the server needs its place.
    pub(crate) fn read_patience(&self) -> Patience {
        let exchange = self.driver.exchange();
        let is_body = exchange.max_chunk_len().is_some() && exchange.may_wait_for_body();
        if is_body { Patience::Reads } else { Patience::Nothing }
    }

    /// Sends an event of the response. The head is held back until the first chunk, the end, or
    /// [`flush`](Self::flush), so that they leave together.
    ///
    /// # Errors
    /// [`Error::Encode`] if the event cannot be sent, or not now; nothing of it is.
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take it.
    pub fn send(&mut self, event: ResponseEvent) -> Result<(), Error> {
        self.driver.send(event)?;
        self.block_on(Patience::Writes, Driver::poll_flush)
    }

    /// Writes everything that was sent.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take it.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.driver.flush();
        self.block_on(Patience::Writes, Driver::poll_flush)
    }

    /// Ends the response because the program failed: with `status` if nothing was written yet, else
    /// by breaking the connection. [`finish`](Self::finish) then sends it.
    pub fn fail(&mut self, status: Status) {
        self.driver.fail(status);
    }

    /// Sends what is left of the response and closes: at once after a wholly read request, else by
    /// shutting down the write side and reading the rest away, within bounds, as the response is
    /// lost to a reset otherwise.
    ///
    /// A response that was not ended is broken off.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Timeout`] if the peer does not take the response.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.block_on(Patience::Writes, Driver::poll_finish)
    }

    /// The connection after the head of a 101 was sent: it belongs to the program, from the first byte
    /// that came behind the request.
    ///
    /// # Errors
    /// The connection itself, if it has not been upgraded.
    #[allow(clippy::result_large_err, reason = "it is what the caller had")]
    pub fn into_upgraded(self) -> Result<Upgraded, Self>
    where
        IO: Send + 'static,
    {
        if self.driver.exchange().is_upgraded() {
            Ok(Upgraded::of_server(self, None))
        } else {
            Err(self)
        }
    }
}

impl<IO> Drop for Connection<IO> {
    fn drop(&mut self) {
        if self.cancel.is_some() {
            // Fails where the thread itself is ending.
            let _ = MEMORY.try_with(|memory| memory.set(self.driver.take_memory()));
        }
    }
}

impl<IO: fmt::Debug> fmt::Debug for Connection<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("driver", &self.driver).finish_non_exhaustive()
    }
}

thread_local! {
    /// What a server's connection leaves to the next one of its thread.
    static MEMORY: Cell<Buffers> = Cell::default();
}

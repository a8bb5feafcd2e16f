//! A connection that the response has for itself, or shares with the body of the request, which
//! may be read on another thread.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use scgi_proto::{Error, RequestEvent};

use crate::body::Source;
use crate::connection::{Connection, Driver, Step};
use crate::socket::Socket;
use crate::stream::Stream;
use crate::transport::Patience;
use crate::wait::this_thread;

/// A connection that a response is sent on.
pub(crate) trait Held<IO> {
    /// Does what needs no wait.
    ///
    /// # Errors
    /// If the connection is over.
    fn with<T>(&mut self, act: impl FnOnce(&mut Driver<IO>) -> T) -> Result<T, Error>;

    /// Whether the body of the request may still be read while the response is sent.
    fn has_body(&self) -> bool;

    /// Polls the driver until it is ready, and waits between.
    fn block_on<R>(
        &mut self,
        patience: Patience,
        poll: impl FnMut(&mut Driver<IO>, &mut Context<'_>) -> Poll<Result<R, Error>>,
    ) -> Result<R, Error>;
}

impl<IO> Held<IO> for Connection<IO> {
    fn with<T>(&mut self, act: impl FnOnce(&mut Driver<IO>) -> T) -> Result<T, Error> {
        Ok(act(self.driver()))
    }

    fn has_body(&self) -> bool {
        false
    }

    #[inline]
    fn block_on<R>(
        &mut self,
        patience: Patience,
        poll: impl FnMut(&mut Driver<IO>, &mut Context<'_>) -> Poll<Result<R, Error>>,
    ) -> Result<R, Error> {
        Self::block_on(self, patience, poll)
    }
}

/// A connection whose request is read by its body.
pub(crate) struct SharedConnection<IO> {
    place: Arc<Place<IO>>,
}

struct Place<IO> {
    state: Mutex<State<IO>>,
    /// Wakes the thread that sends the response.
    sender: Waker,
    /// Whether the body is read on another thread: then no one waits with the lock.
    is_split: AtomicBool,
    /// Whether the body was dropped, so that no one reads the rest.
    is_body_dropped: AtomicBool,
}

struct State<IO> {
    /// `None` once the response is sent.
    connection: Option<Connection<IO>>,
    /// Another handle of its socket, to wait with while the connection is not locked.
    handle: Option<Arc<Stream>>,
    /// Wakes the other thread, which waits for the body.
    reader: Option<Waker>,
}

impl<IO> SharedConnection<IO> {
    /// Shares the connection, on the thread that sends the response.
    pub(crate) fn new(mut connection: Connection<IO>) -> Self {
        connection.driver().handle_body_held();
        let state = State { connection: Some(connection), handle: None, reader: None };
        let place = Place {
            state: Mutex::new(state),
            sender: this_thread(),
            is_split: AtomicBool::new(false),
            is_body_dropped: AtomicBool::new(false),
        };
        Self { place: Arc::new(place) }
    }

    /// The source of the request's body; `first` has arrived already.
    pub(crate) fn body(&self, first: Bytes) -> ConnectionBody<IO> {
        let shared = Self { place: Arc::clone(&self.place) };
        ConnectionBody { shared, first: Some(first).filter(|first| !first.is_empty()) }
    }

    /// Closes the connection: a body that is still held can be read no longer.
    pub(crate) fn close(self) {
        let mut state = self.lock();
        let (connection, handle) = (state.connection.take(), state.handle.take());
        let reader = state.reader.take();
        drop(state);
        drop((connection, handle));
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<IO>> {
        // Only a panic in the program's own stream could poison it.
        self.place.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_split(&self) -> bool {
        self.place.is_split.load(Ordering::SeqCst)
    }

    fn is_body_dropped(&self) -> bool {
        self.place.is_body_dropped.load(Ordering::SeqCst)
    }

    /// Polls the driver until it is ready. `is_reader` if that is to read the body.
    fn block_on<R>(
        &self,
        is_reader: bool,
        patience: impl Fn(&Connection<IO>) -> Patience,
        mut poll: impl FnMut(&mut Driver<IO>, &mut Context<'_>) -> Poll<Result<R, Error>>,
    ) -> Result<R, Error> {
        loop {
            let mut state = self.lock();
            let connection = state.connection.as_mut().ok_or(Error::Closed)?;
            if self.is_body_dropped() {
                connection.driver().handle_body_unwanted();
            }
            if is_reader {
                connection.driver().handle_body_wanted();
            }
            // A call that waits itself would keep the other thread from the connection.
            let is_split = self.is_split();
            let patience = if is_split { Patience::Nothing } else { patience(connection) };
            let wait = match connection.step(patience, &mut poll) {
                Step::Done(result) => {
                    if is_reader {
                        connection.driver().handle_body_held();
                    }
                    return result;
                }
                Step::Again => continue,
                Step::Wait(wait) => wait,
            };
            if !is_split {
                // The other thread wakes this one before it wants the lock.
                connection.wait(&wait)?;
                continue;
            }
            let cancel = connection.cancel().cloned();
            let handle = state.handle();
            if is_reader {
                state.reader = Some(this_thread());
            }
            drop(state);
            let socket = handle.as_deref().map(|handle| handle as &dyn Socket);
            wait.run(socket, cancel.as_deref(), true)?;
        }
    }
}

impl<IO> State<IO> {
    /// Another handle of the socket; `None` if there is none, or it cannot be had.
    fn handle(&mut self) -> Option<Arc<Stream>> {
        if self.handle.is_none() {
            let socket = self.connection.as_mut()?.socket()?;
            self.handle = socket.share().ok().map(Arc::new);
        }
        self.handle.clone()
    }
}

impl<IO> Held<IO> for SharedConnection<IO> {
    fn with<T>(&mut self, act: impl FnOnce(&mut Driver<IO>) -> T) -> Result<T, Error> {
        let mut state = self.lock();
        let connection = state.connection.as_mut().ok_or(Error::Closed)?;
        Ok(act(connection.driver()))
    }

    fn has_body(&self) -> bool {
        !self.is_body_dropped()
    }

    fn block_on<R>(
        &mut self,
        patience: Patience,
        poll: impl FnMut(&mut Driver<IO>, &mut Context<'_>) -> Poll<Result<R, Error>>,
    ) -> Result<R, Error> {
        Self::block_on(self, false, |_| patience, poll)
    }
}

/// The body of a request, read from the connection as it is wanted.
pub(crate) struct ConnectionBody<IO> {
    shared: SharedConnection<IO>,
    /// A chunk that came with the head.
    first: Option<Bytes>,
}

impl<IO> ConnectionBody<IO> {
    /// Whether this is the thread that sends the response.
    fn is_sender(&self) -> bool {
        self.shared.place.sender.will_wake(&this_thread())
    }
}

impl<IO: Read + Write + Send> Source for ConnectionBody<IO> {
    fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let place = &self.shared.place;
        if !self.shared.is_split() && !self.is_sender() {
            place.is_split.store(true, Ordering::SeqCst);
            place.sender.wake_by_ref();
        }
        if let Some(first) = self.first.take() {
            // The connection may be over.
            let is_over = self.shared.lock().connection.is_none();
            return if is_over { Err(Error::Closed) } else { Ok(Some(first)) };
        }
        // It may have been held for too long.
        self.shared.with(Driver::check_deadline)??;
        let poll = Driver::poll_next_event;
        match self.shared.block_on(true, Connection::read_patience, poll)? {
            Some(RequestEvent::Body(chunk)) => Ok(Some(chunk)),
            Some(_) => Ok(None),
            // The other thread has learned why the request ended before its body.
            None => Err(Error::Closed),
        }
    }
}

impl<IO> Drop for ConnectionBody<IO> {
    fn drop(&mut self) {
        self.shared.place.is_body_dropped.store(true, Ordering::SeqCst);
        if !self.is_sender() {
            self.shared.place.sender.wake_by_ref();
        }
    }
}

//! One connection's way from request to reply.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use scgi_proto::{BoxError, Error, RequestEvent, ResponseEvent};

use crate::body::{Body, CHUNK, Source, WriteBody};
use crate::connection::Connection;
use crate::handler::Handler;
use crate::message::{Request, Response};

/// Reads the request, runs the handler, sends its response, closes.
pub(crate) fn answer<IO, M, H>(mut connection: Connection<IO>, handler: &H) -> Result<(), Error>
where
    IO: Read + Write + Send + 'static,
    H: Handler<M>,
{
    let head = match connection.next_event() {
        Ok(Some(RequestEvent::Head(head))) => head,
        Ok(_) => return Ok(()),
        Err(error @ Error::Io(_)) => return Err(error),
        Err(error) => {
            connection.finish()?;
            return Err(error);
        }
    };
    let (len, peer) = (head.body_length(), connection.peer());
    let trace = connection.trace();
    let call = |request| match &trace {
        Some(trace) => trace.in_scope(|| handler.call(request)),
        None => handler.call(request),
    };
    let first = if len == 0 {
        Some(Bytes::new())
    } else {
        match connection.exchange().next_event() {
            Ok(Some(RequestEvent::Body(chunk))) => Some(chunk),
            _ => None,
        }
    };
    match first {
        Some(body) if body.len() as u64 == len => {
            let body = if len == 0 { Body::empty() } else { Body::from(body) };
            reply(&mut connection, || call(Request::from_parts(head, body).with_peer(peer)))
        }
        first => {
            let mut shared = Shared(Arc::new(Mutex::new(Some(connection))));
            let upload = ConnectionBody { shared: shared.clone(), first };
            let body = Body::from_source(upload, Some(len));
            let result =
                reply(&mut shared, || call(Request::from_parts(head, body).with_peer(peer)));
            // A body that somebody still holds can be read no longer.
            shared.lock().take();
            result
        }
    }
}

/// A connection that the reply has for itself, or shares with the body of the request.
trait Held<IO> {
    fn with<T>(&mut self, act: impl FnOnce(&mut Connection<IO>) -> T) -> Result<T, Error>;
}

impl<IO> Held<IO> for Connection<IO> {
    fn with<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Result<T, Error> {
        Ok(act(self))
    }
}

/// A connection whose request is read by its body.
struct Shared<IO>(Arc<Mutex<Option<Connection<IO>>>>);

impl<IO> Shared<IO> {
    fn lock(&self) -> MutexGuard<'_, Option<Connection<IO>>> {
        // Only a panic in the program's own stream could poison it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<IO> Clone for Shared<IO> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<IO> Held<IO> for Shared<IO> {
    fn with<T>(&mut self, act: impl FnOnce(&mut Connection<IO>) -> T) -> Result<T, Error> {
        self.lock().as_mut().map(act).ok_or(Error::Closed)
    }
}

/// The body of a request, read from the connection as it is wanted.
struct ConnectionBody<IO> {
    shared: Shared<IO>,
    /// A chunk that came with the head.
    first: Option<Bytes>,
}

impl<IO: Read + Write + Send> Source for ConnectionBody<IO> {
    fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        // Asked even for the first chunk, as the connection may be over.
        let first = self.first.take();
        self.shared.with(|connection| match first {
            Some(chunk) => Ok(Some(chunk)),
            None => match connection.next_event()? {
                Some(RequestEvent::Body(chunk)) => Ok(Some(chunk)),
                _ => Ok(None),
            },
        })?
    }
}

/// Runs the handler and sends its response.
fn reply<IO, C>(
    held: &mut C,
    call: impl FnOnce() -> Result<Response, BoxError>,
) -> Result<(), Error>
where
    IO: Read + Write + Send + 'static,
    C: Held<IO>,
{
    let response = catch_unwind(AssertUnwindSafe(call));
    // The exchange itself has replied, to a request that took too long.
    let late = held.with(Connection::check_deadline)?.is_err();
    let sent = match response {
        _ if late => Ok(()),
        Ok(Ok(response)) => send(held, response),
        Ok(Err(error)) => held.with(|connection| connection.program_failed(&*error)),
        Err(panic) => held.with(|connection| connection.program_panicked(&*panic)),
    };
    held.with(|connection| {
        let mut result = sent;
        while result.is_ok() || !connection.exchange().is_closed() {
            let finished = connection.finish();
            if finished.is_ok() {
                break;
            }
            // After a deadline, another reply may have taken the place of one that had not begun.
            result = result.and(finished);
        }
        result
    })?
}

/// Sends a response, whose end [`Connection::finish`] then writes.
fn send<IO: Read + Write, C: Held<IO>>(held: &mut C, response: Response) -> Result<(), Error> {
    let (mut head, mut body) = response.into_parts();
    head.set_content_length_if_absent(body.len());
    if !queue(held, ResponseEvent::Head(head))? {
        return Ok(());
    }
    let streamed = body.is_streamed();
    if let Some(write) = body.take_writer() {
        return send_written(held, write);
    }
    loop {
        let chunk = match catch_unwind(AssertUnwindSafe(|| body.chunk())) {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return queue(held, ResponseEvent::End).map(drop),
            Ok(Err(error)) => return held.with(|connection| connection.program_failed(&error)),
            Err(panic) => return held.with(|connection| connection.program_panicked(&*panic)),
        };
        if !queue(held, ResponseEvent::Body(chunk))? {
            return Ok(());
        }
        if streamed {
            held.with(flush_streamed)??;
        }
    }
}

/// Queues a piece of the response; `false` if it cannot be sent, which ends the reply.
fn queue<IO: Read + Write, C: Held<IO>>(held: &mut C, event: ResponseEvent) -> Result<bool, Error> {
    held.with(|connection| {
        let sent = connection.exchange().send(event);
        if let Err(error) = &sent {
            connection.program_failed(error);
        }
        sent.is_ok()
    })
}

/// Writes a chunk of a streamed reply.
fn flush_streamed<IO: Read + Write>(connection: &mut Connection<IO>) -> Result<(), Error> {
    connection.check_deadline()?;
    connection.write_pending()
}

/// Lets a program's function write the body.
fn send_written<IO: Read + Write, C: Held<IO>>(
    held: &mut C,
    write: WriteBody,
) -> Result<(), Error> {
    let mut writer =
        ReplyWriter { held, buf: BytesMut::new(), error: None, io: Default::default() };
    let written = catch_unwind(AssertUnwindSafe(|| {
        write(&mut writer)?;
        writer.hand_over()
    }));
    match (writer.error, written) {
        // The function wrote what the response cannot hold. It may have ignored that error, so
        // its result does not count.
        (Some(error @ Error::Encode(_)), _) => {
            held.with(|connection| connection.program_failed(&error))
        }
        (Some(error), _) => Err(error),
        (None, Ok(Ok(()))) => queue(held, ResponseEvent::End).map(drop),
        (None, Ok(Err(error))) => held.with(|connection| connection.program_failed(&error)),
        (None, Err(panic)) => held.with(|connection| connection.program_panicked(&*panic)),
    }
}

/// Sends what is written to it as chunks of a response. After the first failure every call fails.
struct ReplyWriter<'a, IO, C> {
    held: &'a mut C,
    buf: BytesMut,
    /// The first failure. The writer's caller gets it in the form of an `io::Error`.
    error: Option<Error>,
    io: std::marker::PhantomData<fn(IO)>,
}

impl<IO: Read + Write, C: Held<IO>> ReplyWriter<'_, IO, C> {
    /// Queues what was written, without sending it.
    fn hand_over(&mut self) -> io::Result<()> {
        let chunk = self.buf.split().freeze();
        self.attempt(|connection| Ok(connection.exchange().send(ResponseEvent::Body(chunk))?))
    }

    fn send(&mut self) -> io::Result<()> {
        self.hand_over()?;
        self.attempt(|connection| {
            connection.exchange().flush();
            flush_streamed(connection)
        })
    }

    /// Runs one step, unless an earlier one has failed.
    fn attempt(
        &mut self,
        step: impl FnOnce(&mut Connection<IO>) -> Result<(), Error>,
    ) -> io::Result<()> {
        if self.error.is_some() {
            return Err(Error::Closed.into());
        }
        self.held.with(step).and_then(|done| done).map_err(|error| {
            let kind = match error {
                Error::Encode(_) => io::ErrorKind::InvalidInput,
                _ => io::ErrorKind::BrokenPipe,
            };
            let reported = io::Error::new(kind, error.to_string());
            self.error = Some(error);
            reported
        })
    }
}

impl<IO: Read + Write, C: Held<IO>> Write for ReplyWriter<'_, IO, C> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.error.is_some() {
            return Err(Error::Closed.into());
        }
        self.buf.extend_from_slice(buf);
        if self.buf.len() >= CHUNK {
            self.send()?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

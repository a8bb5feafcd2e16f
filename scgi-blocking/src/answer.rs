//! One connection's way from request to response.

use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;
use scgi_proto::{BoxError, EncodeError, Error, RequestEvent, ResponseEvent, Status};

use crate::body::{Body, CHUNK, WriteBody};
use crate::connection::{Connection, Driver};
use crate::handler::Handler;
use crate::message::Response;
use crate::shared::{Held, SharedConnection};
use crate::transport::Patience;
use crate::upgraded::{Launch, Program};

/// Reads the request, runs the handler, sends its response, closes. After a 101, `launch` runs the
/// program of the upgrade.
pub(crate) fn answer<IO, M, H>(
    mut connection: Connection<IO>,
    handler: &H,
    launch: &impl Launch,
) -> Result<(), Error>
where
    IO: Read + Write + Send + 'static,
    H: Handler<M>,
{
    let head = match connection.next_event() {
        Ok(Some(RequestEvent::Head(head))) => head,
        Ok(_) => return Ok(()),
        Err(error) => return end(&mut connection, Err(error)),
    };
    let (len, driver) = (head.body_length(), connection.driver());
    let (trace, first) = (driver.trace(), driver.received_body());
    let call = |request| match &trace {
        Some(trace) => trace.in_scope(|| handler.call(request)),
        None => handler.call(request),
    };
    if first.len() as u64 == len {
        let body = if len == 0 { Body::empty() } else { Body::from(first) };
        let request = connection.driver().request(head, body);
        let mut upgrade = None;
        reply(&mut connection, launch, &mut upgrade, || call(request))?;
        if let Some((program, start)) = upgrade {
            launch.run(start, program.with_trace(trace), connection);
        }
        return Ok(());
    }
    let request = connection.driver().request(head, ());
    let mut shared = SharedConnection::new(connection);
    let body = Body::from_source(shared.body(first), Some(len));
    // One with a body has no valid upgrade.
    let call = || call(request.map_body(|()| body));
    let result = reply(&mut shared, launch, &mut None, call);
    shared.close();
    result
}

/// Runs the handler and sends its response.
fn reply<IO, C, L>(
    held: &mut C,
    launch: &L,
    upgrade: &mut Option<(Program, L::Start)>,
    call: impl FnOnce() -> Result<Response, BoxError>,
) -> Result<(), Error>
where
    IO: Read + Write,
    C: Held<IO>,
    L: Launch,
{
    let response = catch_unwind(AssertUnwindSafe(call));
    // The exchange itself has replied, to a request that took too long.
    let late = held.with(Driver::check_deadline)?.is_err();
    let mut sent = match response {
        _ if late => Ok(()),
        Ok(Ok(response)) if response.status() == Status::SWITCHING_PROTOCOLS => {
            switch(held, response, launch, upgrade)
        }
        Ok(Ok(response)) => send(held, response),
        Ok(Err(error)) => held.with(|driver| driver.program_failed(&*error)),
        Err(panic) => held.with(|driver| driver.program_panicked(&*panic)),
    };
    if sent.is_ok() && held.has_body() {
        // Another thread may still read the request.
        sent = held.block_on(Patience::Writes, Driver::poll_flush);
    }
    end(held, sent)
}

/// Sends what is left of a response that ended with `result`, and closes.
fn end<IO, C>(held: &mut C, mut result: Result<(), Error>) -> Result<(), Error>
where
    IO: Read + Write,
    C: Held<IO>,
{
    held.block_on(Patience::Writes, |driver, cx| driver.poll_end(&mut result, cx).map(Ok))?;
    result
}

/// Sends the head of a 101, if the request may have one and its program can run.
#[cold]
fn switch<IO: Read + Write, C: Held<IO>, L: Launch>(
    held: &mut C,
    response: Response,
    launch: &L,
    upgrade: &mut Option<(Program, L::Start)>,
) -> Result<(), Error> {
    let (head, mut body) = response.into_parts();
    let is_offered = held.with(|driver| driver.exchange().is_upgrade_offered())?;
    let program = match body.take_program() {
        Some(program) if is_offered => program,
        None if is_offered => {
            return held.with(|driver| driver.program_failed(&EncodeError::UpgradeNotTaken));
        }
        _ => return held.with(|driver| driver.program_failed(&EncodeError::UpgradeNotOffered)),
    };
    let Some(start) = launch.prepare() else {
        return held.with(|driver| driver.fail(Status::SERVICE_UNAVAILABLE));
    };
    if queue(held, ResponseEvent::Head(head))? {
        held.block_on(Patience::Writes, Driver::poll_flush)?;
        held.with(|driver| driver.note_upgraded())?;
        *upgrade = Some((program, start));
    }
    Ok(())
}

/// Sends a response, but for its end.
fn send<IO: Read + Write, C: Held<IO>>(held: &mut C, response: Response) -> Result<(), Error> {
    let (mut head, mut body) = response.into_parts();
    head.set_content_length_if_absent(body.len());
    if !queue(held, ResponseEvent::Head(head))? {
        return Ok(());
    }
    if let Some(write) = body.take_writer() {
        return send_written(held, write);
    }
    let streamed = body.is_streamed();
    loop {
        let chunk = match catch_unwind(AssertUnwindSafe(|| body.chunk())) {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return queue(held, ResponseEvent::End).map(drop),
            Ok(Err(error)) => return held.with(|driver| driver.program_failed(&error)),
            Err(panic) => return held.with(|driver| driver.program_panicked(&*panic)),
        };
        if !queue(held, ResponseEvent::Body(chunk))? {
            return Ok(());
        }
        if streamed {
            flush_streamed(held)?;
        }
    }
}

/// Queues an event of the response; `false` if it cannot be sent, which ends the response.
fn queue<IO: Read + Write, C: Held<IO>>(held: &mut C, event: ResponseEvent) -> Result<bool, Error> {
    held.with(|driver| driver.send_or_fail(event))
}

/// Writes a chunk of a streamed response.
fn flush_streamed<IO: Read + Write, C: Held<IO>>(held: &mut C) -> Result<(), Error> {
    held.with(Driver::check_deadline)??;
    held.block_on(Patience::Writes, Driver::poll_flush)
}

/// Lets a program's function write the body.
fn send_written<IO: Read + Write, C: Held<IO>>(
    held: &mut C,
    write: WriteBody,
) -> Result<(), Error> {
    let mut writer = ReplyWriter { held, buf: BytesMut::new(), error: None, io: PhantomData };
    let written = catch_unwind(AssertUnwindSafe(|| {
        write(&mut writer)?;
        writer.hand_over()
    }));
    match (writer.error, written) {
        // The function wrote what the response cannot hold. It may have ignored that error, so
        // its result does not count.
        (Some(error @ Error::Encode(_)), _) => held.with(|driver| driver.program_failed(&error)),
        (Some(error), _) => Err(error),
        (None, Ok(Ok(()))) => queue(held, ResponseEvent::End).map(drop),
        (None, Ok(Err(error))) => held.with(|driver| driver.program_failed(&error)),
        (None, Err(panic)) => held.with(|driver| driver.program_panicked(&*panic)),
    }
}

/// Sends what is written to it as chunks of a response. After the first failure every call fails.
struct ReplyWriter<'a, IO, C> {
    held: &'a mut C,
    buf: BytesMut,
    /// The first failure. The writer's caller gets it in the form of an `io::Error`.
    error: Option<Error>,
    io: PhantomData<fn(IO)>,
}

impl<IO: Read + Write, C: Held<IO>> ReplyWriter<'_, IO, C> {
    /// Queues what was written, without sending it.
    fn hand_over(&mut self) -> io::Result<()> {
        let chunk = self.buf.split().freeze();
        self.attempt(|held| Ok(held.with(|driver| driver.send(ResponseEvent::Body(chunk)))??))
    }

    fn send(&mut self) -> io::Result<()> {
        self.hand_over()?;
        self.attempt(|held| {
            held.with(Driver::flush)?;
            flush_streamed(held)
        })
    }

    /// Runs one step, unless an earlier one has failed.
    fn attempt(&mut self, step: impl FnOnce(&mut C) -> Result<(), Error>) -> io::Result<()> {
        if self.error.is_some() {
            return Err(Error::Closed.into());
        }
        step(self.held).map_err(|error| {
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

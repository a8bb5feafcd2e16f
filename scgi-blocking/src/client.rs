//! The client side: calling an SCGI server.

use std::fmt;
use std::io::{self, Read, Write};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use scgi_proto::driver::read_once;
use scgi_proto::{
    Address, ClientConfig, ClientExchange, DecodeError, Error, RequestEvent, ResponseEvent,
    ResponseHead,
};

use crate::body::{Body, Source};
use crate::connection::{flush, pause, read_at_once, write_some};
use crate::message::{Request, Response};
use crate::socket::{AsSocket, Interest, as_socket};
use crate::stream::Stream;

/// The client side of one connection: one request, one response.
///
/// On sockets ([`Stream`] and those of `std`) it writes and reads at the same time. On other
/// streams it writes first: if neither side reads before it has written, both wait for ever.
///
/// # Examples
/// ```no_run
/// use scgi_blocking::{Client, Request, RequestHead};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect(&"/run/rtorrent.sock".parse()?)?;
/// let call = "<methodCall><methodName>system.client_version</methodName></methodCall>";
/// let head = RequestHead::builder("POST", "/RPC2").param("CONTENT_TYPE", "text/xml").build();
/// let response = client.request(Request::new(head, call))?;
/// println!("{}", response.status());
/// let reply = response.into_body().collect(1 << 20)?;
/// # let _ = reply;
/// # Ok(()) }
/// ```
pub struct Client<IO> {
    io: IO,
    call: ClientExchange,
    /// Why writing failed; told if no response can be read either.
    write_error: Option<io::Error>,
    socket: AsSocket<IO>,
}

impl Client<Stream> {
    /// Connects to a server, with the deadlines of [`ClientConfig::default`]; see
    /// [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// If that fails.
    pub fn connect(address: &Address) -> Result<Self, Error> {
        Self::connect_with(address, &ClientConfig::default())
    }

    /// Connects to a server, as [`Stream::connect_with`].
    ///
    /// # Errors
    /// [`Error::Io`] if that fails, [`Error::Timeout`] if it takes too long.
    pub fn connect_with(address: &Address, config: &ClientConfig) -> Result<Self, Error> {
        Ok(Self::new(Stream::connect_with(address, config)?, config))
    }
}

impl<IO: 'static> Client<IO> {
    /// The client side of a fresh stream.
    pub fn new(io: IO, config: &ClientConfig) -> Self {
        let call = ClientExchange::new(config, Duration::ZERO);
        Self { io, call, write_error: None, socket: as_socket }
    }
}

impl<IO: Read + Write> Client<IO> {
    /// Sends a whole request and waits for the head of the response, whose body is then read
    /// from the connection. The rest of the request's body goes on being sent meanwhile: a
    /// server may answer early.
    ///
    /// # Errors
    /// [`Error::Encode`] if the request cannot be sent, [`Error::Decode`] if the response is
    /// malformed or absent, [`Error::Io`] if the stream failed and there is no response,
    /// [`Error::Body`] if the source of the request's body failed.
    pub fn request(self, request: Request) -> Result<Response, Error>
    where
        IO: Send + 'static,
    {
        let (head, body) = request.into_parts();
        let mut transfer = InFlight { client: self, body: Some(body) };
        transfer.client.call.send(RequestEvent::Head(head))?;
        let head = transfer.head()?;
        Ok(Response::from_parts(head, transfer.into_body()))
    }

    /// Sends a piece of the request. The head is held back until the first chunk, the end, or
    /// [`flush`](Self::flush), so that they leave together.
    ///
    /// If the server does not take it, that is no error here: the response says more, and
    /// [`next_event`](Self::next_event) tells if there is none.
    ///
    /// # Errors
    /// [`Error::Encode`] if the piece cannot be sent, or not now; nothing of it is.
    pub fn send(&mut self, event: RequestEvent) -> Result<(), Error> {
        self.call.send(event)?;
        self.write_pending();
        Ok(())
    }

    /// Writes everything that was sent, the head too.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn flush(&mut self) -> Result<(), Error> {
        self.call.flush();
        self.write_pending();
        Ok(())
    }

    /// Waits for the next piece of the response, and goes on writing meanwhile.
    ///
    /// Yields the head once, then body chunks as they arrive, then [`ResponseEvent::End`], then
    /// `None`.
    ///
    /// # Errors
    /// [`Error::Decode`] if the response is malformed, cut or absent; [`Error::Io`] if the
    /// stream failed.
    pub fn next_event(&mut self) -> Result<Option<ResponseEvent>, Error> {
        loop {
            if let Step::Event(event) = self.step(false)? {
                return Ok(event);
            }
        }
    }

    /// Writes what can be written, then gives the next event or waits for something to happen.
    ///
    /// With `more` to send it waits only while what is pending cannot be written: there may have
    /// become room just now.
    fn step(&mut self, more: bool) -> Result<Step, Error> {
        let blocked = !self.write_at_once();
        match self.call.next_event() {
            Ok(Some(event)) => return Ok(Step::Event(Some(event))),
            Ok(None) if self.call.is_response_over() => return Ok(Step::Event(None)),
            Ok(None) => {}
            Err(error) => return Err(self.explain(error)),
        }
        let Self { io, call, socket, .. } = self;
        let chunk_limit = call.chunk_limit();
        match read_once(call, chunk_limit, |buf| read_at_once(io, *socket, buf)) {
            Poll::Ready(Ok(Some(event))) => return Ok(Step::Event(Some(event))),
            Poll::Ready(Ok(None)) => {}
            Poll::Pending if blocked => self.wait(Interest::Both)?,
            Poll::Pending if more => {}
            Poll::Pending => self.wait(Interest::Read)?,
            Poll::Ready(Err(error)) => return Err(self.write_error.take().unwrap_or(error).into()),
        }
        Ok(Step::Again)
    }

    fn wait(&self, interest: Interest) -> Result<(), Error> {
        match (self.socket)(&self.io) {
            Some(socket) => socket.wait(interest, None, None)?,
            None => pause(None),
        }
        Ok(())
    }

    /// That there is no response is the consequence of a failed write, if one failed.
    fn explain(&mut self, error: DecodeError) -> Error {
        match self.write_error.take() {
            Some(write_error) if error == DecodeError::NoResponse => write_error.into(),
            _ => error.into(),
        }
    }

    fn write_pending(&mut self) {
        while !self.write_at_once() {
            if self.wait(Interest::Write).is_err() {
                return;
            }
        }
    }

    /// Writes what the server takes now; gives whether that is everything.
    fn write_at_once(&mut self) -> bool {
        let begun = self.call.wants_write();
        while self.call.wants_write() {
            match write_some(&mut self.io, self.socket, false, self.call.pending()) {
                Ok(Some(count)) => self.call.handle_written(count),
                Ok(None) => return false,
                Err(error) => self.fail(error),
            }
        }
        if begun {
            if let Err(error) = flush(&mut self.io, self.socket) {
                self.fail(error);
            }
        }
        true
    }

    fn fail(&mut self, error: io::Error) {
        self.call.handle_write_failed();
        self.write_error.get_or_insert(error);
    }
}

impl<IO: fmt::Debug> fmt::Debug for Client<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("io", &self.io)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

/// How far [`Client::step`] came.
enum Step {
    Event(Option<ResponseEvent>),
    Again,
}

/// A client in the middle of a whole exchange: the request's body goes out, the response comes
/// in.
struct InFlight<IO> {
    client: Client<IO>,
    /// `None` once all of it was handed over.
    body: Option<Body>,
}

impl<IO: Read + Write> InFlight<IO> {
    /// Moves the request's body on as far as the server takes it.
    fn send_more(&mut self) -> Result<(), Error> {
        while let Some(body) = &mut self.body {
            if !self.client.write_at_once() {
                break;
            }
            if self.client.write_error.is_some() {
                // Nobody takes the rest; the response may be there all the same.
                self.body = None;
                break;
            }
            match body.chunk()? {
                Some(chunk) => self.client.call.send(RequestEvent::Body(chunk))?,
                None => {
                    self.client.call.send(RequestEvent::End)?;
                    self.body = None;
                }
            }
        }
        Ok(())
    }

    fn event(&mut self) -> Result<Option<ResponseEvent>, Error> {
        loop {
            if let Err(error) = self.send_more() {
                self.body = None;
                return Err(error);
            }
            if let Step::Event(event) = self.client.step(self.body.is_some())? {
                return Ok(event);
            }
        }
    }

    fn head(&mut self) -> Result<ResponseHead, Error> {
        match self.event()? {
            Some(ResponseEvent::Head(head)) => Ok(head),
            // The decoder yields a head first or fails.
            _ => Err(DecodeError::NoResponse.into()),
        }
    }
}

impl<IO: Read + Write + Send + 'static> InFlight<IO> {
    /// The body of the response: bytes at hand if they are all of it, and the connection closes;
    /// else it is read from there.
    fn into_body(mut self) -> Body {
        if let Some(body) = self.client.call.take_whole_body() {
            return Body::from(body);
        }
        let len = self.client.call.body_remaining();
        Body::from_source(self, len)
    }
}

impl<IO: Read + Write + Send> Source for InFlight<IO> {
    fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match self.event()? {
            Some(ResponseEvent::Body(chunk)) => Ok(Some(chunk)),
            _ => Ok(None),
        }
    }
}

//! The client side: calling an SCGI server.

use std::fmt;
use std::io::{Read, Write};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use scgi_proto::driver::{self, InFlight};
use scgi_proto::{ClientConfig, Error, RequestEvent, ResponseEvent, ToAddress};

use crate::body::{Body, Source};
use crate::message::{Request, Response};
use crate::stream::Stream;
use crate::transport::{Patience, Transport};
use crate::upgraded::Upgraded;
use crate::wait::Clock;

/// The driver of a client.
type Driver<IO> = driver::Client<Transport<IO>, Clock>;

/// The client side of one connection: one request, one response.
///
/// On sockets ([`Stream`] and those of `std`) it writes and reads at the same time. On other
/// streams it writes first: if neither side reads before it has written, both wait indefinitely.
///
/// # Examples
/// ```no_run
/// use scgi_blocking::{Client, Request, RequestHead};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("/run/rtorrent.sock")?;
/// let call = "<methodCall><methodName>system.client_version</methodName></methodCall>";
/// let head = RequestHead::builder("POST", "/RPC2").param("CONTENT_TYPE", "text/xml").build();
/// let response = client.request(Request::new(head, call))?;
/// println!("{}", response.status());
/// let response = response.into_body().collect(1 << 20)?;
/// # let _ = response;
/// # Ok(()) }
/// ```
pub struct Client<IO> {
    driver: Driver<IO>,
}

impl Client<Stream> {
    /// Connects to a server, with the deadlines of [`ClientConfig::default`]; see
    /// [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// If that fails.
    pub fn connect(address: impl ToAddress) -> Result<Self, Error> {
        Self::connect_with(address, &ClientConfig::default())
    }

    /// Connects to a server, as [`Stream::connect_with`].
    ///
    /// # Errors
    /// [`Error::Io`] if that fails, [`Error::Timeout`] if it takes too long.
    pub fn connect_with(address: impl ToAddress, config: &ClientConfig) -> Result<Self, Error> {
        let clock = Clock::begin();
        Ok(Self::on(Stream::connect_with(address, config)?, clock, config))
    }
}

impl<IO: 'static> Client<IO> {
    /// The client side of a fresh stream. The deadline of the whole call begins here.
    ///
    /// A stream that wraps a Unix socket needs [`over_unix_socket`](Self::over_unix_socket). On a
    /// stream that is not a socket the deadlines hold only between its calls.
    pub fn new(io: IO, config: &ClientConfig) -> Self {
        Self::on(io, Clock::begin(), config)
    }

    /// Says that the stream is carried by a Unix socket, where a reset says only that the server
    /// closed with bytes of the request unread. Without it, a reset after a response without
    /// Content-Length means that the response may be cut. [`Stream`] and the `UnixStream` of `std`
    /// are recognised.
    #[must_use]
    pub fn over_unix_socket(mut self) -> Self {
        self.driver = self.driver.over_unix_socket();
        self
    }

    fn on(io: IO, clock: Clock, config: &ClientConfig) -> Self {
        Self { driver: Driver::new(Transport::new(io), clock, config) }
    }
}

impl<IO: Read + Write> Client<IO> {
    /// Sends a whole request and waits for the head of the response, whose body is then read
    /// from the connection. The rest of the request's body is still sent meanwhile: a
    /// server may answer early.
    ///
    /// The response is looked for between two chunks of a streamed body. While its source blocks,
    /// nothing else happens, and no deadline ends the call: a source that may block for long has to
    /// be read on a thread of its own, for example through a channel.
    ///
    /// After a 101 that the request has asked for, [`Response::into_upgraded`] returns the connection.
    ///
    /// # Errors
    /// [`Error::Encode`] if the request cannot be sent, [`Error::Decode`] if the response is
    /// malformed or absent, [`Error::Io`] if the stream failed and there is no response,
    /// [`Error::Timeout`] if a deadline passed, [`Error::Body`] if the source of the request's body
    /// failed.
    pub fn request(self, request: Request) -> Result<Response, Error>
    where
        IO: Send + 'static,
    {
        let (head, body) = request.into_parts();
        let mut call = Call { in_flight: InFlight::begin(self.driver, head, body.into_inner())? };
        let head = call.block_on(InFlight::poll_head)?;
        if call.in_flight.client_mut().is_upgraded() {
            let io = Upgraded::of_client(call.in_flight.into_client());
            return Ok(Response::from_parts(head, Body::from_upgraded(io)));
        }
        let body = match call.in_flight.take_whole_body() {
            Some(body) => Body::from(body),
            None => {
                let len = call.in_flight.body_remaining();
                Body::from_source(call, len)
            }
        };
        Ok(Response::from_parts(head, body))
    }

    /// Sends an event of the request. The head is held back until the first chunk, the end, or
    /// [`flush`](Self::flush), so that they leave together.
    ///
    /// If the server does not take it because it closed, that is not an error here: the response says
    /// more, and [`next_event`](Self::next_event) reports if there is none.
    ///
    /// # Errors
    /// [`Error::Encode`] if the event cannot be sent, or not now; nothing of it is.
    /// [`Error::ResponseUnread`] if the server takes nothing more and has answered more than is
    /// read ahead. [`Error::Timeout`] if a deadline passed.
    pub fn send(&mut self, event: RequestEvent) -> Result<(), Error> {
        self.driver.send(event)?;
        self.block_on(Driver::poll_flush)
    }

    /// Writes everything that was sent, the head too.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn flush(&mut self) -> Result<(), Error> {
        self.driver.flush();
        self.block_on(Driver::poll_flush)
    }

    /// Waits for the next event of the response, and writes meanwhile.
    ///
    /// Yields the head once, then body chunks as they arrive, then [`ResponseEvent::End`], then
    /// `None`.
    ///
    /// # Errors
    /// [`Error::Decode`] if the response is malformed, cut or absent; [`Error::Io`] if the
    /// stream failed; [`Error::Timeout`] if a deadline passed.
    pub fn next_event(&mut self) -> Result<Option<ResponseEvent>, Error> {
        self.block_on(Driver::poll_next_event)
    }

    fn block_on<R>(
        &mut self,
        poll: impl FnMut(&mut Driver<IO>, &mut Context<'_>) -> Poll<Result<R, Error>>,
    ) -> Result<R, Error> {
        block_on(&mut self.driver, |driver| driver, poll)
    }
}

impl<IO: fmt::Debug> fmt::Debug for Client<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("driver", &self.driver).finish()
    }
}

/// Polls what has a client until it is ready, and waits between.
fn block_on<T, IO, R>(
    driven: &mut T,
    client: impl Fn(&mut T) -> &mut Driver<IO>,
    mut poll: impl FnMut(&mut T, &mut Context<'_>) -> Poll<Result<R, Error>>,
) -> Result<R, Error> {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let driver = client(driven);
        driver.transport_mut().begin_poll(Patience::Nothing);
        driver.clock_mut().begin_poll();
        if let Poll::Ready(result) = poll(driven, &mut cx) {
            return result;
        }
        let driver = client(driven);
        if driver.is_busy() {
            continue;
        }
        if let Some(interest) = driver.transport_mut().blocked() {
            let wait = driver.clock_mut().wait_for(interest);
            wait.run(driver.transport_mut().socket(), None, false)?;
        }
    }
}

/// A request whose response is read as its body.
struct Call<IO> {
    in_flight: InFlight<Transport<IO>, Clock>,
}

impl<IO: Read + Write> Call<IO> {
    fn block_on<R>(
        &mut self,
        poll: impl FnMut(
            &mut InFlight<Transport<IO>, Clock>,
            &mut Context<'_>,
        ) -> Poll<Result<R, Error>>,
    ) -> Result<R, Error> {
        block_on(&mut self.in_flight, InFlight::client_mut, poll)
    }
}

impl<IO: Read + Write + Send> Source for Call<IO> {
    fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.block_on(|in_flight, cx| in_flight.poll_chunk(cx).map(Option::transpose))
    }
}

//! SCGI in an event loop of your own: `scgi-proto` on a bare mio, without a runtime.
//!
//! Run: `cargo run -p scgi-examples --features event-loop --example event_loop -- 127.0.0.1:4000`

use std::collections::HashMap;
use std::env;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustix::net::sockopt::set_socket_linger;
use scgi_examples::BoxError;
use scgi_proto::{
    ConnectionConfig, EncodeError, RequestEvent, RequestHead, ResponseEvent, ResponseHead,
    ServerExchange, Status,
};

/// Connections at once; more wait in the backlog.
const MAX_CONNECTIONS: usize = 768;

/// How long the loop sleeps at most, so that a failed accept is tried again.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// One request and its reply.
struct Connection {
    stream: TcpStream,
    exchange: ServerExchange,
    request: Option<RequestHead>,
    /// Bytes of the request's body so far.
    body: u64,
}

impl Connection {
    /// Does what the exchange wants, until the socket must wait or the connection is over.
    ///
    /// A write that must wait does not keep it from reading: some peers read only when all that
    /// they sent has been taken.
    fn drive(&mut self, now: Duration) -> io::Result<()> {
        loop {
            self.take_events();
            let has_written = self.write(now)?;
            let has_read = self.read(now)?;
            if self.exchange.is_closed() || !(has_written || has_read) {
                return Ok(());
            }
        }
    }

    /// Writes once, or ends the write side. Returns whether something was done.
    fn write(&mut self, now: Duration) -> io::Result<bool> {
        if self.exchange.wants_shutdown() {
            // Fails if the peer has gone, which the next read tells.
            let _ = self.stream.shutdown(Shutdown::Write);
            self.exchange.handle_shutdown(now);
            return Ok(true);
        }
        if !self.exchange.wants_write() {
            return Ok(false);
        }
        let (first, second) = self.exchange.pending();
        let written =
            unless_blocked(self.stream.write_vectored(&[first, second].map(IoSlice::new)))?;
        match written {
            Some(count) => self.exchange.handle_written(count),
            None => self.exchange.handle_write_blocked(now),
        }
        Ok(written.is_some())
    }

    /// Reads once. Returns whether something came.
    fn read(&mut self, now: Duration) -> io::Result<bool> {
        if !self.exchange.wants_read() {
            return Ok(false);
        }
        let read = unless_blocked(self.stream.read(self.exchange.unfilled()))?;
        match read {
            Some(count) => self.exchange.handle_read(count),
            None => {
                self.exchange.release_buffer();
                self.exchange.handle_read_blocked(now);
            }
        }
        Ok(read.is_some())
    }

    /// Takes the pieces of the request that have arrived. A malformed request is an error here,
    /// and its answer is already queued.
    fn take_events(&mut self) {
        while let Ok(Some(event)) = self.exchange.next_event() {
            match event {
                RequestEvent::Head(head) => self.request = Some(head),
                RequestEvent::Body(chunk) => self.body += chunk.len() as u64,
                RequestEvent::End => {
                    if self.answer().is_err() {
                        self.exchange.fail(Status::INTERNAL_SERVER_ERROR);
                    }
                }
            }
        }
    }

    fn answer(&mut self) -> Result<(), EncodeError> {
        let uri = self.request.as_ref().and_then(RequestHead::request_uri).unwrap_or_default();
        let text = format!("{} with {} bytes\n", uri.escape_ascii(), self.body);
        let head = ResponseHead::new(Status::OK)
            .with_field("Content-Type", "text/plain")
            .with_field("Content-Length", text.len().to_string());
        self.exchange.send(ResponseEvent::Head(head))?;
        self.exchange.send(ResponseEvent::Body(text.into()))?;
        self.exchange.send(ResponseEvent::End)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.exchange.wants_reset() {
            // A cut reply must not look complete.
            let _ = set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
    }
}

/// `None` if the socket must wait.
fn unless_blocked(moved: io::Result<usize>) -> io::Result<Option<usize>> {
    match moved {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        moved => moved.map(Some),
    }
}

/// The loop: the sockets, and the time since it began.
pub(crate) struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: HashMap<Token, Connection>,
    next_token: usize,
    start: Instant,
}

impl Server {
    const LISTENER: Token = Token(0);

    pub(crate) fn new(mut listener: TcpListener) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, Self::LISTENER, Interest::READABLE)?;
        let connections = HashMap::new();
        Ok(Self { poll, listener, connections, next_token: 1, start: Instant::now() })
    }

    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        loop {
            self.accept();
            match self.poll.poll(&mut events, Some(self.sleep())) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                self.drive(event.token());
            }
            self.handle_timeouts();
        }
    }

    fn accept(&mut self) {
        while self.connections.len() < MAX_CONNECTIONS {
            let token = Token(self.next_token);
            match self.listener.accept().and_then(|(stream, _)| self.register(stream, token)) {
                Ok(()) => {
                    self.next_token += 1;
                    // The request is often there already.
                    self.drive(token);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    eprintln!("cannot accept: {error}");
                    return;
                }
            }
        }
    }

    fn register(&mut self, mut stream: TcpStream, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, both)?;
        let exchange = ServerExchange::new(&ConnectionConfig::default(), self.start.elapsed());
        let connection = Connection { stream, exchange, request: None, body: 0 };
        self.connections.insert(token, connection);
        Ok(())
    }

    fn drive(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let result = connection.drive(self.start.elapsed());
        if result.is_err() || connection.exchange.is_closed() {
            self.connections.remove(&token);
        }
    }

    /// Time until the first deadline. Looks at every connection: a program with very many keeps
    /// its deadlines in order.
    fn sleep(&self) -> Duration {
        let deadlines = self.connections.values().filter_map(|one| one.exchange.poll_timeout());
        let first = deadlines.min().unwrap_or(Duration::MAX);
        first.saturating_sub(self.start.elapsed()).min(LONGEST_SLEEP)
    }

    fn handle_timeouts(&mut self) {
        let now = self.start.elapsed();
        let late = |one: &mut Connection| one.exchange.handle_timeout(now).is_some();
        let tokens: Vec<_> = self
            .connections
            .iter_mut()
            .filter_map(|(token, one)| late(one).then_some(*token))
            .collect();
        for token in tokens {
            self.drive(token);
        }
    }
}

fn main() -> Result<(), BoxError> {
    let address = env::args().nth(1).ok_or("usage: event_loop HOST:PORT")?;
    let listener = TcpListener::bind(address.parse()?)?;
    println!("Listening on {}", listener.local_addr()?);
    Ok(Server::new(listener)?.run()?)
}

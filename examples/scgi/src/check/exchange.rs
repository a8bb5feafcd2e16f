//! One connection to the backend: what is sent on it, and what comes back.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::{Address, DecodeError, ResponseDecoder, ResponseHead};

use crate::socket::{Socket, is_timeout};
use crate::watched::Message;

/// Read at once, in bytes.
const READ: usize = 16 * 1024;

/// How long a backend may take to close after a complete reply.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Between two bytes, so that the backend reads them one by one; only for so many of them, as a
/// long request would take too long.
const BYTE_PAUSE: Duration = Duration::from_millis(1);
const APART: usize = 300;

/// What is done on a connection, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Each byte in a write of its own.
    SendByteByByte(Vec<u8>),
    Pause(Duration),
    /// The end of input: nothing more will be sent.
    EndInput,
}

/// A complete reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: ResponseHead,
    /// Whether it begins with `HTTP/`.
    pub(crate) has_status_line: bool,
    pub(crate) body: u64,
    /// Bytes after the end that Content-Length states.
    pub(crate) surplus: u64,
    /// Whether the backend closed afterwards.
    pub(crate) closed: bool,
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.head.status().code()
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Box<Reply>),
    /// The head of a 101, where a request may ask for one.
    Switched(Box<ResponseHead>),
    /// Not one byte.
    Closed,
    /// Bytes that are not a complete CGI response, and why.
    Broken(String),
    /// No end in time, after so many bytes.
    Silence(u64),
    NoConnection(io::Error),
}

/// What came back, and when.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) answer: Answer,
    /// Whether it came only when there was no more input to wait for.
    pub(crate) late: bool,
}

/// Does the steps on a new connection and reads what comes meanwhile.
///
/// After the time-out, a backend that waits for more gets the end of input.
pub(crate) fn exchange(address: &Address, steps: &[Step], timeout: Duration) -> Exchange {
    exchange_with(address, steps, timeout, ResponseDecoder::default())
}

/// As [`exchange`], for a HEAD request: all bytes after the reply's head are its surplus.
pub(crate) fn exchange_head(address: &Address, steps: &[Step], timeout: Duration) -> Exchange {
    exchange_with(address, steps, timeout, ResponseDecoder::default().without_body())
}

fn exchange_with(
    address: &Address,
    steps: &[Step],
    timeout: Duration,
    decoder: ResponseDecoder,
) -> Exchange {
    let socket = match Socket::connect(address, timeout) {
        Ok(socket) => socket,
        Err(error) => return Exchange { answer: Answer::NoConnection(error), late: false },
    };
    exchange_on(&socket, steps, timeout, &mut Reading::new(decoder))
}

/// As [`exchange`], on this connection. It is shut down then, unless it is a tunnel.
pub(crate) fn exchange_on(
    socket: &Socket,
    steps: &[Step],
    timeout: Duration,
    reading: &mut Reading,
) -> Exchange {
    thread::scope(|scope| {
        // A backend may answer before it has read everything: so both at once.
        scope.spawn(|| {
            // A backend that refuses closes early: what it said tells more than this error.
            let _ = perform(socket, steps);
        });
        let mut exchange = Exchange { answer: reading.read(socket, timeout), late: false };
        if let Answer::Silence(_) = exchange.answer {
            let _ = socket.shutdown(Shutdown::Write);
            exchange = Exchange { answer: reading.read(socket, timeout), late: true };
        }
        if !matches!(exchange.answer, Answer::Switched(_)) {
            // Ends a write that no one reads.
            let _ = socket.shutdown(Shutdown::Both);
        }
        exchange
    })
}

/// Does the steps on a new connection and closes it without a look at the reply.
pub(crate) fn leave(address: &Address, steps: &[Step], timeout: Duration) -> io::Result<()> {
    let socket = Socket::connect(address, timeout)?;
    // A backend that closed first has not crashed: the next request tells.
    let _ = perform(&socket, steps);
    Ok(())
}

fn perform(mut socket: &Socket, steps: &[Step]) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Send(bytes) => socket.write_all(bytes)?,
            Step::SendByteByByte(bytes) => {
                for (index, byte) in bytes.iter().enumerate() {
                    socket.write_all(&[*byte])?;
                    if index < APART {
                        thread::sleep(BYTE_PAUSE);
                    }
                }
            }
            Step::Pause(time) => thread::sleep(*time),
            Step::EndInput => socket.shutdown(Shutdown::Write)?,
        }
    }
    Ok(())
}

/// How a record of TLS that is an alert begins.
const TLS_ALERT: &[u8] = &[21, 3];

/// A reply as it comes.
pub(crate) struct Reading {
    begun: Instant,
    message: Message<ResponseDecoder>,
    /// Its first bytes.
    start: Vec<u8>,
}

/// How a read ended.
enum End {
    Closed,
    Reset,
    TimeOver,
}

impl Reading {
    pub(crate) fn new(decoder: ResponseDecoder) -> Self {
        Self { begun: Instant::now(), message: Message::new(decoder), start: Vec::new() }
    }

    /// The bytes that came with the head of a 101.
    pub(crate) fn first_of_tunnel(&mut self) -> Vec<u8> {
        self.message.take_first_of_tunnel().to_vec()
    }

    /// Reads until the backend closes, has sent a 101, or the time is over.
    fn read(&mut self, socket: &Socket, timeout: Duration) -> Answer {
        let mut deadline = Instant::now() + timeout;
        loop {
            let end = match self.read_some(socket, deadline) {
                Ok(None) => None,
                Ok(Some(end)) => Some(end),
                Err(error) => return Answer::Broken(error.to_string()),
            };
            match &self.message.error {
                None => {}
                Some(DecodeError::NoResponse) => return Answer::Closed,
                // A TLS alert refuses a handshake in the words of its own protocol.
                Some(_) if self.start.starts_with(TLS_ALERT) => return Answer::Closed,
                Some(error) => return Answer::Broken(error.to_string()),
            }
            if let (true, Some(head)) = (self.message.is_tunnel, &self.message.head) {
                return Answer::Switched(Box::new(head.clone()));
            }
            match end {
                None if self.message.is_complete => {
                    deadline = deadline.min(Instant::now() + CLOSE_TIME);
                }
                None => {}
                Some(end) => return self.answer(&end),
            }
        }
    }

    fn read_some(&mut self, mut socket: &Socket, deadline: Instant) -> io::Result<Option<End>> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Some(End::TimeOver));
        }
        socket.set_read_timeout(left)?;
        let mut buf = [0; READ];
        match socket.read(&mut buf) {
            Ok(count) => {
                let wanted = 5_usize.saturating_sub(self.start.len()).min(count);
                self.start.extend_from_slice(&buf[..wanted]);
                self.message.take(&buf[..count], self.begun.elapsed());
                Ok((count == 0).then_some(End::Closed))
            }
            Err(error) if is_timeout(&error) => Ok(Some(End::TimeOver)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(_) => Ok(Some(End::Reset)),
        }
    }

    fn answer(&mut self, end: &End) -> Answer {
        match end {
            _ if self.message.is_complete => self.reply(!matches!(end, End::TimeOver)),
            End::TimeOver => Answer::Silence(self.message.bytes),
            End::Reset if self.message.bytes == 0 => Answer::Closed,
            End::Closed | End::Reset => Answer::Broken("the reply was cut by a reset".into()),
        }
    }

    fn reply(&mut self, closed: bool) -> Answer {
        let Some(head) = self.message.head.take() else { return Answer::Closed };
        Answer::Reply(Box::new(Reply {
            head,
            has_status_line: self.start == b"HTTP/",
            body: self.message.body,
            surplus: self.message.surplus,
            closed,
        }))
    }
}

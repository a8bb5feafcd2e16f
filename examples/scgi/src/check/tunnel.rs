//! Requests for an upgrade, and what a 101 is followed by.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use scgi_proto::{Address, ResponseDecoder};

use super::exchange::{Answer, Exchange, Reading, Step, exchange_on};
use crate::socket::{Socket, is_timeout};

/// A connection behind a 101.
#[derive(Debug)]
pub(crate) struct Tunnel {
    socket: Socket,
    /// All that came.
    received: Vec<u8>,
}

/// Sends a request on a new connection and reads the response, which may be a 101. Then with the
/// tunnel.
pub(crate) fn ask(
    address: &Address,
    request: Vec<u8>,
    timeout: Duration,
) -> (Exchange, Option<Tunnel>) {
    let socket = match Socket::connect(address, timeout) {
        Ok(socket) => socket,
        Err(error) => {
            return (Exchange { answer: Answer::NoConnection(error), late: false }, None);
        }
    };
    let mut reading = Reading::new(ResponseDecoder::default().with_upgrade());
    let exchange = exchange_on(&socket, &[Step::Send(request)], timeout, &mut reading);
    let received = reading.first_of_tunnel();
    let is_open = matches!(exchange.answer, Answer::Switched(_));
    (exchange, is_open.then_some(Tunnel { socket, received }))
}

impl Tunnel {
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.socket).write_all(bytes)
    }

    /// Nothing more will be sent.
    pub(crate) fn end_input(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    /// Whether these bytes have come.
    pub(crate) fn has(&self, bytes: &[u8]) -> bool {
        self.received.windows(bytes.len()).any(|window| window == bytes)
    }

    /// Reads until `is_enough`, the server has closed, or the time is over. Whether it has closed.
    pub(crate) fn read(&mut self, timeout: Duration, is_enough: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut buf = [0; 4096];
        while !is_enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.socket.set_read_timeout(left).is_err() {
                return false;
            }
            match (&self.socket).read(&mut buf) {
                Ok(0) => return true,
                Ok(count) => self.received.extend_from_slice(&buf[..count]),
                Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {}
                // A reset.
                Err(_) => return true,
            }
        }
        false
    }
}

//! A stream of `std::io` in the form that the driver wants: a call that would wait is pending, and
//! it is noted what for.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::task::{Context, Poll};

use scgi_proto::driver::{self, Advice};

use crate::socket::{AsSocket, Interest, Socket, as_socket};

/// Which calls may wait a moment themselves, once one of them had to be waited for: one system
/// call for each chunk instead of three. What takes longer is waited for with poll(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Nothing,
    /// Reads, of a body that flows.
    Reads,
    /// Writes of a response.
    Writes,
}

/// Fewer bytes than this in a tenth of a second count as waiting.
const FEW: usize = 1024;

/// A stream, and what it waits for.
pub(crate) struct Transport<IO> {
    io: IO,
    as_socket: AsSocket<IO>,
    /// What would have had to wait since the poll began.
    blocked: Interest,
    /// Calls of this poll that may be patient.
    patience: Patience,
    /// Whether the socket's own calls wait a moment, once that was tried.
    is_patient: Option<bool>,
    /// A call was made since the poll began that may have waited itself. Then nothing more is
    /// called in this poll, so that deadlines are checked between such calls.
    called: bool,
}

impl<IO: 'static> Transport<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Self {
            io,
            as_socket,
            blocked: Interest::default(),
            patience: Patience::Nothing,
            is_patient: None,
            called: false,
        }
    }
}

impl<IO> Transport<IO> {
    /// The socket, if it is one.
    pub(crate) fn socket(&self) -> Option<&dyn Socket> {
        (self.as_socket)(&self.io)
    }

    /// Begins a poll of the driver.
    #[inline]
    pub(crate) fn begin_poll(&mut self, patience: Patience) {
        self.blocked = Interest::default();
        self.patience = patience;
        self.called = false;
    }

    /// What the poll that has just been pending waits for; `None` if it is to be polled again
    /// without a wait.
    pub(crate) fn blocked(&mut self) -> Option<Interest> {
        if self.called || self.has_become_patient() { None } else { Some(self.blocked) }
    }

    fn has_become_patient(&mut self) -> bool {
        let wanted = match self.patience {
            Patience::Nothing => false,
            Patience::Reads => self.blocked.read,
            Patience::Writes => self.blocked.write,
        };
        if !wanted || self.is_patient.is_some() {
            return false;
        }
        #[cfg(test)]
        if crate::virtual_time::VirtualTime::current().is_some() {
            // The system's time would pass.
            return false;
        }
        let is_patient = self.socket().is_some_and(<dyn Socket>::become_patient);
        self.is_patient = Some(is_patient);
        is_patient
    }

    #[inline]
    fn is_patient(&self, patience: Patience) -> bool {
        self.is_patient == Some(true) && self.patience == patience
    }

    /// A patient call that moved few bytes is the last one: the time that it waited counts for no
    /// minimum rate.
    fn notice_few(&mut self, moved: &Poll<io::Result<usize>>, len: usize) {
        if matches!(moved, Poll::Ready(Ok(count)) if *count < len.min(FEW)) {
            self.is_patient = Some(false);
        }
    }

    fn note_read(&mut self, read: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if read.is_pending() {
            self.blocked.read = true;
        } else if self.blocked.write {
            // The peer sends while a write waits for it: what it sends must not wait for that.
            self.is_patient = Some(false);
        }
        read
    }

    /// Calls a stream that is not a socket.
    fn call(&mut self, call: impl FnMut(&mut IO) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        let result = at_once(&mut self.io, call);
        self.called = result.is_ready();
        result
    }
}

impl<IO: fmt::Debug> fmt::Debug for Transport<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}

impl<IO: Read + Write> driver::Transport for Transport<IO> {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.called {
            return Poll::Pending;
        }
        let read = match self.socket() {
            Some(socket) if self.is_patient(Patience::Reads) => {
                let read = socket.read_patiently(buf);
                self.notice_few(&read, buf.len());
                return self.note_read(read);
            }
            Some(socket) => socket.read_at_once(buf),
            None => self.call(|io| io.read(buf)),
        };
        self.note_read(read)
    }

    #[inline]
    fn poll_write(
        &mut self,
        _: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.called {
            return Poll::Pending;
        }
        let written = match self.socket() {
            Some(socket) if self.is_patient(Patience::Writes) => {
                let written = socket.write_patiently((first, second));
                self.called = written.is_ready();
                self.notice_few(&written, first.len() + second.len());
                written
            }
            Some(socket) => socket.write_at_once((first, second)),
            None if second.is_empty() => self.call(|io| io.write(first)),
            None => self.call(|io| io.write_vectored(&[IoSlice::new(first), IoSlice::new(second)])),
        };
        if written.is_pending() {
            self.blocked.write = true;
        }
        written
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets hold nothing back.
        if self.socket().is_some() {
            return Poll::Ready(Ok(()));
        }
        at_once(&mut self.io, |io| io.flush().map(|()| 0)).map_ok(drop)
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Another stream has no side to shut down.
        let unsupported = || Err(ErrorKind::Unsupported.into());
        Poll::Ready(self.socket().map_or_else(unsupported, <dyn Socket>::shutdown_write))
    }

    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        match self.socket().map(|socket| socket.read_at_once(buf)) {
            Some(Poll::Ready(read)) => read.map(Some),
            Some(Poll::Pending) | None => Ok(None),
        }
    }

    fn advise(&self, advice: Advice) {
        let Some(socket) = self.socket() else { return };
        match advice {
            Advice::SendAtOnce => socket.send_at_once(),
            Advice::ResetOnClose => socket.reset_on_close(),
        }
    }

    fn is_unix_socket(&self) -> bool {
        self.socket().is_some_and(|socket| socket.tcp().is_none())
    }
}

/// Repeats a call that was interrupted; pending if it would wait.
fn at_once<IO>(
    io: &mut IO,
    mut call: impl FnMut(&mut IO) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        match call(io) {
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return Poll::Pending,
                _ => return Poll::Ready(Err(error)),
            },
            done => return Poll::Ready(done),
        }
    }
}

//! A stream in memory: two ends, bounded room, and the traits of all three adapters.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Bytes that one direction holds before a writer has to wait.
const ROOM: usize = 256 * 1024;

/// One direction. A read never joins what was written in pieces, so the reader meets every split.
#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Vec<u8>>,
    len: usize,
    writer_gone: bool,
    reader_gone: bool,
    wakers: Vec<Waker>,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// Tries, and registers `cx` if it has to wait.
    fn poll<T>(&self, cx: &Context<'_>, attempt: impl Fn(&mut State) -> Option<T>) -> Poll<T> {
        let mut state = self.lock();
        match attempt(&mut state) {
            Some(done) => {
                drop(state);
                self.change(|_| ());
                Poll::Ready(done)
            }
            None => {
                state.wakers.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn wait<T>(
        &self,
        patience: Option<Duration>,
        mut attempt: impl FnMut(&mut State) -> Option<T>,
    ) -> io::Result<T> {
        let mut state = self.lock();
        loop {
            if let Some(done) = attempt(&mut state) {
                drop(state);
                self.change(|_| ());
                return Ok(done);
            }
            state = match patience {
                Some(patience) => {
                    let waited = self.changed.wait_timeout(state, patience);
                    let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    state
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl State {
    fn read(&mut self, buf: &mut [u8]) -> Option<usize> {
        let Some(piece) = self.pieces.front_mut() else {
            return self.writer_gone.then_some(0);
        };
        let count = piece.len().min(buf.len());
        buf[..count].copy_from_slice(&piece[..count]);
        piece.drain(..count);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        self.len -= count;
        Some(count)
    }

    fn write(&mut self, buf: &[u8]) -> Option<io::Result<usize>> {
        if self.reader_gone || self.writer_gone {
            return Some(Err(ErrorKind::BrokenPipe.into()));
        }
        let count = buf.len().min(ROOM - self.len);
        if count == 0 && !buf.is_empty() {
            return None;
        }
        if count > 0 {
            self.pieces.push_back(buf[..count].to_vec());
            self.len += count;
        }
        Some(Ok(count))
    }
}

/// Both directions as one end sees them; the last clone that is dropped closes them.
#[derive(Debug)]
struct Ends {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.outgoing.change(|state| state.writer_gone = true);
        self.incoming.change(|state| state.reader_gone = true);
    }
}

/// One end of a stream in memory.
#[derive(Debug, Clone)]
pub(crate) struct End {
    ends: Arc<Ends>,
    patience: Option<Duration>,
}

/// The two ends. The first gives up a wait after `patience`.
pub(crate) fn pair(patience: Duration) -> (End, End) {
    let (a, b) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
    let near = Ends { incoming: Arc::clone(&a), outgoing: Arc::clone(&b) };
    let far = Ends { incoming: b, outgoing: a };
    (
        End { ends: Arc::new(near), patience: Some(patience) },
        End { ends: Arc::new(far), patience: None },
    )
}

impl End {
    /// Ends the direction in which this end writes.
    pub(crate) fn half_close(&self) {
        self.ends.outgoing.change(|state| state.writer_gone = true);
    }

    fn poll_read(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let buf = Mutex::new(buf);
        let attempt = |state: &mut State| {
            state.read(&mut buf.lock().unwrap_or_else(PoisonError::into_inner)).map(Ok)
        };
        self.ends.incoming.poll(cx, attempt)
    }

    fn poll_write(&self, cx: &Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.ends.outgoing.poll(cx, |state| state.write(buf))
    }
}

impl Read for End {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.ends.incoming.wait(self.patience, |state| state.read(buf))
    }
}

impl Write for End {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.ends.outgoing.wait(self.patience, |state| state.write(buf))?
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tokio::io::AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Self::poll_read(&self, cx, buf.initialize_unfilled());
        read.map_ok(|count| buf.advance(count))
    }
}

impl tokio::io::AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&self, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.half_close();
        Poll::Ready(Ok(()))
    }
}

impl smol::io::AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_read(&self, cx, buf)
    }
}

impl smol::io::AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&self, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.half_close();
        Poll::Ready(Ok(()))
    }
}

//! A socket and a clock in memory, with bounded buffers as the system has them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use scgi_proto::driver::{Advice, Clock, Transport};

/// Bytes that each direction of the socket holds.
pub(super) const BUFFER: usize = 4096;

#[derive(Default)]
pub(super) struct State {
    pub(super) now: Duration,
    /// What the peer has sent and the server has not read, and the other way round.
    pub(super) input: usize,
    pub(super) head: VecDeque<u8>,
    pub(super) output: VecDeque<u8>,
    pub(super) ended: bool,
    pub(super) reset: bool,
    pub(super) closed: bool,
    pub(super) cut: bool,
    pub(super) shut: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    pub(super) timers: Vec<(Duration, Waker)>,
}

impl State {
    pub(super) fn unread(&self) -> usize {
        self.head.len() + self.input
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        if self.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if self.unread() == 0 {
            return Ok(self.ended.then_some(0));
        }
        let mut count = 0;
        while let Some(place) = buf.get_mut(count).filter(|_| count < 2000) {
            let Some(byte) = self.head.pop_front() else { break };
            *place = byte;
            count += 1;
        }
        let rest = (buf.len() - count).min(self.input);
        buf[count..count + rest].fill(b'b');
        self.input -= rest;
        Ok(Some(count + rest))
    }

    pub(super) fn write(&mut self, bytes: &[u8], least: usize) -> io::Result<Option<usize>> {
        if self.reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = BUFFER - self.output.len();
        if room < least.max(1) {
            return Ok(None);
        }
        let count = bytes.len().min(room);
        self.output.extend(&bytes[..count]);
        Ok(Some(count))
    }

    pub(super) fn pass(&mut self, to: Duration) {
        self.now = self.now.max(to);
        let now = self.now;
        for (_, waker) in self.timers.extract_due(now) {
            waker.wake();
        }
    }
}

trait ExtractDue {
    fn extract_due(&mut self, now: Duration) -> Vec<(Duration, Waker)>;
}

impl ExtractDue for Vec<(Duration, Waker)> {
    fn extract_due(&mut self, now: Duration) -> Vec<(Duration, Waker)> {
        let (due, left) = std::mem::take(self).into_iter().partition(|(at, _)| *at <= now);
        *self = left;
        due
    }
}

/// A socket and a clock; clones are the same ones. Dropped as a transport, it is closed.
#[derive(Clone, Default)]
pub(super) struct Model(Arc<Mutex<State>>);

impl Model {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    pub(super) async fn sleep(&self, time: Duration) {
        let at = self.state().now + time;
        poll_fn(|cx| self.clone().poll_until(cx, at)).await;
    }
}

pub(super) struct Socket(pub(super) Model);

impl Drop for Socket {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closed = true;
        // A system resets a connection whose input is unread, and the peer gets nothing more.
        if state.unread() > 0 {
            state.cut = true;
            state.output.clear();
        }
    }
}

impl Transport for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        match state.read(buf).transpose() {
            Some(read) => Poll::Ready(read),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        // As on Linux, a socket is writable when a third is free.
        match state.write(&[first, second].concat(), BUFFER / 3).transpose() {
            Some(written) => Poll::Ready(written),
            None => {
                state.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.state().shut = true;
        Poll::Ready(Ok(()))
    }

    fn advise(&self, advice: Advice) {
        if advice == Advice::ResetOnClose {
            self.0.state().cut = true;
        }
    }

    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        self.0.state().read(buf)
    }

    fn try_write(&mut self, first: &[u8], second: &[u8]) -> io::Result<Option<usize>> {
        self.0.state().write(&[first, second].concat(), 1)
    }

    fn has_peer_left(&self) -> bool {
        let state = self.0.state();
        state.ended || state.reset
    }
}

impl Clock for Model {
    fn now(&self) -> Duration {
        self.state().now
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Duration) -> Poll<()> {
        let mut state = self.state();
        if state.now >= at {
            return Poll::Ready(());
        }
        state.timers.push((at, cx.waker().clone()));
        Poll::Pending
    }
}

pub(super) fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

//! A stream that does what a script says and notes what is done to it, and a clock. Both keep the
//! waker of anyone who waits for them. A future is polled again only after it was woken, so that a
//! lost wake-up fails a test.

use std::any::type_name;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use scgi_proto::driver::{Advice, Clock, Transport};

/// What the next read gives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Read {
    Bytes(&'static [u8]),
    /// Nothing yet, once: what comes next is there after the wait.
    Wait,
    End,
    Fails(ErrorKind),
}

/// What the stream was asked for, besides reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    Wrote(String),
    ShutDown,
    Advised(Advice),
}

#[derive(Debug, Default)]
struct State {
    reads: VecDeque<Read>,
    /// Bytes that the system has, and that the runtime has not heard of.
    unnoticed: &'static [u8],
    /// Bytes that a write takes at most; `None`: it waits.
    room: Option<usize>,
    write_error: Option<ErrorKind>,
    flush_error: Option<ErrorKind>,
    flush_waits: bool,
    shutdown_waits: bool,
    flushed: usize,
    /// Bytes that the last read could have taken.
    read_room: usize,
    done: Vec<Done>,
    now: Duration,
    reader: Option<Waker>,
    writer: Option<Waker>,
    timers: Vec<(Duration, Waker)>,
}

impl State {
    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

/// The stream and the clock; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script(Arc<Mutex<State>>);

impl Script {
    /// A stream that gives `reads` and then waits, and takes all that is written.
    pub(crate) fn new(reads: impl IntoIterator<Item = Read>) -> Self {
        // The futures of an earlier script are gone.
        POLLED.with_borrow_mut(HashMap::clear);
        let script = Self::default();
        script.then(reads);
        script.take_at_most(Some(usize::MAX));
        script
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    pub(crate) fn then(&self, reads: impl IntoIterator<Item = Read>) {
        let mut state = self.state();
        state.reads.extend(reads);
        if state.reads.is_empty() {
            return;
        }
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// The peer sends this, which the runtime has not noticed.
    pub(crate) fn then_unnoticed(&self, bytes: &'static [u8]) {
        self.state().unnoticed = bytes;
    }

    pub(crate) fn take_at_most(&self, room: Option<usize>) {
        let mut state = self.state();
        state.room = room;
        if room.is_some() {
            state.wake_writer();
        }
    }

    pub(crate) fn fail_next_write(&self, kind: ErrorKind) {
        let mut state = self.state();
        state.write_error = Some(kind);
        state.wake_writer();
    }

    pub(crate) fn fail_next_flush(&self, kind: ErrorKind) {
        self.state().flush_error = Some(kind);
    }

    /// Whether it cannot pass on what it holds back.
    pub(crate) fn let_flush_wait(&self, waits: bool) {
        let mut state = self.state();
        state.flush_waits = waits;
        if !waits {
            state.wake_writer();
        }
    }

    /// Whether it cannot end its write side, as a TLS stream whose peer reads nothing.
    pub(crate) fn let_shutdown_wait(&self, waits: bool) {
        let mut state = self.state();
        state.shutdown_waits = waits;
        if !waits {
            state.wake_writer();
        }
    }

    /// How often it was flushed.
    pub(crate) fn flushed(&self) -> usize {
        self.state().flushed
    }

    pub(crate) fn pass(&self, seconds: u64) {
        let mut state = self.state();
        state.now += Duration::from_secs(seconds);
        let now = state.now;
        for (at, timer) in std::mem::take(&mut state.timers) {
            match at <= now {
                true => timer.wake(),
                false => state.timers.push((at, timer)),
            }
        }
    }

    pub(crate) fn read_room(&self) -> usize {
        self.state().read_room
    }

    pub(crate) fn reads_left(&self) -> usize {
        self.state().reads.len()
    }

    pub(crate) fn done(&self) -> Vec<Done> {
        self.state().done.clone()
    }

    /// All that was written.
    pub(crate) fn written(&self) -> String {
        let done = self.done();
        done.iter()
            .filter_map(|done| if let Done::Wrote(w) = done { Some(&**w) } else { None })
            .collect()
    }

    /// Whether anyone who used it has dropped it.
    pub(crate) fn is_dropped(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    pub(crate) fn was_advised(&self, advice: Advice) -> bool {
        self.done().contains(&Done::Advised(advice))
    }
}

impl Transport for Script {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        state.read_room = buf.len();
        // What must not be taken for input.
        buf.fill(b'#');
        match state.reads.pop_front() {
            Some(Read::Bytes(bytes)) => {
                let count = bytes.len().min(buf.len());
                buf[..count].copy_from_slice(&bytes[..count]);
                if count < bytes.len() {
                    state.reads.push_front(Read::Bytes(&bytes[count..]));
                }
                Poll::Ready(Ok(count))
            }
            Some(Read::End) => Poll::Ready(Ok(0)),
            Some(Read::Fails(kind)) => Poll::Ready(Err(kind.into())),
            Some(Read::Wait) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
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
        assert!(!first.is_empty());
        let mut state = self.state();
        if let Some(kind) = state.write_error.take() {
            return Poll::Ready(Err(kind.into()));
        }
        let Some(room) = state.room else {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let mut bytes = [first, second].concat();
        bytes.truncate(room);
        state.done.push(Done::Wrote(String::from_utf8_lossy(&bytes).into_owned()));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.flush_waits {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.flushed += 1;
        Poll::Ready(state.flush_error.take().map_or(Ok(()), |kind| Err(kind.into())))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.shutdown_waits {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.done.push(Done::ShutDown);
        Poll::Ready(Ok(()))
    }

    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        let mut state = self.state();
        let bytes = state.unnoticed;
        let count = bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&bytes[..count]);
        state.unnoticed = &bytes[count..];
        Ok((count > 0).then_some(count))
    }

    fn advise(&self, advice: Advice) {
        self.state().done.push(Done::Advised(advice));
    }
}

impl Clock for Script {
    fn now(&self) -> Duration {
        self.state().now
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Duration) -> Poll<()> {
        let mut state = self.state();
        if state.now < at {
            let is_set = |(other, waker): &(_, Waker)| *other == at && waker.will_wake(cx.waker());
            if !state.timers.iter().any(is_set) {
                state.timers.push((at, cx.waker().clone()));
            }
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Whether a future was woken since it was polled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

thread_local! {
    /// The futures of this test that are pending, by address and type.
    static POLLED: RefCell<HashMap<(usize, &'static str), Arc<Woken>>> = RefCell::default();
}

/// Polls a future once, if it is new or was woken since it was last polled.
pub(crate) fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    let key = ((&raw const *future).addr(), type_name::<F>());
    let woken = POLLED.with_borrow_mut(|polled| {
        let new = || Arc::new(Woken(AtomicBool::new(true)));
        Arc::clone(polled.entry(key).or_insert_with(new))
    });
    if !woken.0.swap(false, Ordering::SeqCst) {
        return Poll::Pending;
    }
    let polled = future.poll(&mut Context::from_waker(&woken.into()));
    if polled.is_ready() {
        POLLED.with_borrow_mut(|polled| polled.remove(&key));
    }
    polled
}

/// The result of a future that must be ready after a few polls, each after a wake-up.
pub(crate) fn finish<F: Future>(future: F) -> F::Output {
    finish_polled(pin!(future))
}

/// As [`finish`], for a future that may have been polled before.
pub(crate) fn finish_polled<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    for _ in 0..20 {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
    }
    panic!("it waits for ever");
}

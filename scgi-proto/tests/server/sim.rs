//! A runtime in which time is virtual, and a task is polled only after it was woken.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use scgi_proto::Peer;
use scgi_proto::driver::{Clock, Transport};
use scgi_proto::server::{AcceptedStream, Acceptor, Runtime};

type Future0 = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

struct Task {
    future: Future0,
    woken: Arc<Flag>,
}

#[derive(Default)]
struct State {
    now: Duration,
    timers: Vec<(Duration, Waker)>,
    tasks: Vec<Task>,
    spawned: usize,
    /// What the listener yields next.
    backlog: VecDeque<io::Result<Stream>>,
    accepting: Option<Waker>,
    inherited: bool,
    is_listening: bool,
    /// Whether every other thread is blocked, so that no task is polled.
    is_blocked: bool,
    several_threads: bool,
    replies: Vec<String>,
    closed: usize,
}

/// Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Sim(Arc<Mutex<State>>);

impl Sim {
    pub(crate) fn new() -> Self {
        let sim = Self::default();
        sim.state().is_listening = true;
        sim
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with_several_threads(self) -> Self {
        self.state().several_threads = true;
        self
    }

    pub(crate) fn with_inherited_socket(self) -> Self {
        self.state().inherited = true;
        self
    }

    pub(crate) fn listener(&self) -> Listener {
        Listener(self.clone())
    }

    /// Clients connect, and send this immediately.
    pub(crate) fn connect(&self, count: usize, bytes: &'static [u8]) {
        for _ in 0..count {
            let stream = Stream { sim: self.clone(), bytes, reply: String::new() };
            self.state().backlog.push_back(Ok(stream));
        }
        self.wake_listener();
    }

    /// The next accept fails.
    pub(crate) fn fail_accept(&self, error: io::Error) {
        self.state().backlog.push_back(Err(error));
        self.wake_listener();
    }

    fn wake_listener(&self) {
        let waker = self.state().accepting.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// No task is polled any more, as if a handler held its thread.
    pub(crate) fn block_threads(&self) {
        self.state().is_blocked = true;
    }

    pub(crate) fn now(&self) -> Duration {
        self.state().now
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.state().is_listening
    }

    pub(crate) fn spawned(&self) -> usize {
        self.state().spawned
    }

    /// Connections that the server has closed.
    pub(crate) fn closed(&self) -> usize {
        self.state().closed
    }

    /// What was written to connections that are closed.
    pub(crate) fn replies(&self) -> Vec<String> {
        self.state().replies.clone()
    }

    /// Runs the tasks that are woken; `false` if there was none.
    pub(crate) fn run_tasks(&self) -> bool {
        let mut progress = false;
        let mut tasks = std::mem::take(&mut self.state().tasks);
        let is_blocked = self.state().is_blocked;
        tasks.retain_mut(|task| {
            if is_blocked || !task.woken.0.swap(false, Relaxed) {
                return true;
            }
            progress = true;
            let waker = Waker::from(Arc::clone(&task.woken));
            task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        self.state().tasks.append(&mut tasks);
        progress
    }

    /// Runs `main` and the tasks until it is ready, or until nothing happens up to this time.
    pub(crate) fn run<F: Future + ?Sized>(
        &self,
        main: Pin<&mut F>,
        until: Duration,
    ) -> Option<F::Output> {
        let mut main = main;
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            if woken.0.swap(false, Relaxed) {
                let polled = main.as_mut().poll(&mut Context::from_waker(&waker));
                if let Poll::Ready(output) = polled {
                    return Some(output);
                }
            } else if !self.run_tasks() && !self.pass_time(until) {
                return None;
            }
        }
    }

    /// Goes to the next timer, if that is due by then.
    fn pass_time(&self, until: Duration) -> bool {
        let mut state = self.state();
        let Some(next) = state.timers.iter().map(|(at, _)| *at).min().filter(|at| *at <= until)
        else {
            return false;
        };
        state.now = state.now.max(next);
        let timers = std::mem::take(&mut state.timers);
        let (due, later) = timers.into_iter().partition(|(at, _)| *at <= next);
        state.timers = later;
        drop(state);
        let due: Vec<(Duration, Waker)> = due;
        due.into_iter().for_each(|(_, waker)| waker.wake());
        true
    }
}

/// A clock of the runtime, which began later.
pub(crate) struct Time {
    sim: Sim,
    start: Duration,
}

impl Clock for Time {
    fn now(&self) -> Duration {
        self.sim.now() - self.start
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Duration) -> Poll<()> {
        let Some(at) = self.start.checked_add(at) else { return Poll::Pending };
        let mut state = self.sim.state();
        if state.now >= at {
            return Poll::Ready(());
        }
        state.timers.push((at, cx.waker().clone()));
        Poll::Pending
    }
}

impl Runtime for Sim {
    type Clock = Time;

    fn clock(&self) -> Time {
        Time { sim: self.clone(), start: self.now() }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        state.spawned += 1;
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        state.tasks.push(Task { future: Box::pin(task), woken });
    }

    fn is_multi_threaded(&self) -> bool {
        self.state().several_threads
    }
}

pub(crate) struct Listener(Sim);

impl Acceptor for Listener {
    type Stream = Stream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let mut state = self.0.state();
        match state.backlog.pop_front() {
            Some(next) => Poll::Ready(next),
            None => {
                state.accepting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_inherited(&self) -> bool {
        self.0.state().inherited
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.state().is_listening = false;
    }
}

/// A connection whose client has sent something, and now waits.
pub(crate) struct Stream {
    sim: Sim,
    bytes: &'static [u8],
    reply: String,
}

impl Transport for Stream {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.try_read(buf) {
            Ok(None) => Poll::Pending,
            read => Poll::Ready(read.map(Option::unwrap_or_default)),
        }
    }

    fn poll_write(
        &mut self,
        _: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.reply.push_str(&String::from_utf8_lossy(&[first, second].concat()));
        Poll::Ready(Ok(first.len() + second.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        let count = self.bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok((count > 0).then_some(count))
    }
}

impl AcceptedStream for Stream {
    fn peer(&self) -> io::Result<Peer> {
        Ok(Peer::Unix(None))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.sim.state();
        state.closed += 1;
        state.replies.push(std::mem::take(&mut self.reply));
    }
}

//! A third runtime, written here in full: one thread, poll(2) and a list of timers. And all that an
//! adapter for it needs: a [`Transport`], a [`Clock`], a [`Runtime`] and an [`Acceptor`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use scgi_proto::Peer;
use scgi_proto::driver::{Advice, Clock, Transport};
use scgi_proto::server::{AcceptedStream, Acceptor, Runtime};
use scgi_proto::socket::{
    accept, has_peer_left, peer, read_at_once, reset_on_close, send_at_once, shutdown_write,
    write_at_once,
};

pub(crate) mod app;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task, and the queue into which its waker puts it.
struct Spawned {
    task: Mutex<Option<Task>>,
    ready: Ready,
}

type Ready = Arc<Mutex<VecDeque<Arc<Spawned>>>>;

impl Wake for Spawned {
    fn wake(self: Arc<Self>) {
        let ready = Arc::clone(&self.ready);
        ready.lock().unwrap_or_else(PoisonError::into_inner).push_back(self);
    }
}

/// What this thread runs and waits for.
#[derive(Default)]
struct Executor {
    ready: Ready,
    sockets: Vec<(Weak<OwnedFd>, PollFlags, Waker)>,
    timers: Vec<(Instant, Waker)>,
}

thread_local! {
    static EXECUTOR: RefCell<Executor> = RefCell::default();
}

fn spawn(task: Task) {
    let ready = EXECUTOR.with_borrow(|executor| Arc::clone(&executor.ready));
    Arc::new(Spawned { task: Mutex::new(Some(task)), ready }).wake();
}

fn wait_for(socket: &Arc<OwnedFd>, flags: PollFlags, cx: &Context<'_>) {
    EXECUTOR.with_borrow_mut(|executor| {
        let weak = Arc::downgrade(socket);
        executor.sockets.retain(|(other, kind, _)| !other.ptr_eq(&weak) || *kind != flags);
        executor.sockets.push((weak, flags, cx.waker().clone()));
    });
}

fn poll_until(at: Instant, cx: &Context<'_>) -> Poll<()> {
    if Instant::now() >= at {
        return Poll::Ready(());
    }
    EXECUTOR.with_borrow_mut(|executor| executor.timers.push((at, cx.waker().clone())));
    Poll::Pending
}

fn sleep(time: Duration) -> impl Future<Output = ()> {
    let at = Instant::now() + time;
    poll_fn(move |cx| poll_until(at, cx))
}

/// Runs the tasks of this thread until the process ends.
fn run() {
    loop {
        while let Some(spawned) = next_ready() {
            let waker = Waker::from(Arc::clone(&spawned));
            let mut task = spawned.task.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(running) = &mut *task {
                if running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    *task = None;
                }
            }
        }
        wait();
    }
}

fn next_ready() -> Option<Arc<Spawned>> {
    EXECUTOR.with_borrow(|executor| {
        executor.ready.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    })
}

/// Waits until a socket is ready or a timer is due, and wakes anyone who waits for it.
fn wait() {
    let sockets = EXECUTOR.with_borrow_mut(|executor| std::mem::take(&mut executor.sockets));
    let timers = EXECUTOR.with_borrow_mut(|executor| std::mem::take(&mut executor.timers));
    let sockets: Vec<_> = sockets
        .into_iter()
        .filter_map(|(socket, flags, waker)| Some((socket.upgrade()?, flags, waker)))
        .collect();
    let mut fds: Vec<_> =
        sockets.iter().map(|(socket, flags, _)| PollFd::new(&**socket, *flags)).collect();
    let now = Instant::now();
    let first = timers.iter().map(|(at, _)| at.saturating_duration_since(now)).min();
    let timeout = first.and_then(|wait| Timespec::try_from(wait).ok());
    poll(&mut fds, timeout.as_ref()).expect("poll");
    let is_ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
    for ((socket, flags, waker), is_ready) in sockets.iter().zip(is_ready) {
        match is_ready {
            true => waker.wake_by_ref(),
            false => EXECUTOR.with_borrow_mut(|executor| {
                executor.sockets.push((Arc::downgrade(socket), *flags, waker.clone()));
            }),
        }
    }
    let now = Instant::now();
    for (at, waker) in timers {
        match at <= now {
            true => waker.wake(),
            false => EXECUTOR.with_borrow_mut(|executor| executor.timers.push((at, waker))),
        }
    }
}

/// A connected socket.
struct Socket(Arc<OwnedFd>);

impl Socket {
    fn poll<T>(
        &self,
        flags: PollFlags,
        cx: &Context<'_>,
        done: io::Result<Option<T>>,
    ) -> Poll<io::Result<T>> {
        match done {
            Ok(Some(done)) => Poll::Ready(Ok(done)),
            Ok(None) => {
                wait_for(&self.0, flags, cx);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Transport for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll(PollFlags::IN, cx, read_at_once(&self.0, buf))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(PollFlags::OUT, cx, write_at_once(&self.0, &[first, second].map(IoSlice::new)))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown_write(&self.0))
    }

    fn advise(&self, advice: Advice) {
        match advice {
            Advice::SendAtOnce => send_at_once(&self.0),
            Advice::ResetOnClose => reset_on_close(&self.0),
        }
    }

    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        read_at_once(&self.0, buf)
    }

    fn try_write(&mut self, first: &[u8], second: &[u8]) -> io::Result<Option<usize>> {
        write_at_once(&self.0, &[first, second].map(IoSlice::new))
    }

    fn has_peer_left(&self) -> bool {
        has_peer_left(&self.0)
    }
}

impl AcceptedStream for Socket {
    fn peer(&self) -> io::Result<Peer> {
        peer(&self.0)
    }
}

struct Time(Instant);

impl Clock for Time {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Duration) -> Poll<()> {
        self.0.checked_add(at).map_or(Poll::Pending, |at| poll_until(at, cx))
    }
}

struct Third;

impl Runtime for Third {
    type Clock = Time;

    fn clock(&self) -> Time {
        Time(Instant::now())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        spawn(Box::pin(task));
    }

    fn is_multi_threaded(&self) -> bool {
        false
    }
}

struct Listening(Arc<OwnedFd>);

impl Acceptor for Listening {
    type Stream = Socket;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        match accept(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for(&self.0, PollFlags::IN, cx);
                Poll::Pending
            }
            accepted => Poll::Ready(accepted.map(|socket| Socket(Arc::new(socket)))),
        }
    }
}

//! What each thread of a server does.

use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use scgi_proto::BoxError;
use scgi_proto::server::{Backoff, ServerConfig};

use super::state::{Phase, ThreadNote};
use super::{Pool, Task, Worker, asleep};
use crate::answer::answer;
use crate::connection::Connection;
use crate::handler::Handler;
use crate::listener::Listener;
use crate::message::{Request, Response};
use crate::socket::{Cancel, Interest, first_byte, is_out_of_descriptors, wait};
use crate::stream::Stream;
use crate::wait::close_wakeup;

/// What the threads of a server share.
pub(super) struct Server<H, M> {
    pub(super) handler: H,
    pub(super) config: ServerConfig,
    /// Held while accepting only, so that a thread that is stuck does not keep it open.
    pub(super) listener: Weak<Listener>,
    pub(super) pool: Arc<Pool>,
    /// Each thread has its own clone.
    pub(super) backoff: Backoff,
    pub(super) cancel: Arc<Cancel>,
    pub(super) kind: PhantomData<fn() -> M>,
}

impl<M: 'static, H: Handler<M>> Server<H, M> {
    /// Makes one more thread, unless there are enough.
    pub(super) fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let Some(worker) = Worker::add(&self.pool) else { return Ok(()) };
        let server = Arc::clone(self);
        let name = "scgi-worker".to_owned();
        // If it fails, the worker is dropped, which takes back that it was counted.
        thread::Builder::new().name(name).spawn(move || server.work(worker)).map(drop)
    }

    fn work(self: Arc<Self>, worker: Worker) {
        let noted = Noted { server: Arc::clone(&self), note: Arc::clone(&worker.note) };
        worker.note.task.store(asleep::this_thread(), Relaxed);
        let mut backoff = self.backoff.clone();
        loop {
            match worker.next() {
                Task::Accept => {
                    let Some(listener) = self.listener.upgrade() else {
                        // The watcher has gone, with or without having ended it properly.
                        self.pool.advance(Phase::Ending);
                        continue;
                    };
                    let is_called = listener.is_called();
                    let accepted = listener.accept();
                    drop(listener);
                    match accepted {
                        Ok(stream) => {
                            backoff.accepted();
                            self.serve(stream, &worker, &noted, is_called);
                        }
                        Err(error) => self.wait_after(&error, &mut backoff),
                    }
                }
                Task::Serve(stream) => self.serve(stream, &worker, &noted, false),
                Task::Leave => break,
            }
        }
        // The handler may be dropped here and may panic in that; the thread has ended all the
        // same.
        let _end = worker;
        drop(noted);
        drop(self);
    }

    /// Waits after a failed accept. At the end of listening that is not an error.
    fn wait_after(&self, error: &io::Error, backoff: &mut Backoff) {
        if self.pool.is_stopping() {
            return;
        }
        if is_out_of_descriptors(error) {
            // What this thread keeps may be all that is missing.
            close_wakeup();
            self.make_room();
        }
        if let Some(delay) = backoff.after(error) {
            self.pool.wait_for_stop(delay);
        }
    }

    /// Closes the connection that has waited longest for its head, if it has waited long enough.
    pub(super) fn make_room(&self) {
        let cx = Context::from_waker(Waker::noop());
        if self.config.registry.poll_evictable(&cx).is_ready() {
            let _ = self.config.registry.evict_oldest();
        }
    }

    fn serve(&self, stream: Stream, worker: &Worker, noted: &Noted<H, M>, is_called: bool) {
        // One that only wakes this thread comes without a byte, and is not counted.
        let may_be_a_call = is_called && self.pool.is_stopping();
        if may_be_a_call {
            worker.begin(false);
            if !self.has_first_byte(&stream) {
                return;
            }
        }
        let Some(admission) = self.config.admit(|| stream.peer()) else { return };
        if may_be_a_call {
            worker.count();
        } else {
            worker.begin(true);
        }
        let cancel = Arc::clone(&self.cancel);
        let connection = Connection::of_server(stream, &self.config.config, cancel, admission);
        // An error of one connection concerns no other; its peer has got an answer. Nor does a panic where
        // a program's values are dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| answer(connection, noted, worker)));
    }

    /// Waits for the first byte of a connection, as long as its head may take.
    fn has_first_byte(&self, stream: &Stream) -> bool {
        let begun = Instant::now();
        loop {
            match first_byte(stream) {
                Poll::Ready(has_come) => return has_come,
                Poll::Pending if self.cancel.is_set() => return false,
                Poll::Pending => {}
            }
            let left = self.config.config.head_timeout().saturating_sub(begun.elapsed());
            let interest = Interest { read: true, write: false };
            let waited = wait(stream, interest, Some(left), Some(&self.cancel), None);
            if left.is_zero() || waited.is_err() {
                return false;
            }
        }
    }
}

/// The handler, for one thread: it notes when it is called.
struct Noted<H, M> {
    server: Arc<Server<H, M>>,
    note: Arc<ThreadNote>,
}

impl<M: 'static, H: Handler<M>> Handler<M> for Noted<H, M> {
    fn call(&self, request: Request) -> Result<Response, BoxError> {
        self.note.is_in_handler.store(true, Relaxed);
        self.server.handler.call(request)
    }
}

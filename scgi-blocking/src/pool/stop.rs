//! How a server stops: it takes the connections that wait, ends listening, and finishes.
//!
//! Closing a listener resets the connections in its queue. So they are accepted first, and nothing
//! else happens between the last accept and the end of listening: no thread is made or woken.
//!
//! - A Unix socket on Linux: its read side is shut down first. After that no one can connect, and
//!   what waits can still be accepted. Nothing is lost.
//! - TCP: the same call resets what waits. So what waits is accepted first. A client that connects
//!   within the microseconds before the end is reset.
//! - A socket that another process may have too is not shut down. The server takes as many
//!   connections as it has places, and the rest waits for the next process.

use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use scgi_proto::Summary;

use super::Pool;
use super::state::Phase;
use super::work::Server;
use crate::handler::Handler;
use crate::listener::Listener;
use crate::socket::{Cancel, Wakeup, descriptors};

/// How long aborted connections may take to close.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// How often threads that wait in accept(2) are sent a connection, at first and at most.
const WAKE_PAUSE: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// How often it is looked whether descriptors have become free for more connections.
const TAKE_PAUSE: Duration = Duration::from_millis(5);

/// Takes what waits, and ends listening. New connections are refused from here on, unless the
/// socket belongs to another process too.
pub(super) fn end_listening<M: 'static, H: Handler<M>>(
    server: &Weak<Server<H, M>>,
    pool: &Arc<Pool>,
    listener: Arc<Listener>,
    deadline: Option<Instant>,
) {
    if listener.is_own() {
        let is_refusing = listener.refuse_new();
        while !take_and_end(pool, &listener, is_refusing, deadline) {
            serve_left_over(server, pool);
            pool.wait_until(Some(TAKE_PAUSE), |_| false);
        }
    } else {
        let waiting = listener.accept_waiting(pool.untaken_places());
        pool.lock().left_over.extend(waiting.taken);
        // Another process may use it, which counts on this.
        listener.become_blocking();
        serve_left_over(server, pool);
    }
    wake_accepts(pool, &listener, deadline);
    // Threads in a handler do not hold it: this closes the socket.
    drop(listener);
    pool.advance(Phase::Ending);
    serve_left_over(server, pool);
}

/// Waits for what runs until the deadline, and aborts the rest.
pub(super) fn finish(pool: &Pool, cancel: &Cancel, deadline: Option<Instant>) -> Summary {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let mut summary = Summary::default();
    let is_done = pool.wait_until(left, |inner| inner.state.is_over());
    let mut inner = pool.lock();
    summary.without_place = inner.left_over.len() as u64;
    // Closed below, without the lock.
    let left_over = std::mem::take(&mut inner.left_over);
    inner.state.advance(Phase::Aborting);
    summary.aborted = inner.state.open() as u64;
    drop(inner);
    drop(left_over);
    if !is_done {
        pool.rest.notify_all();
        cancel.set();
        // What only waits for its peer ends immediately.
        pool.wait_until(Some(ABORT_GRACE), |inner| inner.state.is_over());
    }
    let inner = pool.lock();
    summary.finished = inner.state.finished();
    summary.served = inner.state.served();
    summary
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}

/// Accepts what waits, as far as descriptors allow, and ends listening if that is all of it, or the
/// deadline is over. Returns whether it has.
fn take_and_end(
    pool: &Pool,
    listener: &Listener,
    is_refusing: bool,
    deadline: Option<Instant>,
) -> bool {
    let waiting = listener.accept_waiting(pool.room());
    let ends = waiting.is_all || is_over(deadline);
    if ends && !is_refusing {
        // Nothing may come between the last accept and this. Where the system cannot do it, the
        // threads are woken next, and closing the listener ends it.
        listener.stop();
    }
    pool.lock().left_over.extend(waiting.taken);
    ends
}

/// Sees to it that threads serve what was taken, as many as there may be.
fn serve_left_over<M: 'static, H: Handler<M>>(server: &Weak<Server<H, M>>, pool: &Pool) {
    let missing = pool.missing_for_left_over();
    pool.rest.notify_all();
    let Some(server) = server.upgrade() else { return };
    for _ in 0..missing {
        // Without one more, they wait for those that run.
        if server.spawn().is_err() {
            break;
        }
    }
}

/// Waits until no thread waits in accept(2) any more. Where listening has not ended, each is sent a
/// connection. Another process may get that one, so it is repeated until all threads have woken.
fn wake_accepts(pool: &Pool, listener: &Listener, deadline: Option<Instant>) {
    // Those that listening has ended for need a moment.
    let mut pause = WAKE_PAUSE[0];
    while !pool.wait_until(Some(pause), |inner| inner.state.accepting() == 0) {
        match listener.wake_one() {
            // No one can connect to it any more, so it is lost to no other process.
            Err(error) if is_unreachable(&error) => {
                listener.stop();
            }
            Ok(()) | Err(_) => {}
        }
        if is_over(deadline) {
            return;
        }
        pause = WAKE_PAUSE[1].min(2 * pause);
    }
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

impl Pool {
    /// Places for which no thread waits in accept(2).
    fn untaken_places(&self) -> usize {
        let inner = self.lock();
        inner.state.free_places().saturating_sub(inner.state.accepting())
    }

    /// How many more connections the process has descriptors for: three quarters of them, as for
    /// connections that are served.
    fn room(&self) -> usize {
        let Some(descriptors) = descriptors() else { return usize::MAX };
        let room = usize::try_from(descriptors - descriptors / 4).unwrap_or(usize::MAX);
        let inner = self.lock();
        let wakeups = Wakeup::DESCRIPTORS as usize * inner.state.max();
        room.saturating_sub(wakeups + inner.state.busy() + inner.left_over.len()).max(1)
    }

    /// How many threads must be made so that each connection that was taken has one.
    fn missing_for_left_over(&self) -> usize {
        let inner = self.lock();
        let wanted = inner.left_over.len().min(inner.state.free_places());
        wanted.saturating_sub(inner.state.threads() - inner.state.busy())
    }
}

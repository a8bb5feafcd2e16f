//! The tasks of a server: how many run, and how to stop them all.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// How a runtime starts a task.
pub(crate) type Spawn = fn(Pin<Box<dyn Future<Output = ()> + Send>>);

/// Tasks that are counted and can be stopped together.
pub(crate) struct TaskSet {
    spawn: Spawn,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Who to wake when a task is to stop.
    tasks: HashMap<u64, Option<Waker>>,
    aborted: bool,
    /// Who waits for a task to end.
    owner: Option<Waker>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // No code that can panic runs under the lock.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TaskSet {
    pub(crate) fn new(spawn: Spawn) -> Self {
        Self { spawn, state: Arc::default() }
    }

    /// Starts a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let member = {
            let mut state = lock(&self.state);
            let id = state.next;
            state.next += 1;
            state.tasks.insert(id, None);
            Member { id, state: Arc::clone(&self.state) }
        };
        (self.spawn)(Box::pin(async move {
            let mut task = std::pin::pin!(task);
            poll_fn(
                |cx| if member.is_aborted(cx) { Poll::Ready(()) } else { task.as_mut().poll(cx) },
            )
            .await;
        }));
    }

    /// Ready when fewer than `count` tasks run.
    pub(crate) fn poll_below(&self, count: usize, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.tasks.len() < count {
            return Poll::Ready(());
        }
        state.owner = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.state).tasks.len()
    }

    /// Makes every task end at its next poll, which comes at once.
    pub(crate) fn abort(&self) {
        let mut state = lock(&self.state);
        state.aborted = true;
        let wakers: Vec<_> = state.tasks.values_mut().filter_map(Option::take).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A running task's place in the group, given up when it ends or panics.
struct Member {
    id: u64,
    state: Arc<Mutex<State>>,
}

impl Member {
    fn is_aborted(&self, cx: &Context<'_>) -> bool {
        let mut state = lock(&self.state);
        if let Some(waker) = state.tasks.get_mut(&self.id) {
            match waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
        }
        state.aborted
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.tasks.remove(&self.id);
        let owner = state.owner.take();
        drop(state);
        if let Some(owner) = owner {
            owner.wake();
        }
    }
}

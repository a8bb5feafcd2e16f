//! The tasks of a server: how many run, and how to stop them all. It needs nothing of the runtime
//! but wakers.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker, ready};
use std::boxed::Box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use crate::shutdown::Shutdown;

/// Tasks that are counted and can be stopped together. Those that run when it is dropped are
/// stopped.
pub(super) struct TaskSet {
    shared: Arc<Tasks>,
}

#[derive(Default)]
struct Tasks {
    is_aborted: AtomicBool,
    /// What upgraded connections wait for, which may be in any task.
    cut: Shutdown,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    /// One for each task: whom to wake when it must stop.
    wakers: Vec<Option<Waker>>,
    /// Places in `wakers` that no task has.
    free: Vec<usize>,
    /// Who waits for a task to end.
    owner: Option<Waker>,
}

impl Tasks {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskSet {
    pub(super) fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// Counts a task, which runs until the value is dropped.
    pub(super) fn enter(&self) -> Member {
        let mut state = self.shared.state();
        state.running += 1;
        let place = state.free.pop().unwrap_or_else(|| {
            state.wakers.push(None);
            state.wakers.len() - 1
        });
        Member { place, waker: None, shared: Arc::clone(&self.shared) }
    }

    /// Begins when the tasks are stopped.
    pub(super) fn cut(&self) -> Shutdown {
        self.shared.cut.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.shared.state().running
    }

    /// Ready when fewer than `count` tasks run. The caller is woken whenever one ends.
    pub(super) fn poll_below(&self, count: usize, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.shared.state();
        if state.running < count {
            return Poll::Ready(());
        }
        let old = state.owner.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Makes every task end at its next poll, and wakes it for that.
    pub(super) fn abort(&self) {
        let wakers: Vec<_> = {
            let mut state = self.shared.state();
            self.shared.is_aborted.store(true, Ordering::Relaxed);
            state.wakers.iter_mut().filter_map(Option::take).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
        let _ = self.shared.cut.begin();
    }
}

impl Drop for TaskSet {
    fn drop(&mut self) {
        self.abort();
    }
}

/// One task's place in a [`TaskSet`], given up when it ends or panics.
pub(super) struct Member {
    place: usize,
    /// The one in the set, to see without the lock whether it is up to date.
    waker: Option<Waker>,
    shared: Arc<Tasks>,
}

impl Member {
    /// Ready when the task must stop.
    pub(super) fn poll_aborted(&mut self, cx: &Context<'_>) -> Poll<()> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            self.shared.state().wakers[self.place] = self.waker.clone();
        }
        // Whoever aborts sets this under the lock: either it is seen here, or the waker there.
        if self.shared.is_aborted.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Polls the task; ready with nothing if it must stop.
    pub(super) fn poll<F>(&mut self, task: &mut F, cx: &mut Context<'_>) -> Poll<Option<F::Output>>
    where
        F: Future + Unpin,
    {
        if self.poll_aborted(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(task).poll(cx).map(Some)
    }

    /// The task has ended, and its place is for another one. This frees the memory of the task, which
    /// its waker holds.
    pub(super) fn leave_task(&mut self) {
        let waker = self.shared.state().wakers[self.place].take();
        drop((waker, self.waker.take()));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let (waker, owner) = {
            let mut state = self.shared.state();
            state.running -= 1;
            let place = self.place;
            state.free.push(place);
            (state.wakers[place].take(), state.owner.take())
        };
        drop(waker);
        if let Some(owner) = owner {
            owner.wake();
        }
    }
}

/// What is left to do with the place of a task that has ended.
pub(super) type HandOver = Box<dyn FnOnce(Member) + Send>;

/// A future as a task of a [`TaskSet`]. It may hand its place over to another one.
pub(super) struct Task<F> {
    // Dropped before its place is given up.
    task: F,
    /// `None` once it is handed over.
    member: Option<Member>,
}

impl<F> Task<F> {
    pub(super) fn new(task: F, member: Member) -> Self {
        Self { task, member: Some(member) }
    }
}

impl<F: Future<Output = Option<HandOver>> + Unpin> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { task, member: place } = &mut *self;
        let Some(member) = place else { return Poll::Ready(()) };
        let hand_over = ready!(member.poll(task, cx)).flatten();
        if let (Some(hand_over), Some(member)) = (hand_over, place.take()) {
            hand_over(member);
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use core::future::pending;
    use core::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), count.into())
    }

    fn task(tasks: &TaskSet) -> Task<Pin<Box<dyn Future<Output = Option<HandOver>>>>> {
        Task::new(Box::pin(pending()), tasks.enter())
    }

    #[test]
    fn whoever_waits_for_a_place_is_woken_when_a_task_ends() {
        let tasks = TaskSet::new();
        let (woken, waker) = waker();
        let cx = Context::from_waker(&waker);
        let (first, second) = (task(&tasks), task(&tasks));
        assert!(tasks.poll_below(2, &cx).is_pending());
        drop(first);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(tasks.poll_below(2, &cx).is_ready());
        let third = task(&tasks);
        assert_eq!(
            (third.member.as_ref().map(|member| member.place), tasks.len()),
            (Some(0), 2),
            "a place is used again"
        );
        drop((second, third));
        assert_eq!(tasks.len(), 0);
    }

    #[test]
    fn a_place_that_is_handed_over_is_counted_once_at_each_moment() {
        let tasks = Arc::new(TaskSet::new());
        let (woken, waker) = waker();
        let mut cx = Context::from_waker(&waker);
        assert!(tasks.poll_below(1, &cx).is_ready());
        let kept = Arc::<Mutex<Option<Member>>>::default();
        let (set, keep) = (Arc::clone(&tasks), Arc::clone(&kept));
        let hand_over: HandOver = Box::new(move |mut member| {
            assert_eq!(set.len(), 1);
            member.leave_task();
            assert_eq!(set.len(), 1);
            *keep.lock().expect("no panic") = Some(member);
        });
        let mut first = Task::new(Box::pin(async { Some(hand_over) }), tasks.enter());
        assert!(tasks.poll_below(1, &cx).is_pending());
        assert!(Pin::new(&mut first).poll(&mut cx).is_ready());
        drop(first);
        assert_eq!((tasks.len(), woken.0.load(Ordering::Relaxed)), (1, 0));
        assert!(tasks.poll_below(1, &cx).is_pending());
        // No waker of the first task is left, which would hold its memory: an abort wakes no one.
        tasks.abort();
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        drop(kept.lock().expect("no panic").take());
        assert_eq!((tasks.len(), woken.0.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn an_abort_wakes_every_task_once_and_ends_it() {
        let tasks = TaskSet::new();
        let (woken, waker) = waker();
        let mut cx = Context::from_waker(&waker);
        let mut running = task(&tasks);
        for _ in 0..3 {
            assert!(Pin::new(&mut running).poll(&mut cx).is_pending());
        }
        let mut not_polled = task(&tasks);
        tasks.abort();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        for task in [&mut running, &mut not_polled] {
            assert!(Pin::new(task).poll(&mut cx).is_ready());
        }
    }

    #[test]
    fn tasks_end_when_the_set_is_dropped() {
        let tasks = TaskSet::new();
        let (woken, first) = waker();
        let mut running = task(&tasks);
        assert!(Pin::new(&mut running).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        // The waker of the last poll counts.
        assert!(Pin::new(&mut running).poll(&mut Context::from_waker(&first)).is_pending());
        drop(tasks);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(Pin::new(&mut running).poll(&mut Context::from_waker(&first)).is_ready());
    }
}

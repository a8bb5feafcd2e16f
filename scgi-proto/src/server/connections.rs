//! Starting connections: most requests are there already when they are accepted.
//!
//! A front server connects when it has the request and sends it immediately, so the first read
//! mostly succeeds. On an executor with one thread, the request is then answered in the accept
//! loop, if the handler need not wait: neither the reactor nor a task is involved. Whatever must
//! wait continues in a task of its own, so a slow handler does not hold up the accept loop. On an
//! executor with several threads each connection gets a task, so that the threads share the work.

use core::future::{Future, poll_fn};
use core::task::{Context, Poll};
use std::boxed::Box;
use std::sync::Arc;

use bytes::BytesMut;

use super::config::ServerConfig;
use super::running::Server;
use super::runtime::{AcceptedStream, RequestHandler, Runtime};
use super::task_set::{HandOver, Member, Task, TaskSet};
use super::upgraded;
use crate::driver::{Connection, Inline, InlineFuture, PendingConnection};

/// The connections of a server. `A` is [`answer`], and `F` is its future, which has no name.
pub(super) struct Connections<R: Runtime, H, A, F> {
    pub(super) server: Arc<Server<R, H>>,
    pub(super) tasks: TaskSet,
    /// How many are served at the same time.
    pub(super) max: usize,
    /// How many were started so far.
    pub(super) started: u64,
    /// `None` on an executor with several threads.
    place: Option<InlineFuture<F>>,
    answer: A,
    /// For waiting until one can be closed to make room.
    clock: R::Clock,
}

impl<R, H, A, F> Connections<R, H, A, F>
where
    R: Runtime,
    H: RequestHandler,
    F: Future<Output = Option<HandOver>>,
{
    pub(super) fn new(runtime: R, handler: H, config: ServerConfig, max: usize, answer: A) -> Self {
        let place = (!runtime.is_multi_threaded()).then(InlineFuture::new);
        let (clock, tasks) = (runtime.clock(), TaskSet::new());
        let server = Arc::new(Server { runtime, handler, config, cut: tasks.cut() });
        Self { server, tasks, max, started: 0, place, answer, clock }
    }

    /// Ready when one more may start: there is room, or another one can make room.
    pub(super) fn poll_place(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.tasks.poll_below(self.max, cx).is_ready() {
            return Poll::Ready(());
        }
        self.server.config.registry.poll_evictable_at(&mut self.clock, cx)
    }

    /// Serves a connection, in place or in a task, unless its peer may not connect.
    pub(super) fn start<S>(&mut self, stream: S, cx: &mut Context<'_>)
    where
        S: AcceptedStream,
        A: Fn(PendingConnection<S, R::Clock>, BytesMut, Arc<Server<R, H>>) -> F,
        F: Send + 'static,
    {
        let config = &self.server.config;
        let Some(admission) = config.admit(|| stream.peer()) else { return };
        self.started += 1;
        let pending = PendingConnection::new(stream, self.server.runtime.clock(), admission);
        self.begin(pending, cx);
        if self.tasks.len() > self.max {
            // The oldest without a head, for which this one was let in.
            let _ = self.server.config.registry.evict_oldest();
        }
    }

    fn begin<S>(&mut self, mut pending: PendingConnection<S, R::Clock>, cx: &mut Context<'_>)
    where
        S: AcceptedStream,
        A: Fn(PendingConnection<S, R::Clock>, BytesMut, Arc<Server<R, H>>) -> F,
        F: Send + 'static,
    {
        let server = &self.server;
        let Some(place) = &mut self.place else {
            let task = wait_and_answer(pending, Arc::clone(server), self.tasks.enter());
            server.runtime.spawn(task);
            return;
        };
        match pending.try_first() {
            Ok(Some(bytes)) if !bytes.is_empty() => {
                place.begin((self.answer)(pending, bytes, Arc::clone(server)));
                match place.poll(cx) {
                    Inline::Done(Some(Some(hand_over))) => hand_over(self.tasks.enter()),
                    Inline::Done(_) => {}
                    Inline::Unfinished(rest) => {
                        server.runtime.spawn(Task::new(rest, self.tasks.enter()));
                    }
                }
            }
            Ok(None) => {
                let task = wait_and_answer(pending, Arc::clone(server), self.tasks.enter());
                server.runtime.spawn(task);
            }
            // The peer closed without a byte, or broke the connection.
            Ok(Some(_)) | Err(_) => {}
        }
    }
}

/// Waits for the first bytes of a connection, holding as little memory as that allows, then
/// answers it.
#[expect(
    clippy::manual_async_fn,
    reason = "its future would hold each argument twice, and many of these wait"
)]
fn wait_and_answer<S: AcceptedStream, R: Runtime, H: RequestHandler>(
    mut pending: PendingConnection<S, R::Clock>,
    server: Arc<Server<R, H>>,
    mut member: Member,
) -> impl Future<Output = ()> + Send {
    async move {
        let first = poll_fn(|cx| {
            if member.poll_aborted(cx).is_ready() {
                return Poll::Ready(None);
            }
            pending.poll_first(cx, server.config.config.head_timeout())
        });
        // Boxed, so that a connection that waits does not hold room for one that works.
        let task = first.await.map(|bytes| Box::pin(answer(pending, bytes, server)));
        let Some(mut task) = task else { return };
        let hand_over = poll_fn(|cx| member.poll(&mut task, cx)).await.flatten();
        drop(task);
        if let Some(hand_over) = hand_over {
            hand_over(member);
        }
    }
}

/// Answers a connection whose first bytes have come. After a 101, its place is to be handed over.
pub(super) fn answer<S: AcceptedStream, R: Runtime, H: RequestHandler>(
    pending: PendingConnection<S, R::Clock>,
    bytes: BytesMut,
    server: Arc<Server<R, H>>,
) -> impl Future<Output = Option<HandOver>> + Send {
    // Made here and not in the future, which would hold its parts as well.
    let mut connection = Connection::received(pending, &server.config.config, bytes);
    async move {
        // An error of one connection concerns no other; its peer got a response where possible.
        let answered = connection.answer(|request| server.handler.call(request)).await;
        let program = answered.ok().flatten()?;
        Some(upgraded::hand_over(connection, program, server))
    }
}

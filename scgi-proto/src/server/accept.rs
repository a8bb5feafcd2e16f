//! The accept loop, until the shutdown signal.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::boxed::Box;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;

use super::backoff::Backoff;
use super::config::{ServerConfig, Summary};
use super::connections::{Connections, answer};
use super::running::Server;
use super::runtime::{Acceptor, RequestHandler, Runtime};
use super::stop::Stopping;
use super::task_set::HandOver;
use super::trace_listening;
#[cfg(all(feature = "systemd", unix))]
use super::watchdog::Watchdog;
use crate::driver::{Clock, PendingConnection};
use crate::net::descriptors;

/// Connections that are accepted in one poll of the loop. Other tasks of its thread run between.
const TURN: usize = 64;

/// What stops a server.
pub(super) type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a server until it is stopped.
///
/// # Errors
/// If the listener cannot accept at all.
pub(super) async fn run<R, L, H>(
    runtime: R,
    listener: L,
    handler: H,
    mut config: ServerConfig,
    signal: Signal,
) -> io::Result<Summary>
where
    R: Runtime,
    L: Acceptor,
    H: RequestHandler,
{
    listener.check()?;
    if let Some(address) = listener.address() {
        trace_listening(&address);
    }
    config.asks_peer |= H::ASKS_PEER;
    let max = config.max_connections(descriptors::limit(), 1);
    let answer = answer::<L::Stream, R, H>;
    let connections = Connections::new(runtime, handler, config, max, answer);
    let mut accepting = Accepting::new(connections, listener, signal);
    poll_fn(|cx| accepting.poll_signal(cx)).await;
    let Accepting { connections, listener, .. } = accepting;
    let mut stopping = Stopping::new(connections, listener);
    Ok(poll_fn(|cx| stopping.poll_stopped(cx)).await)
}

/// A server that accepts connections.
struct Accepting<R: Runtime, L, H, A, F> {
    connections: Connections<R, H, A, F>,
    listener: L,
    signal: Signal,
    backoff: Backoff,
    /// When to accept again after accepting failed.
    retry_at: Option<Duration>,
    clock: R::Clock,
    #[cfg(all(feature = "systemd", unix))]
    watchdog: Option<Watchdog<R::Clock>>,
}

impl<R, L, H, A, F> Accepting<R, L, H, A, F>
where
    R: Runtime,
    L: Acceptor,
    H: RequestHandler,
    A: Fn(PendingConnection<L::Stream, R::Clock>, BytesMut, Arc<Server<R, H>>) -> F,
    F: Future<Output = Option<HandOver>> + Send + 'static,
{
    fn new(connections: Connections<R, H, A, F>, listener: L, signal: Signal) -> Self {
        let runtime = &connections.server.runtime;
        Self {
            listener,
            signal,
            backoff: Backoff::default(),
            retry_at: None,
            clock: runtime.clock(),
            #[cfg(all(feature = "systemd", unix))]
            watchdog: connections
                .server
                .config
                .notifier
                .map(|notifier| Watchdog::start(notifier, runtime.clock())),
            connections,
        }
    }

    /// Accepts and starts connections until the shutdown signal comes.
    fn poll_signal(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURN {
            if self.signal.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            #[cfg(all(feature = "systemd", unix))]
            if let Some(watchdog) = &mut self.watchdog {
                watchdog.poll(cx);
            }
            ready!(self.connections.poll_place(cx));
            ready!(self.poll_retry(cx));
            match ready!(self.listener.poll_accept(cx)) {
                Ok(stream) => {
                    self.backoff.accepted();
                    self.connections.start(stream, cx);
                }
                Err(error) => self.accept_failed(&error, cx),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_retry(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(at) = self.retry_at {
            while self.clock.now() < at {
                ready!(self.clock.poll_until(cx, at));
            }
            self.retry_at = None;
        }
        Poll::Ready(())
    }

    fn accept_failed(&mut self, error: &io::Error, cx: &Context<'_>) {
        let registry = &self.connections.server.config.registry;
        if descriptors::are_used_up(error) && registry.poll_evictable(cx).is_ready() {
            // The oldest connection without a head gives its descriptor to the next one.
            let _ = registry.evict_oldest();
        }
        let delay = self.backoff.after(error);
        self.retry_at = delay.map(|delay| self.clock.now().saturating_add(delay));
    }
}

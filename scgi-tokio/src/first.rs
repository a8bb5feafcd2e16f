//! What happens to a connection right after accept: most requests are there already.
//!
//! A front server connects when it has the request and sends it at once, so the first read
//! mostly succeeds. On a current-thread runtime the request is then answered on the spot, if the
//! handler need not wait: neither the reactor nor a task is involved. Whatever has to wait goes
//! on in a task of its own, so a slow handler does not hold up the accept loop. On a
//! multi-thread runtime each request gets a task, so that the threads share the work.

use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use scgi_proto::driver::{Admitted, Connection, with_scratch};
use scgi_proto::{AllowList, Config, Counters};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::handler::Handler;
use crate::stream::Stream;
use crate::transport::{Clock, Transport};

/// What all connections of a server share.
pub(crate) struct Shared<H, M> {
    pub(crate) handler: H,
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) allow_list: AllowList,
    pub(crate) asks_peer: bool,
    pub(crate) kind: PhantomData<fn() -> M>,
}

/// A connection that was just accepted: its stream and when that was.
pub(crate) struct Fresh {
    stream: Stream,
    accepted: Instant,
    admitted: Admitted,
}

impl Fresh {
    /// Lets a connection in, unless its peer may not connect.
    pub(crate) fn admit<H, M>(stream: Stream, shared: &Shared<H, M>) -> Option<Self> {
        let mut peer = None;
        if shared.asks_peer || !shared.allow_list.is_empty() {
            // A peer that broke the connection already is nobody to serve.
            let found = stream.peer().ok()?;
            if !shared.allow_list.allows(&found) {
                shared.counters.deny(&found);
                return None;
            }
            peer = Some(found);
        }
        let admitted = Admitted::new(shared.counters.accept(), peer);
        Some(Self { stream, accepted: Instant::now(), admitted })
    }
}

/// A connection on its way: with its first bytes.
pub(crate) struct Begun {
    fresh: Fresh,
    bytes: BytesMut,
}

/// Polls each connection's future once, in the accept loop; the memory for it is used again if
/// that one poll was enough.
pub(crate) struct FirstPoll<F> {
    place: Pin<Box<Option<F>>>,
    on_the_spot: bool,
}

impl<F: Future<Output = ()> + Send + 'static> FirstPoll<F> {
    pub(crate) fn new() -> Self {
        let flavor = Handle::current().runtime_flavor();
        Self { place: Box::pin(None), on_the_spot: flavor == RuntimeFlavor::CurrentThread }
    }

    /// Serves a connection that was just accepted, in place or in a task of `tasks`.
    pub(crate) async fn serve<Fut>(
        &mut self,
        fresh: Fresh,
        tasks: &mut JoinSet<()>,
        late: impl FnOnce(Fresh) -> Fut,
        answer: impl FnOnce(Begun) -> F,
    ) where
        Fut: Future<Output = ()> + Send + 'static,
    {
        if !self.on_the_spot {
            tasks.spawn(late(fresh));
            return;
        }
        let bytes = match read_first(&fresh.stream) {
            Ok(Some(bytes)) if !bytes.is_empty() => bytes,
            Ok(None) => {
                tasks.spawn(late(fresh));
                return;
            }
            // Closed without a byte, or broken already.
            Ok(Some(_)) | Err(_) => return,
        };
        self.place.set(Some(answer(Begun { fresh, bytes })));
        let done = poll_fn(|cx| {
            // A program's code may panic where its values are dropped; only that request ends.
            Poll::Ready(catch_unwind(AssertUnwindSafe(|| {
                let future = self.place.as_mut().as_pin_mut();
                let done = future.is_none_or(|future| future.poll(cx).is_ready());
                if done {
                    self.place.set(None);
                }
                done
            })))
        });
        if let Ok(true) | Err(_) = done.await {
            // Nothing is left, or what panicked: it is not polled again.
            let _ = catch_unwind(AssertUnwindSafe(|| self.place.set(None)));
        } else {
            let mut place = std::mem::replace(&mut self.place, Box::pin(None));
            tasks.spawn(poll_fn(move |cx| {
                place.as_mut().as_pin_mut().map_or(Poll::Ready(()), |future| future.poll(cx))
            }));
        }
    }
}

/// Waits for the first bytes of a connection, holding as little memory as that allows, then
/// answers it.
pub(crate) async fn late<H: Handler<M>, M: 'static>(mut fresh: Fresh, shared: Arc<Shared<H, M>>) {
    if let Some(bytes) = wait(&mut fresh, shared.config.head_timeout()).await {
        // Boxed, so that a connection that waits does not hold room for one that works.
        Box::pin(answer_stream(Begun { fresh, bytes }, shared)).await;
    }
}

/// Answers a connection whose first bytes have come.
pub(crate) fn answer_stream<H: Handler<M>, M: 'static>(
    begun: Begun,
    shared: Arc<Shared<H, M>>,
) -> impl Future<Output = ()> + Send {
    let Begun { fresh: Fresh { stream, accepted, admitted }, bytes } = begun;
    // Made here and not in the future, which would hold its parts as well.
    let (transport, clock) = (Transport(stream), Clock::since(accepted));
    let mut connection = Connection::received(transport, clock, &shared.config, admitted, bytes);
    connection.set_advice(|transport, advice| transport.0.advise(advice));
    async move {
        // An error of one connection concerns nobody else; its peer was told.
        let _ = connection.answer(|request| shared.handler.call(request)).await;
    }
}

/// `None` if the peer closed, broke the connection, was late, or has to make room.
async fn wait(fresh: &mut Fresh, timeout: Duration) -> Option<BytesMut> {
    let Fresh { stream, admitted, .. } = fresh;
    let mut deadline = pin!(fresh.accepted.checked_add(timeout).map(sleep_until));
    loop {
        match read_first(stream) {
            Ok(Some(bytes)) => return (!bytes.is_empty()).then_some(bytes),
            Ok(None) => {}
            Err(_) => return None,
        }
        let in_time = poll_fn(|cx| {
            if stream.poll_readable(cx).is_ready() {
                return Poll::Ready(true);
            }
            if admitted.poll_evicted(cx).is_ready() {
                return Poll::Ready(false);
            }
            match deadline.as_mut().as_pin_mut() {
                Some(deadline) => deadline.poll(cx).map(|()| false),
                None => Poll::Pending,
            }
        });
        if !in_time.await {
            return None;
        }
    }
}

/// Reads what is there: `None` if nothing is, empty if the peer closed.
fn read_first(stream: &Stream) -> io::Result<Option<BytesMut>> {
    with_scratch(|buf| {
        let count = stream.read_at_once(buf)?;
        Ok(count.map(|count| BytesMut::from(&buf[..count])))
    })
}

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
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use scgi_proto::driver::{Connection, InlineFuture, PendingConnection, with_read_buffer};
use scgi_proto::server::ServerConfig;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinSet;

use crate::handler::Handler;
use crate::stream::Stream;
use crate::transport::{Clock, Transport};

/// What all connections of a server share.
pub(crate) struct Shared<H, M> {
    pub(crate) handler: H,
    pub(crate) settings: ServerConfig,
    pub(crate) kind: PhantomData<fn() -> M>,
}

/// A connection that was just accepted.
pub(crate) type Fresh = PendingConnection<Transport<Stream>, Clock>;

/// Serves connections in the accept loop as far as that takes no waiting, else in tasks.
pub(crate) struct First<F> {
    place: InlineFuture<F>,
    on_the_spot: bool,
}

impl<F: Future<Output = ()> + Send + 'static> First<F> {
    pub(crate) fn new() -> Self {
        let flavor = Handle::current().runtime_flavor();
        Self { place: InlineFuture::new(), on_the_spot: flavor == RuntimeFlavor::CurrentThread }
    }

    /// Serves a connection that was just accepted, in place or in a task of `tasks`.
    pub(crate) async fn serve<Fut>(
        &mut self,
        fresh: Fresh,
        tasks: &mut JoinSet<()>,
        late: impl FnOnce(Fresh) -> Fut,
        answer: impl FnOnce(Fresh, BytesMut) -> F,
    ) where
        Fut: Future<Output = ()> + Send + 'static,
    {
        if !self.on_the_spot {
            tasks.spawn(late(fresh));
            return;
        }
        let bytes = match read_first(&fresh.transport().0) {
            Ok(Some(bytes)) if !bytes.is_empty() => bytes,
            Ok(None) => {
                tasks.spawn(late(fresh));
                return;
            }
            // Closed without a byte, or broken already.
            Ok(Some(_)) | Err(_) => return,
        };
        self.place.begin(answer(fresh, bytes));
        if let Some(rest) = poll_fn(|cx| Poll::Ready(self.place.poll(cx))).await {
            tasks.spawn(rest);
        }
    }
}

/// Reads what is there: `None` if nothing is, empty if the peer closed.
fn read_first(stream: &Stream) -> io::Result<Option<BytesMut>> {
    with_read_buffer(|buf| {
        let count = stream.read_at_once(buf)?;
        Ok(count.map(|count| BytesMut::from(&buf[..count])))
    })
}

/// Waits for the first bytes of a connection, holding as little memory as that allows, then
/// answers it.
#[expect(
    clippy::manual_async_fn,
    reason = "its future would hold each argument twice, and many of these wait"
)]
pub(crate) fn late<H: Handler<M>, M: 'static>(
    mut fresh: Fresh,
    shared: Arc<Shared<H, M>>,
) -> impl Future<Output = ()> + Send {
    async move {
        let timeout = || shared.settings.config.head_timeout();
        let first = poll_fn(|cx| fresh.poll_first(cx, timeout())).await;
        // Boxed, so that a connection that waits does not hold room for one that works.
        if let Some(answer) = first.map(|bytes| Box::pin(answer(fresh, bytes, shared))) {
            answer.await;
        }
    }
}

/// Answers a connection whose first bytes have come.
pub(crate) fn answer<H: Handler<M>, M: 'static>(
    fresh: Fresh,
    bytes: BytesMut,
    shared: Arc<Shared<H, M>>,
) -> impl Future<Output = ()> + Send {
    // Made here and not in the future, which would hold its parts as well.
    let mut connection = Connection::received(fresh, &shared.settings.config, bytes);
    async move {
        // An error of one connection concerns nobody else; its peer was told.
        let _ = connection.answer(|request| shared.handler.call(request)).await;
    }
}

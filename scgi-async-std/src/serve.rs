//! Serving on the runtimes that are built on async-io.

use std::future::Future;
use std::marker::PhantomData;

use scgi_proto::IntoResponse;
use scgi_proto::server::{self, RequestHandler};

use crate::handler::Handler;
use crate::listener::Listener;
use crate::message::{Body, Request};
use crate::runtime::AsyncIo;

/// A server about to run: set what differs from the defaults, then `.await` it.
pub type Serve<H, M> = server::Serve<AsyncIo, Listener, Served<H, M>>;

/// A server on this runtime.
pub(crate) fn serve<M, H: Handler<M>>(
    runtime: AsyncIo,
    listener: impl Into<Listener>,
    handler: H,
) -> Serve<H, M> {
    server::Serve::new(runtime, listener.into(), Served { handler, kind: PhantomData })
}

/// A [`Handler`] as the server of the core calls it; `serve` makes it.
#[derive(Debug)]
pub struct Served<H, M> {
    handler: H,
    kind: PhantomData<fn() -> M>,
}

impl<H: Handler<M>, M: 'static> RequestHandler for Served<H, M> {
    type Body = Body;
    const ASKS_PEER: bool = H::ASKS_PEER;

    fn call(&self, request: Request) -> impl Future<Output: IntoResponse<Body>> + Send {
        self.handler.call(request)
    }
}

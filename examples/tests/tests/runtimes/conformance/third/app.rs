//! The program on the third runtime.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use scgi_proto::driver::{self, BodyWrapper, Source};
use scgi_proto::server::{RequestHandler, Serve};
use scgi_proto::{Error, IntoResponse, KnownLength};

use super::{Listening, Third, run, sleep, spawn};
use crate::support::App;

/// The names that the program wants of an adapter.
mod third {
    pub(crate) use super::Body;
    pub(crate) use scgi_proto::{Error, Status};

    pub(crate) type Request = scgi_proto::Request<Body>;
    pub(crate) type Response = scgi_proto::Response<Body>;
}

async_answer!(third, sleep);

struct Answer;

impl RequestHandler for Answer {
    type Body = Body;

    fn call(&self, request: third::Request) -> impl Future<Output: IntoResponse<Body>> + Send {
        answer(request)
    }
}

/// A body with the methods that the program uses.
pub(crate) struct Body(driver::Body);

impl Body {
    fn from_stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(driver::Body::from_source(FromStream(Box::pin(stream)), None))
    }

    fn with_len(self, bytes: u64) -> Self {
        Self(self.0.with_len(bytes))
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.0.chunk().await
    }

    async fn collect(self, limit: usize) -> Result<Bytes, Error> {
        self.0.collect(limit).await
    }
}

impl<B: Into<Bytes>> From<B> for Body {
    fn from(bytes: B) -> Self {
        Self(driver::Body::from(bytes.into()))
    }
}

impl KnownLength for Body {
    fn known_length(&self) -> Option<u64> {
        self.0.len()
    }
}

impl BodyWrapper for Body {
    fn wrap(driver: driver::Body) -> Self {
        Self(driver)
    }

    fn into_inner(self) -> driver::Body {
        self.0
    }
}

/// A body whose chunks come from a stream.
struct FromStream<S>(Pin<Box<S>>);

impl<S: Stream<Item = io::Result<Bytes>> + Send> Source for FromStream<S> {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.0.as_mut().poll_next(cx).map_err(|error| Error::Body(error.into()))
    }
}

/// Starts it.
pub(crate) fn app() -> App {
    App::start(|unix, ready| {
        let unix = UnixListener::bind(unix).expect("a Unix listener");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a TCP listener");
        let address = tcp.local_addr().expect("its address");
        unix.set_nonblocking(true).expect("a mode");
        tcp.set_nonblocking(true).expect("a mode");
        for listener in [OwnedFd::from(tcp), unix.into()] {
            let serving = Serve::new(Third, Listening(Arc::new(listener)), Answer).into_future();
            spawn(Box::pin(async { _ = serving.await }));
        }
        ready(address);
        run();
    })
}

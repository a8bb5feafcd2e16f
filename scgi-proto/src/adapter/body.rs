//! How the body of an asynchronous adapter is made of streams and readers, and is a stream itself.

use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::driver::{Body, Source};
use crate::error::{BoxError, Error};

/// How an adapter reads from a program's reader of type `R`.
pub trait Reads<R> {
    /// Appends at most [`READER_CHUNK`] bytes to `buf`, which has room for them, and returns how many;
    /// 0 is the end.
    fn poll_append(
        reader: Pin<&mut R>,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<usize>>;
}

/// How much is read from a program's reader at once: two such chunks fill a socket's usual
/// buffer share without holding much memory.
pub const READER_CHUNK: usize = 16 * 1024;

impl<A> Body<A> {
    /// A body whose chunks come from a stream, of unknown length.
    ///
    /// Small chunks that are ready one after the other leave together, up to 16 KiB; all of them have
    /// left before the stream is waited for.
    pub fn from_stream<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self::from_source(FromStream { stream }, None)
    }

    /// A body that is read from `reader`, which has the `AsyncRead` of the adapter, until its end: of
    /// unknown length, in chunks of at most 16 KiB.
    pub fn from_reader<R>(reader: R) -> Self
    where
        R: Send + 'static,
        A: Reads<R> + 'static,
    {
        let adapter = PhantomData::<fn() -> A>;
        Self::from_source(FromReader { reader, buf: BytesMut::new(), adapter }, None)
    }
}

impl<A> Stream for Body<A> {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
    }
}

pin_project! {
    struct FromStream<S> {
        #[pin]
        stream: S,
    }
}

impl<S, E> Source for FromStream<S>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<BoxError>,
{
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let chunk = ready!(self.project().stream.poll_next(cx));
        Poll::Ready(chunk.map(|chunk| chunk.map_err(|error| Error::Body(error.into()))))
    }
}

pin_project! {
    struct FromReader<A, R> {
        #[pin]
        reader: R,
        buf: BytesMut,
        adapter: PhantomData<fn() -> A>,
    }
}

impl<A: Reads<R>, R: Send> Source for FromReader<A, R> {
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let this = self.project();
        this.buf.reserve(READER_CHUNK);
        match ready!(A::poll_append(this.reader, cx, this.buf)) {
            Ok(0) => Poll::Ready(None),
            Ok(_) => Poll::Ready(Some(Ok(this.buf.split().freeze()))),
            Err(error) => Poll::Ready(Some(Err(Error::Body(error.into())))),
        }
    }
}

//! Bodies of requests and responses: bytes at hand, or streamed.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use pin_project_lite::pin_project;
use scgi_proto::driver::{self, BodyWrapper, Source};
use scgi_proto::{BoxError, Error, KnownLength, UpgradeBody};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use crate::upgraded::Upgraded;

/// The body of a request or response: nothing, bytes at hand, or a stream of chunks.
///
/// Read it chunk by chunk ([`chunk`](driver::Body::chunk)), as an [`AsyncRead`], as a [`Stream`], or
/// all at once up to a limit ([`collect`](Self::collect)). Streams are pulled: nothing is read
/// from the peer or from the program's source before it is wanted.
///
/// # Examples
/// ```
/// use scgi_tokio::Body;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), scgi_tokio::Error> {
/// let body = Body::from("hello");
/// assert_eq!(body.len(), Some(5));
/// assert_eq!(body.collect(1024).await?, "hello");
/// # Ok(()) }
/// ```
#[derive(Default)]
pub struct Body {
    driver: driver::Body,
}

impl Body {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::wrap(driver::Body::empty())
    }

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

    /// A body that is read from `reader` until its end, of unknown length, in chunks of at most
    /// 16 KiB.
    pub fn from_reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::from_source(FromReader { reader, buf: BytesMut::new() }, None)
    }

    /// States the length in bytes of a streamed body, which becomes its Content-Length. `u64::MAX`
    /// states none.
    #[must_use]
    pub fn with_len(self, bytes: u64) -> Self {
        Self::wrap(self.driver.with_len(bytes))
    }

    pub(crate) fn from_source(source: impl Source + 'static, len: Option<u64>) -> Self {
        Self::wrap(driver::Body::from_source(source, len))
    }

    /// Reads the whole body into one piece of memory.
    ///
    /// # Errors
    /// [`Error::BodyLimit`] if it has more than `limit` bytes, before they are read where the
    /// length is known; else as [`chunk`](driver::Body::chunk).
    ///
    /// # Cancel safety
    /// What was read is lost: the body is gone with the future.
    pub async fn collect(self, limit: usize) -> Result<Bytes, Error> {
        self.driver.collect(limit).await
    }
}

/// The methods that read it chunk by chunk are in [`driver::Body`].
impl Deref for Body {
    type Target = driver::Body;

    fn deref(&self) -> &driver::Body {
        &self.driver
    }
}

impl DerefMut for Body {
    fn deref_mut(&mut self) -> &mut driver::Body {
        &mut self.driver
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.driver.fmt(f)
    }
}

impl KnownLength for Body {
    fn known_length(&self) -> Option<u64> {
        self.len()
    }
}

impl<B> From<B> for Body
where
    Bytes: From<B>,
{
    fn from(bytes: B) -> Self {
        Self::wrap(bytes.into())
    }
}

impl BodyWrapper for Body {
    fn wrap(driver: driver::Body) -> Self {
        Self { driver }
    }

    fn into_inner(self) -> driver::Body {
        self.driver
    }
}

impl UpgradeBody for Body {
    type Upgraded = Upgraded;

    fn take_upgraded(&mut self) -> Option<Upgraded> {
        self.driver.take_upgraded().map(Upgraded::from)
    }
}

impl AsyncRead for Body {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(self.driver.poll_fill_buf(cx))?;
        let count = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..count]);
        self.driver.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl Stream for Body {
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
    struct FromReader<R> {
        #[pin]
        reader: R,
        buf: BytesMut,
    }
}

/// How much is read from a program's reader at once: two such chunks read_once a socket's usual
/// buffer share without holding much memory.
const READER_CHUNK: usize = 16 * 1024;

impl<R: AsyncRead + Send> Source for FromReader<R> {
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let this = self.project();
        this.buf.reserve(READER_CHUNK);
        match ready!(poll_read_buf(this.reader, cx, this.buf)) {
            Ok(0) => Poll::Ready(None),
            Ok(_) => Poll::Ready(Some(Ok(this.buf.split().freeze()))),
            Err(error) => Poll::Ready(Some(Err(Error::Body(error.into())))),
        }
    }
}

//! The body that adapters wrap: bytes at hand, or a stream of chunks to be polled.

mod body_collector;
mod pipe;

use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::num::NonZeroU64;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::boxed::Box;

use bytes::{Buf, Bytes};

pub use self::body_collector::BodyCollector;
pub use self::pipe::{Demand, PipeReader, PipeWriter, body_pipe};
use super::upgrade_program::UpgradeProgram;
use super::upgraded::Upgraded;
use crate::error::Error;
use crate::message::{FromUpgrade, KnownLength, UpgradeBody, UpgradeOutcome};

/// The body of a request or response: nothing, bytes at hand, or a stream of chunks.
///
/// Streams are pulled: nothing is read from the peer or from the program's source before it is
/// wanted.
///
/// Read it chunk by chunk ([`chunk`](Self::chunk)), all at once up to a limit
/// ([`collect`](Self::collect)), or with the read traits that features add. `A` is the asynchronous
/// adapter whose readers can become a body; what a driver itself makes has none.
///
/// # Examples
/// ```
/// use core::task::{Context, Poll, Waker};
/// use scgi_proto::driver::Body;
///
/// let mut cx = Context::from_waker(Waker::noop());
/// let mut body: Body = Body::from("hello");
/// assert_eq!(body.len(), Some(5));
/// assert!(matches!(body.poll_fill_buf(&mut cx), Poll::Ready(Ok(b"hello"))));
/// body.consume(4);
/// assert_eq!(body.remaining(), Some(1));
/// assert!(matches!(body.poll_chunk(&mut cx), Poll::Ready(Some(Ok(o))) if o == "o"));
/// ```
pub struct Body<A = ()> {
    /// The bytes at hand: all of them, or what was taken from the source to be read in parts.
    chunk: Bytes,
    more: More,
    len: Length,
    /// Bytes that were handed out.
    read: u64,
    adapter: PhantomData<fn() -> A>,
}

/// Where further chunks come from.
#[derive(Default)]
enum More {
    #[default]
    Nowhere,
    Pipe(PipeReader),
    Source(Pin<Box<dyn Source>>),
    /// Nowhere: the connection changes its protocol.
    Program(Box<UpgradeProgram>),
    /// Nowhere: the connection has changed its protocol.
    Upgraded(Box<Upgraded>),
    /// An error was reported.
    Failed,
}

/// Empty chunks that a source may give in a row before the runtime gets its turn.
const EMPTY_CHUNKS: usize = 16;

/// A length that may be unknown, in the room of a number, as bodies are part of every waiting
/// request: it is kept as its complement, which is zero for no length that a body can have.
#[derive(Clone, Copy, Default)]
struct Length(Option<NonZeroU64>);

impl Length {
    fn new(len: u64) -> Self {
        Self(NonZeroU64::new(!len))
    }

    fn get(self) -> Option<u64> {
        self.0.map(|complement| !complement.get())
    }
}

/// The next chunk of a body; made by [`Body::chunk`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct NextChunk<'a, A = ()> {
    body: &'a mut Body<A>,
    waits: bool,
}

impl<A> Future for NextChunk<'_, A> {
    type Output = Result<Option<Bytes>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let chunk = self.body.poll_chunk(cx);
        self.waits = chunk.is_pending();
        chunk.map(Option::transpose)
    }
}

impl<A> Drop for NextChunk<'_, A> {
    fn drop(&mut self) {
        if self.waits {
            self.body.withdraw();
        }
    }
}

/// Where the chunks of a streamed body come from.
pub trait Source: Send {
    /// Waits for the next chunk, which may be empty; `None` after the last.
    ///
    /// # Errors
    /// Why there is none; for a program's own source [`Error::Body`].
    fn poll_chunk(self: Pin<&mut Self>, cx: &mut Context<'_>)
    -> Poll<Option<Result<Bytes, Error>>>;

    /// Whether it may wait within [`poll_chunk`](Self::poll_chunk), as those of a blocking adapter
    /// do. What was sent before then leaves before it is asked. `false` unless it is written.
    fn blocks(&self) -> bool {
        false
    }
}

impl<A> Body<A> {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            chunk: Bytes::new(),
            more: More::Nowhere,
            len: Length::new(0),
            read: 0,
            adapter: PhantomData,
        }
    }

    /// A body that is streamed, whose length is perhaps known.
    pub fn from_source(source: impl Source + 'static, len: Option<u64>) -> Self {
        let len = len.map_or_else(Length::default, Length::new);
        Self {
            chunk: Bytes::new(),
            more: More::Source(Box::pin(source)),
            len,
            read: 0,
            adapter: PhantomData,
        }
    }

    /// A body whose `first` chunk is there, and the rest comes through a pipe.
    pub(super) fn from_pipe(first: Bytes, pipe: PipeReader, len: u64) -> Self {
        Self {
            chunk: first,
            more: More::Pipe(pipe),
            len: Length::new(len),
            read: 0,
            adapter: PhantomData,
        }
    }

    /// No body, and the program that takes the connection instead.
    pub(super) fn from_program(program: Box<UpgradeProgram>) -> Self {
        Self { more: More::Program(program), ..Self::empty() }
    }

    /// No body, and the connection behind the head of a 101.
    pub(super) fn from_upgraded(upgraded: Upgraded) -> Self {
        Self { more: More::Upgraded(Box::new(upgraded)), ..Self::empty() }
    }

    /// Whether it has a program that takes the connection.
    pub(super) fn has_program(&self) -> bool {
        matches!(self.more, More::Program(_))
    }

    /// The program that takes the connection, if it has one.
    pub(super) fn into_program(self) -> Option<Box<UpgradeProgram>> {
        match self.more {
            More::Program(program) => Some(program),
            _ => None,
        }
    }

    /// States the length in bytes of a streamed body. `u64::MAX` states none.
    #[must_use]
    pub fn with_len(mut self, bytes: u64) -> Self {
        self.len = Length::new(bytes);
        self
    }

    /// The same bytes, of a length that is not stated.
    #[must_use]
    pub fn without_len(mut self) -> Self {
        self.len = Length::default();
        self
    }

    /// Whether its chunks have to be waited for.
    pub fn is_streamed(&self) -> bool {
        matches!(self.more, More::Pipe(_) | More::Source(_) | More::Failed)
    }

    /// Whether its source may wait by itself; see [`Source::blocks`].
    pub(super) fn blocks(&self) -> bool {
        matches!(&self.more, More::Source(source) if source.blocks())
    }

    /// The length in bytes of the whole body, where it is known.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an unknown length is neither")]
    pub fn len(&self) -> Option<u64> {
        self.len.get()
    }

    /// Bytes still to come, where that is known.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        self.len().map(|len| len.saturating_sub(self.read))
    }

    /// As [`chunk`](Self::chunk), to be polled.
    ///
    /// # Errors
    /// What went wrong with the connection or with the source of the body, once;
    /// [`Error::Closed`] afterwards.
    #[inline]
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let chunk = if self.chunk.is_empty() {
            ready!(self.poll_more(cx))
        } else {
            Some(Ok(core::mem::take(&mut self.chunk)))
        };
        if let Some(Ok(chunk)) = &chunk {
            self.read += chunk.len() as u64;
        }
        Poll::Ready(chunk)
    }

    /// Waits for the next chunk, never empty; `None` after the last.
    ///
    /// # Errors
    /// What went wrong with the connection or with the source of the body.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost, and the deadline of the body ends.
    pub fn chunk(&mut self) -> NextChunk<'_, A> {
        NextChunk { body: self, waits: false }
    }

    /// Reports that no one waits for the next chunk any more, although it was polled for.
    fn withdraw(&mut self) {
        if let More::Pipe(pipe) = &mut self.more {
            pipe.withdraw();
        }
    }

    #[inline]
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        for _ in 0..EMPTY_CHUNKS {
            let chunk = match &mut self.more {
                More::Nowhere | More::Program(_) | More::Upgraded(_) => None,
                More::Pipe(pipe) => ready!(pipe.poll_chunk(cx)),
                More::Source(source) => ready!(source.as_mut().poll_chunk(cx)),
                More::Failed => Some(Err(Error::Closed)),
            };
            match &chunk {
                Some(Ok(bytes)) if bytes.is_empty() => continue,
                // The source is dropped, which closes the connection that it may read from.
                Some(Err(_)) => self.more = More::Failed,
                None if matches!(self.more, More::Source(_)) => self.more = More::Nowhere,
                Some(Ok(_)) | None => {}
            }
            return Poll::Ready(chunk);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Waits for bytes to read from; none at the end. What was read is to be
    /// [consumed](Self::consume).
    ///
    /// # Errors
    /// As [`poll_chunk`](Self::poll_chunk).
    pub fn poll_fill_buf(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Error>> {
        if self.chunk.is_empty() {
            if let Some(chunk) = ready!(self.poll_more(cx)) {
                self.chunk = chunk?;
            }
        }
        Poll::Ready(Ok(&self.chunk))
    }

    /// Reports that the first `count` bytes were read.
    ///
    /// # Panics
    /// If `count` is more than there were.
    pub fn consume(&mut self, count: usize) {
        self.chunk.advance(count);
        self.read += count as u64;
    }

    /// Reads the rest of the body away.
    ///
    /// # Errors
    /// As [`poll_chunk`](Self::poll_chunk).
    ///
    /// # Cancel safety
    /// Safe: a later call continues.
    pub async fn discard(&mut self) -> Result<(), Error> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }

    /// Reads the whole body into one piece of memory.
    ///
    /// # Errors
    /// [`Error::BodyLimit`] if it has more than `limit` bytes, before they are read where the
    /// length is known; else as [`poll_chunk`](Self::poll_chunk).
    ///
    /// # Cancel safety
    /// What was read is lost: the body is gone with the future.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, Error> {
        let mut all = BodyCollector::new(limit, self.len())?;
        while let Some(chunk) = self.chunk().await? {
            all.push(chunk)?;
        }
        Ok(all.finish())
    }
}

/// The body type of an adapter: a [`Body`], with the read traits of its runtime.
pub trait BodyWrapper {
    /// Wraps a body.
    fn wrap(body: Body) -> Self;

    /// What is wrapped.
    fn into_inner(self) -> Body;
}

impl<A> BodyWrapper for Body<A> {
    #[inline]
    fn wrap(body: Body) -> Self {
        let Body { chunk, more, len, read, .. } = body;
        Self { chunk, more, len, read, adapter: PhantomData }
    }

    #[inline]
    fn into_inner(self) -> Body {
        let Self { chunk, more, len, read, .. } = self;
        Body { chunk, more, len, read, adapter: PhantomData }
    }
}

impl<A> UpgradeBody for Body<A> {
    type Upgraded = Upgraded;

    fn take_upgraded(&mut self) -> Option<Upgraded> {
        match core::mem::take(&mut self.more) {
            More::Upgraded(upgraded) => Some(*upgraded),
            more => {
                self.more = more;
                None
            }
        }
    }
}

/// The empty body.
impl<A> Default for Body<A> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<A> KnownLength for Body<A> {
    fn known_length(&self) -> Option<u64> {
        self.len()
    }
}

impl<A, B> From<B> for Body<A>
where
    Bytes: From<B>,
{
    fn from(bytes: B) -> Self {
        let chunk = Bytes::from(bytes);
        let len = Length::new(chunk.len() as u64);
        Self { chunk, more: More::Nowhere, len, read: 0, adapter: PhantomData }
    }
}

impl<A> fmt::Debug for Body<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<B, R> FromUpgrade<R> for B
where
    B: BodyWrapper + UpgradeBody<Upgraded: From<Upgraded> + 'static>,
    R: Future<Output: UpgradeOutcome> + Send + 'static,
{
    fn from_upgrade(program: impl FnOnce(B::Upgraded) -> R + Send + 'static) -> Self {
        let program = UpgradeProgram::new(|io| program(io.into()));
        Self::wrap(Body::from_program(program))
    }
}

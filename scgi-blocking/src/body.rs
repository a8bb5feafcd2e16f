//! Bodies of requests and responses: bytes at hand, or streamed.

use std::fmt;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use scgi_proto::driver::{self, BodyCollector};
use scgi_proto::{BoxError, Error, FromUpgrade, KnownLength, UpgradeBody, UpgradeOutcome};

use crate::upgraded::{Program, Upgraded};

/// The body of a request or response: nothing, bytes at hand, or a stream of chunks.
///
/// Read it chunk by chunk ([`chunk`](Self::chunk), or in a `for` loop), through [`Read`], or all
/// at once up to a limit ([`collect`](Self::collect)). Streams are pulled: nothing is read from
/// the peer or from the program's source before it is wanted.
///
/// The streamed body of a request shares the connection with its response. It may become part of
/// the response, or be read on another thread while the response is sent. Once the response is
/// sent, it cannot be read any more.
///
/// # Examples
/// ```
/// use scgi_blocking::Body;
/// let body = Body::from("hello");
/// assert_eq!(body.len(), Some(5));
/// assert_eq!(body.collect(1024)?, "hello");
/// # Ok::<(), scgi_blocking::Error>(())
/// ```
#[derive(Default)]
pub struct Body {
    inner: driver::Body,
    /// A program's function that writes it, and the length of that where it is known.
    writer: Option<(WriteBody, Option<u64>)>,
    /// Boxed, because most bodies are something else.
    upgrade: Option<Box<Upgrade>>,
    /// The error was reported.
    has_failed: bool,
}

/// What there is of a 101 instead of a body.
enum Upgrade {
    /// What the program does with the connection.
    Program(Program),
    /// A client's connection.
    Connection(Upgraded),
}

/// Where the chunks of a streamed body come from.
pub(crate) trait Source: Send {
    /// Waits for the next chunk; `None` after the last.
    fn chunk(&mut self) -> Result<Option<Bytes>, Error>;
}

/// A source in the form of the core: it is always ready, as it waits by itself.
struct Waiting<S>(S);

/// It is not pinned: whoever polls it may move it.
impl<S> Unpin for Waiting<S> {}

impl<S: Source> driver::Source for Waiting<S> {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        Poll::Ready(self.0.chunk().transpose())
    }

    fn blocks(&self) -> bool {
        true
    }
}

/// What a poll of a body gave.
fn ready<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(ready) => ready,
        Poll::Pending => unreachable!("the sources of this crate wait by themselves"),
    }
}

/// A program's function that writes a body.
pub(crate) type WriteBody = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

impl Body {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(driver::Body::empty())
    }

    /// Field by field: of a default that is filled in, the rest would have to be dropped.
    fn of(inner: driver::Body) -> Self {
        Self { inner, writer: None, upgrade: None, has_failed: false }
    }

    /// A body whose chunks come from an iterator, of unknown length. Each leaves before the next is
    /// asked for.
    ///
    /// # Examples
    /// ```
    /// use scgi_blocking::Body;
    /// let lines = (1..=3).map(|n| Ok::<_, std::io::Error>(format!("{n}\n").into()));
    /// assert_eq!(Body::from_chunks(lines).collect(100)?, "1\n2\n3\n");
    /// # Ok::<(), scgi_blocking::Error>(())
    /// ```
    pub fn from_chunks<I, E>(chunks: I) -> Self
    where
        I: IntoIterator<Item = Result<Bytes, E>>,
        I::IntoIter: Send + 'static,
        E: Into<BoxError>,
    {
        Self::from_source(FromChunks(chunks.into_iter()), None)
    }

    /// A body that is read from `reader` until its end, of unknown length, in chunks of at most
    /// 16 KiB.
    pub fn from_reader(reader: impl Read + Send + 'static) -> Self {
        Self::from_source(FromReader { reader, buf: BytesMut::new() }, None)
    }

    /// A body that a function writes, of unknown length.
    ///
    /// As the body of a response it is sent while it is written, in pieces of 16 KiB or as the
    /// function flushes. A write fails if the connection fails, or if the body becomes longer than
    /// its length ([`with_len`](Self::with_len)). After that every write fails, and the response
    /// does not look complete, whatever the function returns. Anywhere else the body is written to
    /// memory first.
    ///
    /// # Examples
    /// ```
    /// use scgi_blocking::Body;
    /// let body = Body::from_writer(|out| {
    ///     write!(out, "{} bottles", 99)?;
    ///     out.flush() // leaves now
    /// });
    /// assert_eq!(body.collect(100)?, "99 bottles");
    /// # Ok::<(), scgi_blocking::Error>(())
    /// ```
    pub fn from_writer(
        write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self { writer: Some((Box::new(write), None)), ..Self::default() }
    }

    /// States the length in bytes of a streamed body, which becomes its Content-Length. `u64::MAX`
    /// states none.
    #[must_use]
    pub fn with_len(mut self, bytes: u64) -> Self {
        match &mut self.writer {
            Some((_, len)) => *len = Some(bytes),
            None => self.inner = self.inner.with_len(bytes),
        }
        self
    }

    pub(crate) fn from_source(source: impl Source + 'static, len: Option<u64>) -> Self {
        Self::of(driver::Body::from_source(Waiting(source), len))
    }

    /// Whether its chunks have to be waited for.
    pub(crate) fn is_streamed(&self) -> bool {
        self.inner.is_streamed()
    }

    /// Takes out the function that writes the body, if that is what it is made of.
    pub(crate) fn take_writer(&mut self) -> Option<WriteBody> {
        self.writer.take().map(|(write, _)| write)
    }

    /// Takes out what the program does with the connection after a 101.
    pub(crate) fn take_program(&mut self) -> Option<Program> {
        match *self.upgrade.take()? {
            Upgrade::Program(program) => Some(program),
            Upgrade::Connection(_) => None,
        }
    }

    /// No body, and a client's connection behind the head of a 101.
    pub(crate) fn from_upgraded(io: Upgraded) -> Self {
        Self { upgrade: Some(Box::new(Upgrade::Connection(io))), ..Self::default() }
    }

    /// The body as the core has it.
    pub(crate) fn into_inner(self) -> driver::Body {
        let Some((write, len)) = self.writer else { return self.inner };
        driver::Body::from_source(Waiting(FromWriter(Some(write))), len)
    }

    /// The length in bytes of the whole body, where it is known.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an unknown length is neither")]
    pub fn len(&self) -> Option<u64> {
        match &self.writer {
            Some((_, len)) => *len,
            None => self.inner.len(),
        }
    }

    /// Waits for the next chunk, never empty; `None` after the last.
    ///
    /// # Errors
    /// What went wrong with the connection or with the source of the body, once;
    /// [`Error::Closed`] afterwards.
    #[inline]
    pub fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.begin()?;
        let chunk = ready(self.inner.poll_chunk(&mut Context::from_waker(Waker::noop())));
        chunk.transpose().inspect_err(|_| self.has_failed = true)
    }

    /// Has a body that is written somewhere else than to a connection written to memory.
    #[inline]
    fn begin(&mut self) -> Result<(), Error> {
        if self.has_failed {
            return Err(Error::Closed);
        }
        if self.writer.is_some() {
            self.inner = core::mem::take(self).into_inner();
        }
        Ok(())
    }

    /// Reads the rest of the body away.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub fn discard(&mut self) -> Result<(), Error> {
        while self.chunk()?.is_some() {}
        Ok(())
    }

    /// Reads the whole body into one piece of memory.
    ///
    /// # Errors
    /// [`Error::BodyLimit`] if it has more than `limit` bytes, before they are read where the
    /// length is known; else as [`chunk`](Self::chunk).
    pub fn collect(mut self, limit: usize) -> Result<Bytes, Error> {
        let mut all = BodyCollector::new(limit, self.len())?;
        while let Some(chunk) = self.chunk()? {
            all.push(chunk)?;
        }
        Ok(all.finish())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("len", &self.len()).finish_non_exhaustive()
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
        Self::of(driver::Body::from(bytes))
    }
}

impl UpgradeBody for Body {
    type Upgraded = Upgraded;

    fn take_upgraded(&mut self) -> Option<Upgraded> {
        match *self.upgrade.take_if(|upgrade| matches!(**upgrade, Upgrade::Connection(_)))? {
            Upgrade::Connection(io) => Some(io),
            Upgrade::Program(_) => None,
        }
    }
}

impl<R: UpgradeOutcome> FromUpgrade<R> for Body {
    fn from_upgrade(program: impl FnOnce(Upgraded) -> R + Send + 'static) -> Self {
        let program = Program::new(|io| program(io).into_result());
        Self { upgrade: Some(Box::new(Upgrade::Program(program))), ..Self::default() }
    }
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.begin()?;
        let chunk = ready(self.inner.poll_fill_buf(&mut Context::from_waker(Waker::noop())));
        let chunk = chunk.inspect_err(|_| self.has_failed = true)?;
        let count = chunk.len().min(buf.len());
        buf[..count].copy_from_slice(&chunk[..count]);
        self.inner.consume(count);
        Ok(count)
    }
}

impl IntoIterator for Body {
    type Item = Result<Bytes, Error>;
    type IntoIter = Chunks;

    fn into_iter(self) -> Chunks {
        Chunks { body: self }
    }
}

/// The chunks of a [`Body`]; ends after an error.
#[derive(Debug)]
pub struct Chunks {
    body: Body,
}

impl Iterator for Chunks {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.body.has_failed { None } else { self.body.chunk().transpose() }
    }
}

struct FromChunks<I>(I);

impl<I, E> Source for FromChunks<I>
where
    I: Iterator<Item = Result<Bytes, E>> + Send,
    E: Into<BoxError>,
{
    fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.0.next().transpose().map_err(|error| Error::Body(error.into()))
    }
}

/// What a function writes to memory.
struct FromWriter(Option<WriteBody>);

impl Source for FromWriter {
    fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(write) = self.0.take() else { return Ok(None) };
        let mut memory = Vec::new();
        write(&mut memory).map_err(|error| Error::Body(error.into()))?;
        Ok(Some(memory.into()))
    }
}

struct FromReader<R> {
    reader: R,
    buf: BytesMut,
}

/// How much is read from a program's reader, or taken from its writer, at once: two such chunks
/// fill a socket's usual buffer without holding much memory.
pub(crate) const CHUNK: usize = 16 * 1024;

impl<R: Read + Send> Source for FromReader<R> {
    fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.buf.resize(CHUNK, 0);
        loop {
            match self.reader.read(&mut self.buf) {
                Ok(0) => return Ok(None),
                Ok(count) => return Ok(Some(self.buf.split_to(count).freeze())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Body(error.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing() -> Body {
        Body::from_chunks([Ok("ab".into()), Err("no"), Ok("cd".into())])
    }

    #[test]
    fn an_error_ends_the_body_and_is_told_once() {
        let mut body = failing();
        assert!(matches!(body.chunk(), Ok(Some(chunk)) if chunk == "ab"));
        assert!(matches!(body.chunk(), Err(Error::Body(_))));
        assert!(matches!(body.chunk(), Err(Error::Closed)));
        assert_eq!(failing().into_iter().count(), 2);
    }

    #[test]
    fn small_reads_join_to_the_whole() {
        let mut body = Body::from_reader(&b"hello world"[..]);
        let mut all = Vec::new();
        let mut buf = [0; 4];
        loop {
            match body.read(&mut buf).expect("no error") {
                0 => break,
                count => all.extend_from_slice(&buf[..count]),
            }
        }
        assert_eq!(all, b"hello world");
    }

    #[test]
    fn default_is_the_empty_body_and_a_writer_has_no_length_of_its_own() {
        assert_eq!((Body::default().len(), Body::empty().len()), (Some(0), Some(0)));
        let writer = || Body::from_writer(|out| out.write_all(b"abc"));
        assert_eq!((writer().len(), writer().with_len(3).len()), (None, Some(3)));
        assert_eq!(writer().collect(3).expect("no error"), "abc");
    }

    #[test]
    fn limits() {
        assert!(matches!(Body::from("abc").collect(2), Err(Error::BodyLimit(2))));
        assert!(matches!(Body::from_reader(&b"abc"[..]).collect(2), Err(Error::BodyLimit(2))));
        assert_eq!(Body::empty().collect(0).expect("no error"), "");
        let chunks =
            || Body::from_chunks(["a", "", "b", "c"].map(|c| Ok::<_, io::Error>(c.into())));
        assert!(matches!(chunks().collect(2), Err(Error::BodyLimit(2))));
        assert_eq!(chunks().collect(3).expect("no error"), "abc");
    }
}

//! Bodies whose length is not known ahead: SCGI sends the length first, so they are read whole,
//! into little memory and then into files without a name.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead as _, AsyncSeekExt as _, AsyncWriteExt as _, ReadBuf};

use super::upload::{UploadBody, UploadError};

/// A body takes at most this much of the memory of all: so a few large ones do not fill it.
const MEMORY_EACH: usize = 64 * 1024;

/// Read from a file at a time.
const READ: usize = 64 * 1024;

/// Where bodies wait.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    memory: Arc<Budget>,
    files: Arc<Budget>,
}

impl Spool {
    /// At most so many bytes of all bodies in memory, and in files in `dir`.
    pub(crate) fn new(dir: &Path, memory: u64, files: u64) -> Self {
        Self { dir: dir.to_owned(), memory: Budget::new(memory), files: Budget::new(files) }
    }

    /// Reads all of a body.
    pub(crate) async fn collect(&self, mut body: UploadBody) -> Result<Spooled, UploadError> {
        let mut memory = Share::of(&self.memory);
        let mut start = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame?.into_data() else { continue };
            if start.len() + chunk.len() > MEMORY_EACH || !memory.take(chunk.len() as u64) {
                return self.collect_in_file(start, memory, chunk, body).await;
            }
            start.extend_from_slice(&chunk);
        }
        let len = start.len() as u64;
        Ok(Spooled { content: Content::Memory(start.freeze()), left: len, _share: memory })
    }

    /// Continues in a file. It has no name, so nothing is left of it however this process ends.
    async fn collect_in_file(
        &self,
        start: BytesMut,
        memory: Share,
        chunk: Bytes,
        mut body: UploadBody,
    ) -> Result<Spooled, UploadError> {
        let mut share = Share::of(&self.files);
        let dir = self.dir.clone();
        let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(dir)).await;
        let file = file.map_err(io::Error::other).and_then(|file| file);
        let mut file = File::from_std(file.map_err(UploadError::Spool)?);
        file.set_max_buf_size(READ);
        let mut len = 0;
        for chunk in [&start[..], &chunk] {
            len += write(&mut file, chunk, &mut share).await?;
        }
        drop((start, memory, chunk));
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame?.into_data() else { continue };
            len += write(&mut file, &chunk, &mut share).await?;
        }
        file.flush().await.map_err(UploadError::Spool)?;
        file.rewind().await.map_err(UploadError::Spool)?;
        Ok(Spooled { content: Content::File(file, Vec::new()), left: len, _share: share })
    }
}

async fn write(file: &mut File, chunk: &[u8], share: &mut Share) -> Result<u64, UploadError> {
    let len = chunk.len() as u64;
    if !share.take(len) {
        return Err(UploadError::NoSpace);
    }
    file.write_all(chunk).await.map_err(UploadError::Spool)?;
    Ok(len)
}

/// A number of bytes that all bodies share.
#[derive(Debug)]
struct Budget {
    left: AtomicU64,
}

impl Budget {
    fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(bytes) })
    }
}

/// What one body has of a [`Budget`]; it goes back with the value.
#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Share {
    fn of(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// Whether there were so many.
    fn take(&mut self, bytes: u64) -> bool {
        let taken = self
            .budget
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        self.bytes += if taken.is_ok() { bytes } else { 0 };
        taken.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// A body that was read whole.
#[derive(Debug)]
pub(crate) struct Spooled {
    content: Content,
    left: u64,
    _share: Share,
}

#[derive(Debug)]
enum Content {
    Memory(Bytes),
    /// With what the next chunk is read into.
    File(File, Vec<u8>),
}

impl Body for Spooled {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let chunk = match &mut this.content {
            Content::Memory(bytes) => std::mem::take(bytes),
            Content::File(file, buf) => ready!(poll_chunk(Pin::new(file), buf, cx))?,
        };
        if chunk.is_empty() {
            return Poll::Ready(Some(Err(ErrorKind::UnexpectedEof.into())));
        }
        this.left = this.left.saturating_sub(chunk.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn poll_chunk(
    file: Pin<&mut File>,
    chunk: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Bytes>> {
    chunk.resize(READ, 0);
    let mut buf = ReadBuf::new(chunk);
    ready!(file.poll_read(cx, &mut buf))?;
    let len = buf.filled().len();
    chunk.truncate(len);
    Poll::Ready(Ok(std::mem::take(chunk).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_budget_go_back() {
        let budget = Budget::new(10);
        let (mut a, mut b) = (Share::of(&budget), Share::of(&budget));
        assert!(a.take(6) && b.take(4));
        assert!(!a.take(1));
        drop(b);
        assert!(a.take(4) && !a.take(1));
        drop(a);
        assert_eq!(budget.left.load(Ordering::Relaxed), 10);
    }
}

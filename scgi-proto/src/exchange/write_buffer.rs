//! What is to be written and has not been yet: heads and small chunks together, a large chunk
//! beside them.

use core::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Chunks up to this size are copied behind what is there: no dearer than a second slice, and much
/// cheaper than a write of its own.
const COPY_BELOW: usize = 4 * 1024;

/// More than this is not gathered: a write of it costs little more than the bytes themselves.
const FULL: usize = 16 * 1024;

#[derive(Default)]
pub(crate) struct WriteBuffer {
    /// Written first.
    pub(crate) out: BytesMut,
    chunk: Bytes,
}

/// Without the bytes, which may hold secrets.
impl fmt::Debug for WriteBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBuffer")
            .field("out_len", &self.out.len())
            .field("chunk_len", &self.chunk.len())
            .finish()
    }
}

impl WriteBuffer {
    #[inline]
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() && chunk.len() > COPY_BELOW {
            self.chunk = chunk;
        } else {
            self.copy(&chunk);
        }
    }

    fn copy(&mut self, chunk: &[u8]) {
        if self.chunk.is_empty() {
            self.out.extend_from_slice(chunk);
            return;
        }
        // Adapters write what is pending first; one that does not pays with a copy.
        let mut joined = BytesMut::with_capacity(self.chunk.len() + chunk.len());
        joined.extend_from_slice(&self.chunk);
        joined.extend_from_slice(chunk);
        self.chunk = joined.freeze();
    }

    /// In two slices, for one vectored write.
    pub(crate) fn pending(&self) -> (&[u8], &[u8]) {
        (&self.out, &self.chunk)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty() && self.chunk.is_empty()
    }

    /// Whether it should be written before more is pushed.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() >= FULL || !self.chunk.is_empty()
    }

    /// Removes what was written.
    ///
    /// # Panics
    /// If `count` is more than is pending.
    pub(crate) fn advance(&mut self, count: usize) {
        let first = count.min(self.out.len());
        // Of large chunks, there is only the chunk.
        if first > 0 {
            self.out.advance(first);
        }
        self.chunk.advance(count - first);
    }

    pub(crate) fn clear(&mut self) {
        self.out.clear();
        self.chunk = Bytes::new();
    }

    /// Frees the memory of what was gathered, once that is written.
    pub(crate) fn release(&mut self) {
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
    }
}

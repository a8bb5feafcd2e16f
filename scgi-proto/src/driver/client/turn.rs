//! Limits how much one direction may do before the other one and the runtime run.

/// Bytes of a turn: a fraction of a millisecond for the system to copy.
const BYTES: usize = 512 * 1024;

/// Chunks of a turn, for sources that take their time for each or whose chunks are small.
const CHUNKS: usize = 32;

/// What is left of a turn.
#[derive(Debug)]
pub(super) struct Turn {
    bytes: usize,
    chunks: usize,
}

impl Default for Turn {
    fn default() -> Self {
        Self { bytes: BYTES, chunks: CHUNKS }
    }
}

impl Turn {
    pub(super) fn take_bytes(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
    }

    /// A chunk is about to be asked for. A source that blocks has one in each turn, as nothing else
    /// can happen while it does.
    pub(super) fn take_chunk(&mut self, source_blocks: bool) {
        self.chunks = if source_blocks { 0 } else { self.chunks.saturating_sub(1) };
    }

    /// Whether more may be written.
    pub(super) fn has_bytes(&self) -> bool {
        self.bytes > 0
    }

    /// Whether another chunk may be taken from the program's source.
    pub(super) fn has_chunks(&self) -> bool {
        self.bytes > 0 && self.chunks > 0
    }
}

//! The buffers of a connection that has ended, for the next one. Only adapters use them.

use core::fmt;

use bytes::BytesMut;

/// The buffers of an [`ServerExchange`](crate::ServerExchange) that has ended, for the next one: a server
/// then allocates none of its own for a usual request.
///
/// No byte of the old connection can be seen in the new one, and buffers that grew large are
/// freed instead.
///
/// # Examples
/// ```
/// use core::time::Duration;
/// use scgi_proto::{ConnectionConfig, ServerExchange, Buffers};
///
/// let mut memory = Buffers::default();
/// for connection in 0..3 {
///     let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::from_secs(connection));
///     exchange.give_memory(memory);
///     // ... a request and its response ...
///     memory = exchange.take_memory();
/// }
/// ```
#[derive(Default)]
pub struct Buffers {
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
}

/// What is worth keeping: a buffer larger than a typical head by far was made for a rare one.
const KEEP: usize = 16 * 1024;

/// Room for a typical head several times, so that the buffer lasts for some requests before it
/// has to be looked at.
const ROOM: usize = 4 * 1024;

/// Without the bytes, which may hold secrets.
impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers")
            .field("input_capacity", &self.input.capacity())
            .field("output_capacity", &self.output.capacity())
            .finish()
    }
}

impl Buffers {
    pub(crate) fn new(input: BytesMut, output: BytesMut) -> Self {
        Self { input: kept(input), output: kept(output) }
    }

    /// The input buffer, with room.
    pub(crate) fn input(&mut self) -> BytesMut {
        let mut input = core::mem::take(&mut self.input);
        if input.capacity() < ROOM / 4 {
            // Costs nothing if no head of an earlier request is kept by the program.
            input.reserve(ROOM);
        }
        input
    }
}

fn kept(mut buf: BytesMut) -> BytesMut {
    buf.clear();
    if buf.capacity() > KEEP { BytesMut::new() } else { buf }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_capacity(bytes: usize) -> BytesMut {
        let buf = BytesMut::with_capacity(bytes);
        assert_eq!(buf.capacity(), bytes);
        buf
    }

    #[test]
    fn small_buffers_are_kept_and_large_ones_freed() {
        let capacities = |bytes| {
            let memory = Buffers::new(with_capacity(bytes), with_capacity(bytes));
            (memory.input.capacity(), memory.output.capacity())
        };
        assert_eq!(capacities(1), (1, 1));
        assert_eq!(capacities(16 * 1024), (16 * 1024, 16 * 1024));
        assert_eq!(capacities(16 * 1024 + 1), (0, 0));
    }

    #[test]
    fn no_byte_is_kept() {
        let memory = Buffers::new(b"secret"[..].into(), b"secret"[..].into());
        assert!(memory.input.is_empty() && memory.output.is_empty());
    }

    #[test]
    fn the_input_has_room() {
        let room = |bytes| Buffers::new(with_capacity(bytes), BytesMut::new()).input().capacity();
        assert_eq!((room(1024), room(5000)), (1024, 5000));
        assert!(room(0) >= 4096 && room(1023) >= 4096);
        let mut memory = Buffers::new(with_capacity(5000), BytesMut::new());
        drop(memory.input());
        assert_eq!(memory.input.capacity(), 0, "it was taken");
    }
}

//! The buffers of a thread, to read into before it is known what comes: for drivers and adapters.

use core::cell::{Cell, RefCell};
use core::task::Poll;
use std::io;
use std::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::wire::decode::BODY_READ;

/// Heads are read into memory that all connections of a thread share, and only what came is
/// kept: one that waits holds no more than it got.
const LEN: usize = 16 * 1024;

/// Chunks shorter than this are copied, as whoever collects them would else hold much more than
/// came.
const FEW: usize = BODY_READ / 2;

std::thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The memory of the chunk that this thread has read last, which may be in use.
    static LAST: Cell<Bytes> = const { Cell::new(Bytes::new()) };
}

/// Gives `read` 16 KiB that all connections of this thread share.
///
/// # Examples
/// ```
/// use std::io::Read;
/// let mut stream = &b"24:CONTENT_LENGTH"[..];
/// let bytes = scgi_proto::driver::with_read_buffer(|buf| {
///     stream.read(buf).map(|count| bytes::BytesMut::from(&buf[..count]))
/// });
/// assert_eq!(bytes?, "24:CONTENT_LENGTH");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn with_read_buffer<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    // Taken out, so that a stream may itself be built on a connection.
    let mut buf = SCRATCH.take();
    buf.resize(LEN, 0);
    let result = read(&mut buf);
    SCRATCH.set(buf);
    result
}

/// One read of at most `limit` bytes of a body, to where they stay.
///
/// Once a chunk is dropped, the next one of its thread is read into the same memory: an upload that
/// flows allocates none and zeroes none, and a connection that waits for a body holds none.
pub(super) fn read_chunk(
    limit: usize,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<Bytes>> {
    // For small bodies, each of a server's many threads need not keep the memory of large ones.
    if limit < BODY_READ {
        return with_read_buffer(|buf| {
            let limit = limit.min(LEN);
            read(&mut buf[..limit]).map_ok(|count| Bytes::copy_from_slice(&buf[..count]))
        });
    }
    LAST.with(|last| {
        let mut memory = last.take().try_into_mut().unwrap_or_else(|_| new_memory());
        let read = read(&mut memory);
        let mut chunk = memory.freeze();
        let Poll::Ready(Ok(count)) = read else {
            last.set(chunk);
            return read.map_ok(|_| Bytes::new());
        };
        if count < FEW {
            let few = Bytes::copy_from_slice(&chunk[..count]);
            last.set(chunk);
            return Poll::Ready(Ok(few));
        }
        last.set(chunk.clone());
        chunk.truncate(count);
        Poll::Ready(Ok(chunk))
    })
}

#[cold]
fn new_memory() -> BytesMut {
    let mut memory = BytesMut::zeroed(BODY_READ);
    // Buffers that was split counts its users for good; else each chunk would allocate a place for
    // that.
    drop(memory.split_to(0));
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk of `len` bytes, and where it was read to.
    fn chunk(limit: usize, len: usize) -> (Bytes, *const u8) {
        let mut place = core::ptr::null();
        let read = read_chunk(limit, |buf| {
            assert_eq!(buf.len(), if limit < BODY_READ { limit.min(LEN) } else { BODY_READ });
            place = buf.as_ptr();
            buf[..len].fill(b'x');
            Poll::Ready(Ok(len))
        });
        let Poll::Ready(Ok(chunk)) = read else { panic!("it has read") };
        assert_eq!(chunk, std::vec![b'x'; len]);
        (chunk, place)
    }

    /// For a `result` that is not a chunk.
    fn no_chunk(result: Poll<io::Result<usize>>) -> *const u8 {
        let mut place = core::ptr::null();
        let read = read_chunk(BODY_READ, |buf| {
            place = buf.as_ptr();
            result
        });
        assert!(!matches!(read, Poll::Ready(Ok(_))));
        place
    }

    #[test]
    fn a_chunk_is_read_to_where_the_last_one_was_once_that_is_dropped() {
        let (first, place) = chunk(BODY_READ, FEW);
        assert_eq!(first.as_ptr(), place, "not copied");
        let rest = first.slice(10..);
        drop(first);
        let (second, other) = chunk(BODY_READ, BODY_READ);
        assert_ne!(other, place, "it is in use");
        assert_eq!(rest, std::vec![b'x'; FEW - 10]);
        drop((rest, second));
        assert_eq!(chunk(BODY_READ, BODY_READ).1, other);
    }

    #[test]
    fn a_read_that_waits_or_fails_leaves_its_memory_to_the_next() {
        let place = no_chunk(Poll::Pending);
        assert_eq!(no_chunk(Poll::Ready(Err(io::ErrorKind::Interrupted.into()))), place);
        assert_eq!(chunk(BODY_READ, 0).1, place);
        assert_eq!(chunk(BODY_READ, BODY_READ).1, place);
    }

    #[test]
    fn what_is_less_than_a_chunk_holds_no_more_than_it_needs() {
        let place = no_chunk(Poll::Pending);
        for (limit, len) in [(BODY_READ, FEW - 1), (BODY_READ - 1, LEN), (10, 10)] {
            let (few, read_to) = chunk(limit, len);
            assert_eq!(read_to == place, limit == BODY_READ);
            assert_ne!(few.as_ptr(), read_to);
            assert_eq!(few.try_into_mut().map(|few| few.capacity()), Ok(len));
        }
    }

    #[test]
    fn a_thread_that_reads_small_bodies_keeps_no_memory_of_large_ones() {
        chunk(BODY_READ - 1, LEN);
        assert!(LAST.take().is_empty());
        chunk(BODY_READ, 1);
        assert_eq!(LAST.take().len(), BODY_READ);
    }

    #[test]
    fn a_chunk_may_outlive_its_thread() {
        let chunk = std::thread::spawn(|| chunk(BODY_READ, BODY_READ).0).join().expect("no panic");
        assert_eq!(chunk.len(), BODY_READ);
        assert!(chunk.is_unique());
        assert!(LAST.take().is_empty(), "of another thread");
    }

    #[test]
    fn a_machine_that_would_take_more_gets_a_chunk() {
        let read = read_chunk(usize::MAX, |buf| Poll::Ready(Ok(buf.len())));
        assert!(matches!(read, Poll::Ready(Ok(chunk)) if chunk.len() == BODY_READ));
    }
}

//! Memory to read into before it is known what came.

use core::cell::{Cell, RefCell};
use core::task::Poll;
use std::io;
use std::vec::Vec;

use bytes::Bytes;

/// Heads are read into memory that all connections of a thread share, and only what came is
/// kept: one that waits holds no more than it got.
const LEN: usize = 16 * 1024;

/// The memory in bytes that a chunk of a body may hold, for each byte of it.
const WASTE: usize = 8;

/// Chunks of this size in bytes give their memory back; for smaller ones, that an allocator has
/// at hand, it takes more than it saves.
const REUSED: usize = 16 * 1024;

std::thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// `None` in a thread that has not read a body: it keeps nothing of others.
    static ROOM: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// Gives `read` 16 KiB that all connections of this thread share.
///
/// # Examples
/// ```
/// use std::io::Read;
/// let mut stream = &b"24:CONTENT_LENGTH"[..];
/// let bytes = scgi_proto::driver::with_scratch(|buf| {
///     stream.read(buf).map(|count| bytes::BytesMut::from(&buf[..count]))
/// });
/// assert_eq!(bytes?, "24:CONTENT_LENGTH");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    // Taken out, so that a stream may itself be built on a connection.
    let mut buf = SCRATCH.take();
    buf.resize(LEN, 0);
    let result = read(&mut buf);
    SCRATCH.set(buf);
    result
}

/// One read of at most `limit` bytes of a body, straight to where they stay. `read` gets an empty
/// `Vec` with room for as many.
///
/// What it leaves of that is for the next one of this thread that wants as much: a connection that
/// waits for a large body holds none, and none is allocated in vain. A chunk that is dropped gives
/// its memory back too: an upload that flows allocates none.
pub(super) fn read_chunk(
    limit: usize,
    read: impl FnOnce(&mut Vec<u8>) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<Bytes>> {
    let mut room = ROOM.replace(Some(Vec::new())).unwrap_or_default();
    // Not a larger one, as all of it stays while a chunk does.
    if room.capacity() != limit {
        keep(room);
        room = Vec::with_capacity(limit);
    }
    let read = read(&mut room);
    let chunk = if room.len() < limit / WASTE {
        // Nothing, or few bytes: whoever collects chunks would else hold much more than came.
        let few = Bytes::copy_from_slice(&room);
        keep(room);
        few
    } else if limit < REUSED {
        room.into()
    } else {
        Bytes::from_owner(Chunk(room))
    };
    read.map_ok(|_| chunk)
}

/// Keeps memory for the next chunk, the larger one if there is some.
fn keep(mut room: Vec<u8>) {
    room.clear();
    // A thread that ends keeps nothing.
    let _ = ROOM.try_with(|kept| {
        if let Some(other) = kept.take() {
            kept.set(Some(if other.capacity() > room.capacity() { other } else { room }));
        }
    });
}

/// The memory of a chunk, of which all clones are counted elsewhere.
struct Chunk(Vec<u8>);

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        keep(core::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 64 * 1024;

    /// A chunk of `len` bytes, and where its memory was.
    fn chunk(limit: usize, len: usize) -> (Bytes, *const u8) {
        let mut place = core::ptr::null();
        let read = read_chunk(limit, |room| {
            assert!(room.is_empty() && room.capacity() == limit);
            room.resize(len, b'x');
            place = room.as_ptr();
            Poll::Ready(Ok(len))
        });
        let Poll::Ready(Ok(chunk)) = read else { panic!("it has read") };
        assert_eq!(chunk, std::vec![b'x'; len]);
        (chunk, place)
    }

    fn waits(limit: usize) -> *const u8 {
        let mut place = core::ptr::null();
        assert!(
            read_chunk(limit, |room| {
                place = room.as_ptr();
                Poll::Pending
            })
            .is_pending()
        );
        place
    }

    #[test]
    fn room_of_a_read_that_waits_is_used_again_and_a_small_one_does_not_take_its_place() {
        let large = waits(LARGE);
        assert_eq!(waits(LARGE), large);
        waits(100);
        chunk(100, 100);
        assert_eq!(chunk(LARGE, LARGE).1, large);
    }

    #[test]
    fn a_chunk_holds_its_memory_until_all_of_it_is_dropped() {
        let (first, place) = chunk(LARGE, LARGE / WASTE);
        assert_eq!(first.as_ptr(), place, "not copied");
        let rest = first.slice(10..);
        drop(first);
        let (second, other) = chunk(LARGE, LARGE);
        assert_ne!(other, place, "it is in use");
        drop(rest);
        assert_eq!(waits(LARGE), place);
        drop(second);
        assert_eq!(ROOM.take().map(|room| room.capacity()), Some(LARGE), "one of both");
    }

    #[test]
    fn few_bytes_hold_no_more_than_they_need() {
        let (few, place) = chunk(LARGE, LARGE / WASTE - 1);
        assert_eq!(waits(LARGE), place);
        drop(few);
    }

    #[test]
    fn a_chunk_may_outlive_its_thread_and_one_that_reads_none_keeps_none() {
        let chunk = std::thread::spawn(|| chunk(LARGE, LARGE).0).join().expect("no panic");
        drop(chunk.clone());
        assert_eq!(chunk.len(), LARGE);
        drop(chunk);
        assert_eq!(ROOM.take(), None);
        waits(100);
        drop(std::thread::spawn(|| self::chunk(LARGE, LARGE).0).join().expect("no panic"));
        assert_eq!(ROOM.take().map(|room| room.capacity()), Some(LARGE));
    }
}

//! Memory to read into before it is known what came.

use core::cell::{Cell, RefCell};
use std::vec::Vec;

/// Heads are read into memory that all connections of a thread share, and only what came is
/// kept: one that waits holds no more than it got.
const LEN: usize = 16 * 1024;

std::thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
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

/// Gives `read` an empty `Vec` with room for `limit` bytes. What it leaves of that is for the next
/// one of this thread that wants as much: a connection that waits for a large body holds none, and
/// none is allocated in vain.
pub(super) fn with_room<T>(limit: usize, read: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut room = ROOM.take();
    // Not a larger one, as all of it stays while a chunk does.
    if room.capacity() != limit {
        ROOM.set(room);
        room = Vec::with_capacity(limit);
    }
    let result = read(&mut room);
    room.clear();
    let other = ROOM.take();
    ROOM.set(if other.capacity() > room.capacity() { other } else { room });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_again_for_as_much_and_a_small_one_does_not_take_its_place() {
        let place = |limit| {
            with_room(limit, |room| {
                assert!(room.is_empty() && room.capacity() == limit);
                room.extend_from_slice(b"of another");
                room.as_ptr()
            })
        };
        let large = place(64 * 1024);
        assert_eq!(place(64 * 1024), large);
        place(100);
        assert_eq!(place(64 * 1024), large);
        with_room(64 * 1024, |room| drop(core::mem::take(room)));
        assert_eq!(ROOM.take().capacity(), 0, "what was taken is not kept");
    }
}

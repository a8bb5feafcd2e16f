//! Memory to read into before it is known what came.

use core::cell::RefCell;
use std::vec::Vec;

/// Heads are read into memory that all connections of a thread share, and only what came is
/// kept: one that waits holds no more than it got.
const LEN: usize = 16 * 1024;

std::thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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

//! How many connections a server has room for.

/// Connections that a server may serve at once: `max`, but no more than `descriptors` allow, of
/// which each connection takes `each` and a quarter is left to the program itself.
///
/// A server that runs out of descriptors cannot accept, and its program can open no file.
///
/// # Examples
/// ```
/// use scgi_proto::room;
/// assert_eq!(room(4096, Some(1024), 1), 768);
/// assert_eq!(room(256, Some(1024), 1), 256);
/// assert_eq!(room(256, None, 1), 256);
/// assert_eq!(room(256, Some(0), 1), 1);
/// ```
#[must_use]
pub fn room(max: usize, descriptors: Option<u64>, each: u64) -> usize {
    let Some(descriptors) = descriptors else { return max };
    let room = (descriptors - descriptors / 4) / each.max(1);
    max.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
}

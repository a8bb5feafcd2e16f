//! Joins the chunks of a body.

use bytes::{Bytes, BytesMut};

use crate::error::Error;

/// Joins the chunks of a body up to a limit; a single one is not copied.
///
/// # Examples
/// ```
/// use scgi_proto::driver::BodyCollector;
/// let mut all = BodyCollector::new(8, None)?;
/// all.push("hello".into())?;
/// all.push(" me".into())?;
/// assert_eq!(all.finish(), "hello me");
///
/// // Known beforehand, and found out.
/// assert!(BodyCollector::new(8, Some(9)).is_err());
/// let mut all = BodyCollector::new(8, None)?;
/// assert!(all.push("far too long".into()).is_err());
/// # Ok::<(), scgi_proto::Error>(())
/// ```
#[derive(Debug)]
pub struct BodyCollector {
    limit: usize,
    first: Bytes,
    /// Of two or more.
    joined: BytesMut,
}

impl BodyCollector {
    /// For at most `limit` bytes of a body whose length is perhaps known.
    ///
    /// # Errors
    /// [`Error::BodyLimit`] if it is known to be too long.
    pub fn new(limit: usize, len: Option<u64>) -> Result<Self, Error> {
        if len.is_some_and(|len| len > limit as u64) {
            return Err(Error::BodyLimit(limit));
        }
        Ok(Self { limit, first: Bytes::new(), joined: BytesMut::new() })
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`Error::BodyLimit`] if the body is too long with it.
    pub fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        if self.first.len() + self.joined.len() + chunk.len() > self.limit {
            return Err(Error::BodyLimit(self.limit));
        }
        if self.joined.is_empty() && self.first.is_empty() {
            self.first = chunk;
            return Ok(());
        }
        if self.joined.is_empty() {
            self.joined.reserve(self.first.len() + chunk.len());
            self.joined.extend_from_slice(&core::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&chunk);
        Ok(())
    }

    /// The whole body.
    #[must_use]
    pub fn finish(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

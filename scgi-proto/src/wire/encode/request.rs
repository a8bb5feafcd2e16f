//! The request encoder: turns the events of a request into bytes.

use bytes::{BufMut, BytesMut};
use memchr::memchr;

use super::Progress;
use crate::wire::error::EncodeError;
use crate::wire::number::{Decimal, parse_length};
use crate::wire::request::RequestHead;

/// Encodes one request: the head into a buffer, then the accounting of the body, whose bytes
/// the caller writes itself.
///
/// # Examples
/// ```
/// use bytes::BytesMut;
/// use scgi_proto::{RequestEncoder, RequestHead, RequestHeadBuilder};
/// let head = RequestHeadBuilder::default().param("A", "b").content_length(2).build();
/// let (mut encoder, mut out) = (RequestEncoder::default(), BytesMut::new());
/// encoder.head(&head, &mut out)?;
/// encoder.body(2)?;
/// out.extend_from_slice(b"hi");
/// encoder.finish()?;
/// assert_eq!(&out[..], b"28:CONTENT_LENGTH\x002\0SCGI\x001\0A\0b\0,hi");
/// # Ok::<(), scgi_proto::EncodeError>(())
/// ```
#[derive(Debug, Default)]
pub struct RequestEncoder {
    progress: Progress,
    has_upgrade: bool,
}

impl RequestEncoder {
    /// Appends the head to `dst`: CONTENT_LENGTH first, SCGI second, whatever order they had;
    /// the other params in their order.
    ///
    /// Send it in one write if the stream takes it: uWSGI miscounts when the comma comes in
    /// another segment than the block.
    ///
    /// # Errors
    /// If a param cannot be sent, or the head was already encoded. `dst` is then unchanged.
    pub fn head(&mut self, head: &RequestHead, dst: &mut BytesMut) -> Result<(), EncodeError> {
        self.head_with_room(head, dst, 0)
    }

    /// As [`head`](Self::head), and if `dst` has to grow, then to `least` bytes more.
    pub(crate) fn head_with_room(
        &mut self,
        head: &RequestHead,
        dst: &mut BytesMut,
        least: usize,
    ) -> Result<(), EncodeError> {
        if self.progress != Progress::Head {
            return Err(EncodeError::AlreadySent);
        }
        let checked = check(head)?;
        let generated = Decimal::new(head.content_length());
        let length = checked.content_length.unwrap_or(generated.as_bytes());
        let block = b"CONTENT_LENGTH\0\0SCGI\x001\0".len() + length.len() + checked.others;
        let prefix = Decimal::new(block as u64);
        dst.reserve(least.max(prefix.as_bytes().len() + block + 2));
        dst.put_slice(prefix.as_bytes());
        dst.put_u8(b':');
        dst.put_slice(b"CONTENT_LENGTH\0");
        dst.put_slice(length);
        dst.put_slice(b"\0SCGI\x001\0");
        for (name, value) in head.params().iter().filter(|(name, _)| !is_framing(name)) {
            dst.put_slice(name);
            dst.put_u8(0);
            dst.put_slice(value);
            dst.put_u8(0);
        }
        dst.put_u8(b',');
        self.has_upgrade = checked.has_upgrade;
        self.progress = Progress::Body { remaining: Some(head.content_length()) };
        Ok(())
    }

    /// Takes note that `len` bytes of the body are written next.
    ///
    /// # Errors
    /// If the body gets longer than CONTENT_LENGTH, or the head is missing.
    pub fn body(&mut self, len: usize) -> Result<(), EncodeError> {
        self.progress.body(len)
    }

    /// Whether the head had HTTP_UPGRADE.
    pub(crate) fn has_upgrade(&self) -> bool {
        self.has_upgrade
    }

    /// Whether [`finish`](Self::finish) was called with success.
    pub(crate) fn is_finished(&self) -> bool {
        self.progress == Progress::Done
    }

    /// Takes note that the body is complete.
    ///
    /// # Errors
    /// If it is shorter than CONTENT_LENGTH, or the head is missing.
    pub fn finish(&mut self) -> Result<(), EncodeError> {
        self.progress.finish()
    }
}

/// What a first pass over the params finds.
struct Checked<'a> {
    /// CONTENT_LENGTH as the caller wrote it, which is kept: a captured request stays the same.
    content_length: Option<&'a [u8]>,
    /// Bytes of all params that are not framing, with their NULs.
    others: usize,
    has_upgrade: bool,
}

fn check(head: &RequestHead) -> Result<Checked<'_>, EncodeError> {
    let mut checked = Checked { content_length: None, others: 0, has_upgrade: false };
    let mut scgi = false;
    for (index, (name, value)) in head.params().iter().enumerate() {
        if name.is_empty() {
            return Err(EncodeError::EmptyName { index });
        }
        if memchr(0, name).is_some() || memchr(0, value).is_some() {
            return Err(EncodeError::NulByte { index });
        }
        match name {
            b"CONTENT_LENGTH" => {
                if checked.content_length.is_some() {
                    return Err(EncodeError::DuplicateContentLength { index });
                }
                let stated = if value.is_empty() { Ok(0) } else { parse_length(value) };
                if stated != Ok(head.content_length()) {
                    return Err(EncodeError::ContentLengthMismatch { index });
                }
                checked.content_length = Some(value);
            }
            b"SCGI" if scgi => return Err(EncodeError::DuplicateScgi { index }),
            b"SCGI" if value != b"1" => return Err(EncodeError::UnsupportedVersion { index }),
            b"SCGI" => scgi = true,
            name => {
                checked.has_upgrade |= name == b"HTTP_UPGRADE";
                checked.others += name.len() + value.len() + 2;
            }
        }
    }
    Ok(checked)
}

fn is_framing(name: &[u8]) -> bool {
    name == b"CONTENT_LENGTH" || name == b"SCGI"
}

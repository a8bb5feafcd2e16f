//! The response encoder: turns the events of a response into bytes.

use bytes::{BufMut, BytesMut};

use super::Progress;
use crate::wire::error::EncodeError;
use crate::wire::field::{is_hop_by_hop, is_token, is_value};
use crate::wire::number::parse_length;
use crate::wire::response::fields::Fields;
use crate::wire::response::{ResponseHead, ResponseKind, Status};

/// Encodes one CGI response: the head into a buffer, then the accounting of the body, whose
/// bytes the caller writes itself.
///
/// Sends what every front server understands: a `Status` field and never an HTTP status line
/// (Apache answers 500 to one), CRLF, no hop-by-hop field.
///
/// # Examples
/// ```
/// use bytes::BytesMut;
/// use scgi_proto::{ResponseEncoder, ResponseHead, Status};
/// let head = ResponseHead::new(Status::OK).with_field("Content-Type", "text/plain");
/// let (mut encoder, mut out) = (ResponseEncoder::default(), BytesMut::new());
/// encoder.head(&head, &mut out)?;
/// encoder.body(2)?;
/// out.extend_from_slice(b"hi");
/// encoder.finish()?;
/// assert_eq!(&out[..], b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhi");
/// # Ok::<(), scgi_proto::EncodeError>(())
/// ```
#[derive(Debug, Default)]
pub struct ResponseEncoder {
    progress: Progress,
    /// The code of a response that can have no body.
    bodiless: Option<u16>,
    head_request: bool,
    /// Whether the request has a valid upgrade.
    upgrade: bool,
}

impl ResponseEncoder {
    /// For the response to a HEAD request: its Content-Length says what GET would give, and a
    /// shorter or no body is complete (RFC 9110 section 9.3.2). The caller writes no body.
    #[must_use]
    pub fn for_head_request(mut self) -> Self {
        self.head_request = true;
        self
    }

    /// For the response to a request with a valid [upgrade](crate::RequestHead::upgrade): it may be
    /// 101. The connection then changes its protocol behind the head, and there is no body.
    #[must_use]
    pub fn for_upgrade(mut self) -> Self {
        self.upgrade = true;
        self
    }

    /// Appends the head to `dst`. A 101 leaves without a Content-Length.
    ///
    /// # Errors
    /// If the status is not final, a field cannot be sent, or the head was already encoded.
    /// `dst` is then unchanged.
    pub fn head(&mut self, head: &ResponseHead, dst: &mut BytesMut) -> Result<(), EncodeError> {
        if self.progress != Progress::Head {
            return Err(EncodeError::AlreadySent);
        }
        let remaining = check(head, self.upgrade)?;
        let code = head.status().code();
        let local = head.kind() == ResponseKind::LocalRedirect;
        if local || head.status().has_no_body() {
            self.bodiless = Some(code);
        }
        // Without a local redirect's exception, see `ResponseHead::local_redirect`.
        if !local {
            let mut status = *b"Status: 200 ";
            let digits = [code / 100, code / 10 % 10, code % 10];
            status[8..11].copy_from_slice(&digits.map(|digit| b'0' + digit as u8));
            dst.put_slice(&status);
            dst.put_slice(head.reason().as_bytes());
            dst.put_slice(b"\r\n");
        }
        let changed = (code == 101).then(|| without_length(head.fields()));
        changed.as_ref().unwrap_or_else(|| head.fields()).put_lines(dst);
        dst.put_slice(b"\r\n");
        // A 304 may state the length of the document that it confirms (RFC 9110 section 8.6).
        let remaining = remaining.filter(|_| self.bodiless.is_none() && !self.head_request);
        self.progress = Progress::Body { remaining };
        Ok(())
    }

    /// Takes note that `len` bytes of the body are written next.
    ///
    /// # Errors
    /// If the response has no body, or it gets longer than its Content-Length, or the head is
    /// missing.
    #[inline]
    pub fn body(&mut self, len: usize) -> Result<(), EncodeError> {
        match self.bodiless {
            Some(code) if len > 0 => Err(EncodeError::BodyNotAllowed { code }),
            _ => self.progress.body(len),
        }
    }

    /// Takes note that the body is complete.
    ///
    /// # Errors
    /// If it is shorter than its Content-Length, or the head is missing.
    pub fn finish(&mut self) -> Result<(), EncodeError> {
        self.progress.finish()
    }
}

/// Whether a path leads a browser to this site and nowhere else. Browsers take a backslash for a
/// slash and leave out tabs, so `/\host` and `/<tab>/host` lead to another one.
fn is_local_path(path: &[u8]) -> bool {
    let is_harmless = |byte: &u8| !matches!(byte, b'\\' | b' ' | b'\t');
    path.starts_with(b"/") && !path.starts_with(b"//") && path.iter().all(is_harmless)
}

fn check_local_redirect(head: &ResponseHead) -> Result<(), EncodeError> {
    if head.status() != Status::FOUND || head.own_reason().is_some() {
        return Err(EncodeError::StatusInLocalRedirect { code: head.status().code() });
    }
    if head.fields().len() > 1 {
        return Err(EncodeError::FieldInLocalRedirect { index: 1 });
    }
    match head.fields().first("Location") {
        Some(path) if is_local_path(path) => Ok(()),
        _ => Err(EncodeError::InvalidLocalRedirect),
    }
}

/// The fields of a 101: nginx would pass a Content-Length on.
#[cold]
fn without_length(fields: &Fields) -> Fields {
    let mut fields = fields.clone();
    fields.remove("Content-Length");
    fields
}

/// Of the statuses that are not final, only 101 can be sent, to those who asked for it.
#[cold]
fn check_interim(status: Status, upgrade: bool) -> Result<(), EncodeError> {
    match (status, upgrade) {
        (Status::SWITCHING_PROTOCOLS, true) => Ok(()),
        (Status::SWITCHING_PROTOCOLS, false) => Err(EncodeError::UpgradeNotOffered),
        _ => Err(EncodeError::InvalidStatus { code: status.code() }),
    }
}

/// Whether it is an Upgrade field that the response has to have.
fn is_upgrade(name: &[u8], status: Status) -> bool {
    matches!(status, Status::SWITCHING_PROTOCOLS | Status::UPGRADE_REQUIRED)
        && name.eq_ignore_ascii_case(b"Upgrade")
}

/// Whether it is a Content-Length field.
fn is_content_length(name: &[u8]) -> bool {
    // As this crate and `http` spell it, it is found in few steps.
    matches!(name, b"Content-Length" | b"content-length")
        || name.eq_ignore_ascii_case(b"Content-Length")
}

/// Checks everything, and returns the stated Content-Length.
fn check(head: &ResponseHead, upgrade: bool) -> Result<Option<u64>, EncodeError> {
    if head.status().code() < 200 {
        check_interim(head.status(), upgrade)?;
    }
    if !is_value(head.reason().as_bytes()) {
        return Err(EncodeError::InvalidReason);
    }
    // A length that no body follows would make the front server wait.
    let is_reset = head.status() == Status::RESET_CONTENT;
    let mut content_length = None;
    for (index, (name, value)) in head.fields().iter().enumerate() {
        if !is_token(name) {
            return Err(EncodeError::InvalidFieldName { index });
        }
        if !is_value(value) {
            return Err(EncodeError::InvalidFieldValue { index });
        }
        if (is_hop_by_hop(name) && !is_upgrade(name, head.status()))
            || name.eq_ignore_ascii_case(b"Status")
        {
            return Err(EncodeError::ForbiddenField { index });
        }
        if is_content_length(name) {
            let parsed = parse_length(value).ok().filter(|len| !is_reset || *len == 0);
            if content_length.is_some() || parsed.is_none() {
                return Err(EncodeError::InvalidResponseLength { index });
            }
            content_length = parsed;
        }
    }
    if head.kind() == ResponseKind::LocalRedirect {
        check_local_redirect(head)?;
    }
    Ok(content_length)
}

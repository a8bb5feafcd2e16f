//! The response decoder: turns bytes into the events of a response.

use alloc::string::String;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::{Decode, HEAD_READ, body_read};
use crate::wire::error::{DecodeError, Part};
use crate::wire::event::ResponseEvent;
use crate::wire::field::{is_status, is_token, split_field, split_line, trim};
use crate::wire::limits::Limits;
use crate::wire::number::parse_length;
use crate::wire::response::fields::Fields;
use crate::wire::response::{ResponseHead, ResponseKind, Status};

/// Decodes one CGI response: [`ResponseEvent::Head`], its body in chunks,
/// [`ResponseEvent::End`].
///
/// Takes what real servers send: CRLF or LF line ends, a `Status` field or an `HTTP/1.x` status
/// line or neither (then 200, or 302 for a local path in a Location alone, and for another URL). The body goes to Content-Length, or
/// else to the end of input. A status line that contradicts a `Status` field yields to it, as
/// `Status` is what RFC 3875 section 6.3.3 defines.
///
/// # Examples
/// ```
/// use bytes::BytesMut;
/// use scgi_proto::{Decode, ResponseDecoder, ResponseEvent, Status};
///
/// let mut decoder = ResponseDecoder::default();
/// let mut buf = BytesMut::from("Status: 404 Not Found\nContent-Type: text/plain\n\nno");
/// let Some(ResponseEvent::Head(head)) = decoder.decode(&mut buf)? else { panic!() };
/// assert_eq!(head.status(), Status::NOT_FOUND);
/// assert_eq!(decoder.decode(&mut buf)?, Some(ResponseEvent::Body("no".into())));
/// // Only the end of input ends it, as no Content-Length does.
/// assert_eq!(decoder.decode(&mut buf)?, None);
/// assert_eq!(decoder.decode_eof(&mut buf)?, Some(ResponseEvent::End));
/// # Ok::<(), scgi_proto::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct ResponseDecoder {
    limits: Limits,
    state: State,
    head: Head,
    no_body: bool,
    /// Whether the request has a valid upgrade.
    upgrade: bool,
    surplus: u64,
}

#[derive(Debug)]
enum State {
    Head,
    Body {
        remaining: u64,
    },
    BodyToEnd,
    Finished,
    /// Behind the head of a 101: what comes is not part of a response.
    Upgraded,
    Done,
    Failed(DecodeError),
}

/// The head as far as it has been read.
#[derive(Debug, Default)]
struct Head {
    /// Where the next line begins, and up to where it was searched for its end.
    line: usize,
    searched: usize,
    first: bool,
    status_line: Option<(Status, Option<String>)>,
    status: Option<(Status, Option<String>)>,
    content_length: Option<u64>,
    location: Option<Location>,
    /// Where the field lines begin, and how many there are beside Status.
    fields_start: usize,
    fields: usize,
}

/// Where a redirect leads.
#[derive(Debug, Clone, Copy)]
enum Location {
    /// Another URL.
    Absolute,
    /// A path of the same site.
    Path,
    Other,
}

impl ResponseDecoder {
    /// A decoder with these bounds.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let head = Head { first: true, ..Head::default() };
        Self { limits, state: State::Head, head, no_body: false, upgrade: false, surplus: 0 }
    }

    /// For the response to a HEAD request: whatever Content-Length says, no body follows, and
    /// bytes that come all the same are thrown away (RFC 9110 section 9.3.2).
    #[must_use]
    pub fn without_body(mut self) -> Self {
        self.no_body = true;
        self
    }

    /// For the response to a request with a valid [upgrade](crate::RequestHead::upgrade): it may be
    /// 101. What follows its head stays in the buffer.
    #[must_use]
    pub fn with_upgrade(mut self) -> Self {
        self.upgrade = true;
        self
    }

    /// Whether the response is a 101.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        matches!(self.state, State::Upgraded)
    }

    /// Bytes that came after the response and were thrown away.
    #[must_use]
    pub fn surplus(&self) -> u64 {
        self.surplus
    }

    /// See [`ClientExchange::body_remaining`](crate::ClientExchange::body_remaining).
    pub(crate) fn body_remaining(&self) -> Option<u64> {
        match self.state {
            State::Body { remaining } => Some(remaining),
            State::Finished => Some(0),
            State::Head | State::BodyToEnd | State::Upgraded | State::Done | State::Failed(_) => {
                None
            }
        }
    }

    /// Whether only the end of input ends the body.
    pub(crate) fn needs_end_of_input(&self) -> bool {
        matches!(self.state, State::BodyToEnd)
    }

    fn head(&mut self, src: &mut BytesMut) -> Result<Option<ResponseEvent>, DecodeError> {
        let max = self.limits.response_head as usize;
        loop {
            let from = self.head.searched;
            let Some(found) = memchr(b'\n', &src[from..]) else {
                self.head.searched = src.len();
                if src.len() > max {
                    return Err(DecodeError::ResponseHeadTooLarge { max });
                }
                return Ok(None);
            };
            let end = from + found;
            if end >= max {
                return Err(DecodeError::ResponseHeadTooLarge { max });
            }
            let start = self.head.line;
            let (line, _) = split_line(&src[start..], end - start);
            self.head.line = end + 1;
            self.head.searched = end + 1;
            if line.is_empty() {
                return Ok(Some(self.finish_head(src.split_to(end + 1).freeze())));
            }
            self.head.line(line, start, self.limits.fields as usize, self.upgrade)?;
        }
    }

    fn finish_head(&mut self, lines: Bytes) -> ResponseEvent {
        let head = core::mem::take(&mut self.head);
        let content_length = head.content_length;
        let head = head.finish(lines);
        self.state = if head.status() == Status::SWITCHING_PROTOCOLS {
            State::Upgraded
        } else if self.no_body || head.status().has_no_body() {
            State::Finished
        } else {
            content_length.map_or(State::BodyToEnd, |remaining| State::Body { remaining })
        };
        ResponseEvent::Head(head)
    }

    fn end(&mut self, src: &mut BytesMut) -> ResponseEvent {
        self.state = State::Done;
        self.discard(src);
        ResponseEvent::End
    }

    fn discard(&mut self, src: &mut BytesMut) {
        self.surplus = self.surplus.saturating_add(src.len() as u64);
        src.clear();
    }
}

impl Head {
    /// Takes one line of the head, which begins at `offset` and is not empty.
    fn line(
        &mut self,
        line: &[u8],
        offset: usize,
        max_fields: usize,
        upgrade: bool,
    ) -> Result<(), DecodeError> {
        let first = core::mem::take(&mut self.first);
        if first && line.starts_with(b"HTTP/1.") {
            let rest = memchr(b' ', line).map_or(&[][..], |space| &line[space..]);
            self.status_line = Some(parse_status(rest, offset, upgrade)?);
            self.fields_start = self.line;
            return Ok(());
        }
        let invalid = || DecodeError::InvalidField { offset };
        let (name, value) = split_field(line).ok_or_else(invalid)?;
        if !is_token(name) || value.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(invalid());
        }
        if is_status(name) {
            if self.status.is_some() {
                return Err(DecodeError::DuplicateStatus { offset });
            }
            self.status = Some(parse_status(value, offset, upgrade)?);
            return Ok(());
        }
        if name.eq_ignore_ascii_case(b"Content-Length") {
            self.content_length(value, offset)?;
        } else if name.eq_ignore_ascii_case(b"Location") {
            self.location.get_or_insert_with(|| Location::of(value));
        }
        if self.fields == max_fields {
            return Err(DecodeError::TooManyFields { max: max_fields });
        }
        self.fields += 1;
        Ok(())
    }

    fn content_length(&mut self, value: &[u8], offset: usize) -> Result<(), DecodeError> {
        let invalid = DecodeError::InvalidResponseLength { offset };
        let Ok(len) = parse_length(value) else { return Err(invalid) };
        if self.content_length.is_some_and(|earlier| earlier != len) {
            return Err(invalid);
        }
        self.content_length = Some(len);
        Ok(())
    }

    /// The head of these lines.
    fn finish(self, mut lines: Bytes) -> ResponseHead {
        lines.advance(self.fields_start);
        let fields = Fields::decoded(lines, self.fields);
        let explicit = self.status.or(self.status_line);
        let kind = match self.location {
            Some(Location::Absolute) => ResponseKind::ClientRedirect,
            Some(Location::Path) if explicit.is_none() && fields.len() == 1 => {
                ResponseKind::LocalRedirect
            }
            _ => ResponseKind::Document,
        };
        let (status, reason) = match explicit {
            Some((status, reason)) => (status, reason),
            // Another URL is a client redirect although it has a document, for which RFC 3875
            // section 6.2.4 wants a Status: nginx and lighttpd answer 302 too.
            None if kind != ResponseKind::Document => (Status::FOUND, None),
            None => (Status::OK, None),
        };
        ResponseHead::decoded(status, reason, fields, kind)
    }
}

impl Location {
    fn of(value: &[u8]) -> Self {
        // Without a scheme it is another host all the same.
        if is_absolute_url(value) || value.starts_with(b"//") {
            Self::Absolute
        } else if value.starts_with(b"/") {
            Self::Path
        } else {
            Self::Other
        }
    }
}

/// Whether it begins with a scheme (RFC 3986 section 3.1).
fn is_absolute_url(url: &[u8]) -> bool {
    let Some(colon) = memchr(b':', url) else { return false };
    let scheme = &url[..colon];
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Parses `404 Not Found`: the status, and its reason if that is not the usual one.
fn parse_status(
    value: &[u8],
    offset: usize,
    upgrade: bool,
) -> Result<(Status, Option<String>), DecodeError> {
    let invalid = DecodeError::InvalidStatus { offset };
    let value = trim(value);
    let (code, reason) = value.split_at(value.len().min(3));
    if code.len() != 3
        || !code.iter().all(u8::is_ascii_digit)
        || !matches!(reason.first(), None | Some(b' ' | b'\t'))
        || reason.iter().any(|byte| matches!(byte, 0 | b'\r'))
    {
        return Err(invalid);
    }
    let code = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    // A CGI response is final: web servers take a 1xx head as the answer (wire observation).
    let is_final = |status: &Status| {
        status.code() >= 200 || (upgrade && *status == Status::SWITCHING_PROTOCOLS)
    };
    let status = Status::new(code).filter(is_final).ok_or(invalid)?;
    // The usual phrase is known from the status.
    let reason = trim(reason);
    let own = !reason.is_empty() && reason != status.reason().as_bytes();
    Ok((status, own.then(|| String::from_utf8_lossy(reason).into_owned())))
}

impl Default for ResponseDecoder {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Decode for ResponseDecoder {
    type Event = ResponseEvent;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<ResponseEvent>, DecodeError> {
        match &mut self.state {
            State::Head => {
                let head = self.head(src);
                if let Err(error) = &head {
                    self.state = State::Failed(error.clone());
                }
                head
            }
            State::Body { remaining: 0 } | State::Finished => Ok(Some(self.end(src))),
            State::Body { remaining } => {
                if src.is_empty() {
                    return Ok(None);
                }
                let len = usize::try_from(*remaining).map_or(src.len(), |max| max.min(src.len()));
                *remaining -= len as u64;
                Ok(Some(ResponseEvent::Body(src.split_to(len).freeze())))
            }
            State::Upgraded => Ok(None),
            State::BodyToEnd if src.is_empty() => Ok(None),
            State::BodyToEnd => Ok(Some(ResponseEvent::Body(src.split().freeze()))),
            State::Done => {
                self.discard(src);
                Ok(None)
            }
            State::Failed(error) => Err(error.clone()),
        }
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<ResponseEvent>, DecodeError> {
        if let Some(event) = self.decode(src)? {
            return Ok(Some(event));
        }
        let error = match &self.state {
            State::Head if src.is_empty() => DecodeError::NoResponse,
            // At least the empty line.
            State::Head => DecodeError::UnexpectedEnd { part: Part::ResponseHead, missing: 1 },
            State::Body { remaining } => {
                DecodeError::UnexpectedEnd { part: Part::ResponseBody, missing: *remaining }
            }
            State::BodyToEnd => return Ok(Some(self.end(src))),
            State::Finished | State::Upgraded | State::Done | State::Failed(_) => return Ok(None),
        };
        self.state = State::Failed(error.clone());
        Err(error)
    }

    fn read_hint(&self) -> usize {
        match &self.state {
            State::Head => HEAD_READ,
            State::Body { remaining } => body_read(*remaining),
            // Small at first: many responses have no Content-Length and few bytes.
            _ => 4 * HEAD_READ,
        }
    }

    fn max_chunk_len(&self) -> Option<usize> {
        match self.state {
            State::Body { remaining: 1.. } | State::BodyToEnd => Some(self.read_hint()),
            _ => None,
        }
    }

    fn chunk(&mut self, chunk: Bytes) -> ResponseEvent {
        match &mut self.state {
            State::Body { remaining } => {
                let left = remaining.checked_sub(chunk.len() as u64);
                *remaining = left.expect("more bytes than the body has");
            }
            State::BodyToEnd => {}
            _ => panic!("no body is expected"),
        }
        ResponseEvent::Body(chunk)
    }

    fn is_done(&self) -> bool {
        matches!(self.state, State::Done | State::Upgraded)
    }
}

//! The errors of the protocol, by fault: the peer's or the caller's.

use core::fmt;

use crate::wire::response::Status;

/// Another protocol whose bytes arrived where SCGI was expected.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A plain HTTP request.
    Http,
    /// A TLS handshake.
    Tls,
    /// A FastCGI record.
    FastCgi,
}

/// The part of a message in which the input ended.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The netstring's length, up to and including its colon.
    Length,
    /// The header block and its comma.
    HeaderBlock,
    /// The request's body.
    RequestBody,
    /// The fields of a response, up to the empty line.
    ResponseHead,
    /// The response's body.
    ResponseBody,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the netstring length",
            Self::HeaderBlock => "the header block",
            Self::RequestBody => "the request body",
            Self::ResponseHead => "the response head",
            Self::ResponseBody => "the response body",
        })
    }
}

/// The peer broke the protocol or a [`Limits`](crate::Limits) bound.
///
/// Offsets count bytes from the start of the message. The text of each variant tells the
/// operator what to change where that is known; [`guide::errors`](crate::guide::errors) has all
/// of them with cause and fix.
///
/// # Examples
/// ```
/// use scgi_proto::{DecodeError, Status};
/// let error = DecodeError::BodyTooLarge { len: 2048, max: 1024 };
/// assert_eq!(error.to_string(), "a body of 2048 bytes is over the limit of 1024 bytes");
/// assert_eq!(error.status_hint(), Status::CONTENT_TOO_LARGE);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are named for what they hold; the variants say more")]
pub enum DecodeError {
    /// The bytes belong to another protocol.
    NotScgi { protocol: Protocol },
    /// A byte that cannot be part of a netstring length.
    InvalidLength { offset: usize, byte: u8 },
    /// The netstring length begins with a superfluous zero.
    LeadingZero,
    /// The netstring length, as far as it was read, is over the limit (bytes).
    HeaderBlockTooLarge { len: usize, max: usize },
    /// The header block is not followed by a comma.
    MissingComma { offset: usize, byte: u8 },
    /// The header block does not end with NUL.
    MissingFinalNul { offset: usize },
    /// The last name in the header block has no value.
    MissingValue { offset: usize },
    /// A param's name is empty.
    EmptyName { offset: usize },
    /// A param's name is over the limit (bytes).
    NameTooLong { offset: usize, len: usize, max: usize },
    /// A param's value is over the limit (bytes).
    ValueTooLong { offset: usize, len: usize, max: usize },
    /// There are more params than the limit.
    TooManyParams { max: usize },
    /// The header block is empty (strict policy).
    EmptyHeaderBlock,
    /// CONTENT_LENGTH is not a number of ASCII digits.
    InvalidContentLength { offset: usize },
    /// CONTENT_LENGTH does not fit into 64 bits.
    ContentLengthOverflow { offset: usize },
    /// CONTENT_LENGTH is `-1`: the front server passes on a chunked upload without its length.
    UnknownContentLength { offset: usize },
    /// The length of the body is in a param of another spelling, such as `Content-Length`, and there
    /// is not CONTENT_LENGTH.
    MisspelledContentLength { offset: usize },
    /// CONTENT_LENGTH appears twice.
    DuplicateContentLength { offset: usize },
    /// CONTENT_LENGTH is absent or empty (strict policy).
    MissingContentLength,
    /// CONTENT_LENGTH is not the first param (strict policy).
    ContentLengthNotFirst { offset: usize },
    /// SCGI has another value than `1`.
    UnsupportedVersion { offset: usize },
    /// SCGI appears twice.
    DuplicateScgi { offset: usize },
    /// SCGI is absent (strict policy).
    MissingScgi,
    /// A name appears twice (strict policy).
    DuplicateName { offset: usize },
    /// HTTP_CONTENT_LENGTH is repeated or not a number, where it matters.
    InvalidHttpContentLength { offset: usize },
    /// HTTP_CONTENT_LENGTH and CONTENT_LENGTH differ (strict policy).
    LengthDisagreement { content_length: u64, http_content_length: u64 },
    /// The body is over the limit (bytes).
    BodyTooLarge { len: u64, max: u64 },
    /// The input ended early; `missing` is how many bytes at least were still to come.
    UnexpectedEnd { part: Part, missing: u64 },
    /// The server closed without sending one byte of a response.
    NoResponse,
    /// The connection was reset before the end of a response without Content-Length. All bytes that
    /// arrived were handed out before; whether they are the whole response cannot be known.
    ResponseCut,
    /// A response head is over the limit (bytes).
    ResponseHeadTooLarge { max: usize },
    /// A response has more fields than the limit.
    TooManyFields { max: usize },
    /// A line of the response head is not a field.
    InvalidField { offset: usize },
    /// `Status:` or the status line does not have a status code from 200 to 999.
    InvalidStatus { offset: usize },
    /// `Status:` appears twice.
    DuplicateStatus { offset: usize },
    /// Content-Length of a response is not a number, or appears twice with different values.
    InvalidResponseLength { offset: usize },
}

impl DecodeError {
    /// The status of the response that a server sends on this error: 413 for a body over the
    /// limit, 431 for a head over a limit, 400 for anything else.
    #[must_use]
    pub const fn status_hint(&self) -> Status {
        match self {
            Self::BodyTooLarge { .. } => Status::CONTENT_TOO_LARGE,
            Self::HeaderBlockTooLarge { .. }
            | Self::NameTooLong { .. }
            | Self::ValueTooLong { .. }
            | Self::TooManyParams { .. } => Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => Status::BAD_REQUEST,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotScgi { protocol } => not_scgi(f, protocol),
            Self::InvalidLength { offset, byte } => write!(
                f,
                "byte 0x{byte:02x} at offset {offset} is not part of a netstring length; \
                 the peer does not speak SCGI"
            ),
            Self::LeadingZero => f.write_str("the netstring length begins with a superfluous zero"),
            Self::HeaderBlockTooLarge { len, max } => write!(
                f,
                "a header block of {len} bytes or more is over the limit of {max} bytes; raise \
                 the limit or lower the front server's header limits"
            ),
            Self::MissingComma { offset, byte } => write!(
                f,
                "byte 0x{byte:02x} at offset {offset} is where a comma must end the header block"
            ),
            Self::MissingFinalNul { offset } => {
                write!(f, "the header block does not end with NUL at offset {offset}")
            }
            Self::MissingValue { offset } => {
                write!(f, "the name at offset {offset} ends the header block without a value")
            }
            Self::EmptyName { offset } => write!(f, "the name at offset {offset} is empty"),
            Self::NameTooLong { offset, len, max } => write!(
                f,
                "the name at offset {offset} has {len} bytes, over the limit of {max} bytes"
            ),
            Self::ValueTooLong { offset, len, max } => write!(
                f,
                "the value at offset {offset} has {len} bytes, over the limit of {max} bytes"
            ),
            Self::TooManyParams { max } => write!(f, "there are more than {max} params"),
            Self::EmptyHeaderBlock => f.write_str("the header block is empty"),
            Self::InvalidContentLength { offset } => {
                write!(f, "CONTENT_LENGTH at offset {offset} is not a number of ASCII digits")
            }
            Self::ContentLengthOverflow { offset } => {
                write!(f, "CONTENT_LENGTH at offset {offset} does not fit into 64 bits")
            }
            Self::UnknownContentLength { offset } => write!(
                f,
                "CONTENT_LENGTH at offset {offset} is -1: the front server passes on a chunked \
                 upload without its length; let it buffer uploads, or refuse chunked ones"
            ),
            Self::MisspelledContentLength { offset } => write!(
                f,
                "the param at offset {offset} states the length of the body under a wrong name; \
                 it must be CONTENT_LENGTH"
            ),
            Self::DuplicateContentLength { offset } => {
                write!(f, "CONTENT_LENGTH appears twice; the second one is at offset {offset}")
            }
            Self::MissingContentLength => f.write_str("CONTENT_LENGTH is absent or empty"),
            Self::ContentLengthNotFirst { offset } => {
                write!(f, "CONTENT_LENGTH at offset {offset} is not the first param")
            }
            Self::UnsupportedVersion { offset } => {
                write!(f, "SCGI at offset {offset} is not 1, the only version there is")
            }
            Self::DuplicateScgi { offset } => {
                write!(f, "SCGI appears twice; the second one is at offset {offset}")
            }
            Self::MissingScgi => f.write_str("the param SCGI is absent"),
            Self::DuplicateName { offset } => {
                write!(f, "the name at offset {offset} appears twice")
            }
            Self::InvalidHttpContentLength { offset } => {
                write!(f, "HTTP_CONTENT_LENGTH at offset {offset} is repeated or not a number")
            }
            Self::LengthDisagreement { content_length, http_content_length } => write!(
                f,
                "CONTENT_LENGTH is {content_length} but HTTP_CONTENT_LENGTH is \
                 {http_content_length}; behind nginx, set scgi_request_buffering on"
            ),
            Self::BodyTooLarge { len, max } => {
                write!(f, "a body of {len} bytes is over the limit of {max} bytes")
            }
            Self::UnexpectedEnd { part, missing } => {
                write!(f, "the input ended in {part}, at least {missing} bytes early")
            }
            Self::NoResponse => f.write_str("the server closed without a response"),
            Self::ResponseCut => f.write_str(
                "the connection was reset before the end of a response without Content-Length; \
                 some of it may be missing",
            ),
            Self::ResponseHeadTooLarge { max } => {
                write!(f, "the response head is over the limit of {max} bytes")
            }
            Self::TooManyFields { max } => write!(f, "the response has more than {max} fields"),
            Self::InvalidField { offset } => write!(
                f,
                "the line at offset {offset} of the response is not a header field; the server does not \
                 answer with a CGI response"
            ),
            Self::InvalidStatus { offset } => {
                write!(f, "the line at offset {offset} does not have a status code from 200 to 999")
            }
            Self::DuplicateStatus { offset } => {
                write!(f, "Status appears twice; the second one is at offset {offset}")
            }
            Self::InvalidResponseLength { offset } => write!(
                f,
                "Content-Length at offset {offset} is not a number or contradicts an earlier one"
            ),
        }
    }
}

fn not_scgi(f: &mut fmt::Formatter<'_>, protocol: Protocol) -> fmt::Result {
    f.write_str(match protocol {
        Protocol::Http => {
            "this is an HTTP request, not SCGI: point the front server at this port with \
             scgi_pass (nginx), ProxyPass scgi:// (Apache) or scgi.server (lighttpd)"
        }
        Protocol::Tls => {
            "this is a TLS handshake, not SCGI: end TLS at the front server and let it reach \
             this port with plain scgi_pass"
        }
        Protocol::FastCgi => {
            "this is a FastCGI record, not SCGI: use scgi_pass instead of fastcgi_pass (nginx), \
             scgi:// instead of fcgi:// (Apache)"
        }
    })
}

impl core::error::Error for DecodeError {}

/// The caller asked for a message that the protocol does not allow.
///
/// Indexes count params or fields from 0, in the order in which the caller gave them.
///
/// # Examples
/// ```
/// use scgi_proto::{EncodeError, RequestEncoder, RequestHead};
/// let head = RequestHead::builder("GET", "/").param("HTTP_COOKIE", "a\0b").build();
/// let error = RequestEncoder::default().head(&head, &mut Default::default()).unwrap_err();
/// assert_eq!(error, EncodeError::NulByte { index: 8 });
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are named for what they hold; the variants say more")]
pub enum EncodeError {
    /// A param's name is empty.
    EmptyName { index: usize },
    /// A param's name or value holds NUL.
    NulByte { index: usize },
    /// CONTENT_LENGTH is given twice.
    DuplicateContentLength { index: usize },
    /// CONTENT_LENGTH is given as something else than the length of the body.
    ContentLengthMismatch { index: usize },
    /// SCGI is given twice.
    DuplicateScgi { index: usize },
    /// SCGI is given with another value than `1`.
    UnsupportedVersion { index: usize },
    /// A field's name is not a token (RFC 9110 section 5.6.2).
    InvalidFieldName { index: usize },
    /// A field's value holds a control byte other than a tab.
    InvalidFieldValue { index: usize },
    /// A field that only the front server may send: hop-by-hop fields, Transfer-Encoding, Status.
    ForbiddenField { index: usize },
    /// A field beside the Location of a local redirect (RFC 3875 section 6.2.2).
    FieldInLocalRedirect { index: usize },
    /// The path of a local redirect does not begin with one slash, so that it would lead to
    /// another site or nowhere; or it holds a blank or a backslash, which browsers change.
    InvalidLocalRedirect,
    /// A status or a reason for a local redirect, which is sent without one.
    StatusInLocalRedirect { code: u16 },
    /// Content-Length is not a number, appears twice, or is not 0 for status 205.
    InvalidResponseLength { index: usize },
    /// A status below 200 or above 999: a CGI response is final.
    InvalidStatus { code: u16 },
    /// Status 101 in answer to a request that has no [valid upgrade](crate::RequestHead::upgrade).
    /// A front server would pass it on, and the client would take what follows for the next response.
    UpgradeNotOffered,
    /// Status 101 without a program that takes the connection
    /// ([`Response::with_upgrade`](crate::Response)).
    UpgradeNotTaken,
    /// The reason phrase holds a control byte other than a tab.
    InvalidReason,
    /// A body for a status that has none (204, 205, 304), or for a local redirect.
    BodyNotAllowed { code: u16 },
    /// The body goes past its stated length by this many bytes.
    BodyTooLong { excess: u64 },
    /// The body ended this many bytes before its stated length.
    BodyTooShort { missing: u64 },
    /// The head was given twice, or something followed the end.
    AlreadySent,
    /// A body or an end came before the head, or a response before the request's head.
    HeadMissing,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::EmptyName { index } => write!(f, "the name of param {index} is empty"),
            Self::NulByte { index } => write!(f, "param {index} holds NUL"),
            Self::DuplicateContentLength { index } => {
                write!(f, "param {index} is a second CONTENT_LENGTH")
            }
            Self::ContentLengthMismatch { index } => {
                write!(f, "param {index}, CONTENT_LENGTH, is not the length of the body")
            }
            Self::DuplicateScgi { index } => write!(f, "param {index} is a second SCGI"),
            Self::UnsupportedVersion { index } => {
                write!(f, "param {index}, SCGI, is not 1, the only version there is")
            }
            Self::InvalidFieldName { index } => {
                write!(f, "the name of response field {index} is not a token")
            }
            Self::InvalidFieldValue { index } => {
                write!(f, "the value of response field {index} holds a control byte")
            }
            Self::ForbiddenField { index } => write!(
                f,
                "response field {index} is one that only the front server may send, or Status"
            ),
            Self::FieldInLocalRedirect { index } => {
                write!(
                    f,
                    "response field {index} is not allowed beside the Location of a local redirect"
                )
            }
            Self::InvalidLocalRedirect => f.write_str(
                "the path of a local redirect must begin with one slash and hold no blank and no \
                 backslash",
            ),
            Self::StatusInLocalRedirect { code } => {
                write!(f, "a local redirect is sent without a status, but it has {code}")
            }
            Self::InvalidResponseLength { index } => {
                write!(
                    f,
                    "response field {index}, Content-Length, is repeated, not a number, or not 0 for status 205"
                )
            }
            Self::InvalidStatus { code } => {
                write!(f, "status {code} cannot end a request: it must be from 200 to 999")
            }
            Self::UpgradeNotOffered => {
                f.write_str("the response switches protocols, but the request has no valid upgrade")
            }
            Self::UpgradeNotTaken => {
                f.write_str("the response switches protocols, but no program takes the connection")
            }
            Self::InvalidReason => f.write_str("the reason phrase holds a control byte"),
            Self::BodyNotAllowed { code } => {
                write!(f, "a response with status {code} has no body")
            }
            Self::BodyTooLong { excess } => {
                write!(f, "the body goes {excess} bytes past its stated length")
            }
            Self::BodyTooShort { missing } => {
                write!(f, "the body ended {missing} bytes before its stated length")
            }
            Self::AlreadySent => f.write_str("that part of the message was already sent"),
            Self::HeadMissing => f.write_str("the head must come first"),
        }
    }
}

impl core::error::Error for EncodeError {}

//! The head of a response: status and fields.

pub(crate) mod fields;

use alloc::string::String;
use core::fmt;

use self::fields::Fields;
use crate::wire::escape::Escaped;
use crate::wire::number::Decimal;

/// A status code from 100 to 999.
///
/// # Examples
/// ```
/// use scgi_proto::Status;
/// assert_eq!(Status::NOT_FOUND.to_string(), "404 Not Found");
/// assert_eq!(Status::new(299).map(Status::code), Some(299));
/// assert_eq!(Status::new(99), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal)*) => {
        impl Status {
            $(
                #[doc = concat!("`", $code, " ", $reason, "`")]
                pub const $name: Self = Self($code);
            )*

            /// The usual reason phrase (RFC 9110 section 15), or `Unknown`.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    100 => "Continue",
                    203 => "Non-Authoritative Information",
                    300 => "Multiple Choices",
                    305 => "Use Proxy",
                    402 => "Payment Required",
                    407 => "Proxy Authentication Required",
                    411 => "Length Required",
                    412 => "Precondition Failed",
                    417 => "Expectation Failed",
                    418 => "I'm a teapot",
                    421 => "Misdirected Request",
                    423 => "Locked",
                    451 => "Unavailable For Legal Reasons",
                    505 => "HTTP Version Not Supported",
                    507 => "Insufficient Storage",
                    _ => "Unknown",
                }
            }
        }
    };
}

statuses! {
    SWITCHING_PROTOCOLS 101 "Switching Protocols"
    OK 200 "OK"
    CREATED 201 "Created"
    ACCEPTED 202 "Accepted"
    NO_CONTENT 204 "No Content"
    RESET_CONTENT 205 "Reset Content"
    PARTIAL_CONTENT 206 "Partial Content"
    MOVED_PERMANENTLY 301 "Moved Permanently"
    FOUND 302 "Found"
    SEE_OTHER 303 "See Other"
    NOT_MODIFIED 304 "Not Modified"
    TEMPORARY_REDIRECT 307 "Temporary Redirect"
    PERMANENT_REDIRECT 308 "Permanent Redirect"
    BAD_REQUEST 400 "Bad Request"
    UNAUTHORIZED 401 "Unauthorized"
    FORBIDDEN 403 "Forbidden"
    NOT_FOUND 404 "Not Found"
    METHOD_NOT_ALLOWED 405 "Method Not Allowed"
    NOT_ACCEPTABLE 406 "Not Acceptable"
    REQUEST_TIMEOUT 408 "Request Timeout"
    CONFLICT 409 "Conflict"
    GONE 410 "Gone"
    CONTENT_TOO_LARGE 413 "Content Too Large"
    URI_TOO_LONG 414 "URI Too Long"
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type"
    RANGE_NOT_SATISFIABLE 416 "Range Not Satisfiable"
    UNPROCESSABLE_CONTENT 422 "Unprocessable Content"
    UPGRADE_REQUIRED 426 "Upgrade Required"
    TOO_MANY_REQUESTS 429 "Too Many Requests"
    REQUEST_HEADER_FIELDS_TOO_LARGE 431 "Request Header Fields Too Large"
    INTERNAL_SERVER_ERROR 500 "Internal Server Error"
    NOT_IMPLEMENTED 501 "Not Implemented"
    BAD_GATEWAY 502 "Bad Gateway"
    SERVICE_UNAVAILABLE 503 "Service Unavailable"
    GATEWAY_TIMEOUT 504 "Gateway Timeout"
}

impl Status {
    /// The status with this code, if it is one from 100 to 999.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 100 && code <= 999 { Some(Self(code)) } else { None }
    }

    /// The code as a number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Whether a response with this status has no body (RFC 9110 sections 6.4.1 and 15.3.6).
    #[must_use]
    pub const fn has_no_body(self) -> bool {
        matches!(self.0, 100..=199 | 204 | 205 | 304)
    }
}

impl TryFrom<u16> for Status {
    type Error = InvalidStatus;

    fn try_from(code: u16) -> Result<Self, InvalidStatus> {
        Self::new(code).ok_or(InvalidStatus(code))
    }
}

/// A number that is not a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidStatus(u16);

impl fmt::Display for InvalidStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a status code from 100 to 999", self.0)
    }
}

impl core::error::Error for InvalidStatus {}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The three forms of a CGI response (RFC 3875 section 6.2).
///
/// RFC 3875 has no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseKind {
    /// A document, or any response that is not a redirect.
    Document,
    /// Another path of the same site, which the front server may fetch by itself.
    LocalRedirect,
    /// Another URL, which the client fetches.
    ClientRedirect,
}

/// The head of a CGI response: a status, its reason, and fields.
///
/// # Examples
/// ```
/// use scgi_proto::{ResponseHead, Status};
/// let head = ResponseHead::new(Status::OK).with_field("Content-Type", "text/plain");
/// assert_eq!(head.fields().first("content-type"), Some(&b"text/plain"[..]));
///
/// let head = ResponseHead::redirect(Status::SEE_OTHER, "https://example.org/");
/// assert_eq!(head.status(), Status::SEE_OTHER);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ResponseHead {
    status: Status,
    reason: Option<String>,
    fields: Fields,
    kind: ResponseKind,
}

impl ResponseHead {
    /// A head without fields.
    #[must_use]
    pub fn new(status: Status) -> Self {
        let kind = ResponseKind::Document;
        Self { status, reason: None, fields: Fields::default(), kind }
    }

    /// A client redirect to `url`, which is sent with its status: Apache answers 200 otherwise.
    #[must_use]
    pub fn redirect(status: Status, url: impl AsRef<[u8]>) -> Self {
        let kind = ResponseKind::ClientRedirect;
        Self { kind, ..Self::new(status) }.with_field("Location", url)
    }

    /// A local redirect to `path` with its query (RFC 3875 section 6.2.2): Apache makes a second
    /// request of it; nginx and lighttpd send the browser there with status 302.
    ///
    /// It is sent without a status, the only response that is, and can have no other field. Only a
    /// path of this site can be sent: the encoder refuses `//host`, a URL and an empty path, as the
    /// path may come from a browser.
    ///
    /// Behind Apache the second request has the new path in SCRIPT_NAME and the old one in
    /// REQUEST_URI: a program that uses this routes by
    /// [`PathSource::Mapped`](crate::PathSource::Mapped).
    #[must_use]
    pub fn local_redirect(path: impl AsRef<[u8]>) -> Self {
        let kind = ResponseKind::LocalRedirect;
        Self { kind, ..Self::new(Status::FOUND) }.with_field("Location", path)
    }

    pub(crate) fn decoded(
        status: Status,
        reason: Option<String>,
        fields: Fields,
        kind: ResponseKind,
    ) -> Self {
        Self { status, reason, fields, kind }
    }

    /// Adds a field after the others.
    #[must_use]
    pub fn with_field(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.fields.append(name, value);
        self
    }

    /// Replaces the usual reason phrase of the status.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        // The usual one is not kept: a head that states it is equal to one that does not.
        self.reason = (reason != self.status.reason()).then_some(reason);
        self
    }

    /// Adds Content-Length, if the length of the body is known and the head has none: unless the
    /// response can have no body, so that the front server need not wait for the close.
    pub fn set_content_length_if_absent(&mut self, len: Option<u64>) {
        let bodiless = self.status.has_no_body() || self.kind == ResponseKind::LocalRedirect;
        if let Some(len) =
            len.filter(|_| !bodiless && self.fields.first("Content-Length").is_none())
        {
            self.fields.append("Content-Length", Decimal::new(len).as_bytes());
        }
    }

    /// The length in bytes of the body, as Content-Length states it.
    ///
    /// # Examples
    /// ```
    /// use scgi_proto::{ResponseHead, Status};
    /// let mut head = ResponseHead::new(Status::OK);
    /// assert_eq!(head.content_length(), None);
    /// head.set_content_length_if_absent(Some(7));
    /// assert_eq!(head.content_length(), Some(7));
    /// ```
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        core::str::from_utf8(self.fields.first("Content-Length")?).ok()?.parse().ok()
    }

    /// Replaces the status, and drops a reason phrase of the program's own.
    pub fn set_status(&mut self, status: Status) {
        self.status = status;
        self.reason = None;
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The reason phrase: as given or received, else the usual one.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.own_reason().unwrap_or_else(|| self.status.reason())
    }

    /// A reason phrase that is not the usual one.
    pub(crate) fn own_reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The fields without `Status`.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, to add to.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// Which of the three forms of a CGI response it is.
    #[must_use]
    pub fn kind(&self) -> ResponseKind {
        self.kind
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("reason", &Escaped(self.reason().as_bytes()))
            .field("fields", &self.fields)
            .finish()
    }
}

//! [`Error`], which joins the errors of the layers below with those of the stream.

use alloc::boxed::Box;
#[cfg(feature = "std")]
use core::fmt;

#[cfg(feature = "std")]
use crate::exchange::timeout::Timeout;
#[cfg(feature = "std")]
use crate::wire::error::{DecodeError, EncodeError};

/// Any error, as handlers and sources of bodies report it.
pub type BoxError = Box<dyn core::error::Error + Send + Sync>;

/// What every adapter reports: the stream failed, the peer or the caller broke the protocol, a
/// deadline passed, or a body failed.
///
/// # Examples
/// ```
/// use std::error::Error as _;
/// use scgi_proto::{Error, Timeout};
/// let error = Error::from(Timeout::Head);
/// assert_eq!(error.to_string(), "a deadline passed");
/// let reason = error.source().expect("a reason").to_string();
/// assert_eq!(reason, "the request head was not complete in time");
/// ```
#[cfg(feature = "std")]
#[non_exhaustive]
#[derive(Debug)]
pub enum Error {
    /// The stream failed.
    Io(std::io::Error),
    /// The peer broke the protocol.
    Decode(DecodeError),
    /// The caller broke the protocol.
    Encode(EncodeError),
    /// A deadline passed.
    Timeout(Timeout),
    /// The connection was closed while the body was still being read, or an earlier error ended
    /// the call.
    Closed,
    /// The server takes no more of the request before its response is read, although as much has
    /// come as is read ahead. What was sent so far stays queued.
    ResponseUnread,
    /// A body is longer than the caller wanted to hold, in bytes.
    BodyLimit(usize),
    /// The program's own source of a body failed.
    Body(BoxError),
}

#[cfg(feature = "std")]
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("the stream failed"),
            Self::Decode(_) => f.write_str("the peer broke the protocol"),
            Self::Encode(_) => f.write_str("this program broke the protocol"),
            Self::Timeout(_) => f.write_str("a deadline passed"),
            Self::Closed => f.write_str("the connection is closed"),
            Self::ResponseUnread => {
                f.write_str("the response must be read before more of the request can be sent")
            }
            Self::BodyLimit(max) => write!(f, "the body is longer than {max} bytes"),
            Self::Body(_) => f.write_str("the source of a body failed"),
        }
    }
}

#[cfg(feature = "std")]
impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Decode(error) => Some(error),
            Self::Encode(error) => Some(error),
            Self::Timeout(error) => Some(error),
            Self::Closed | Self::ResponseUnread | Self::BodyLimit(_) => None,
            Self::Body(error) => Some(&**error),
        }
    }
}

#[cfg(feature = "std")]
macro_rules! from {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for Error {
            fn from(error: $from) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

#[cfg(feature = "std")]
from!(std::io::Error => Io, DecodeError => Decode, EncodeError => Encode, Timeout => Timeout);

/// For bodies read through `Read` or `AsyncRead`, whose errors are `io::Error`: the [`Error`] is
/// the inner error of the result.
#[cfg(feature = "std")]
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind;
        let kind = match &error {
            Error::Io(_) => {
                let Error::Io(error) = error else { unreachable!() };
                return error;
            }
            Error::Decode(DecodeError::UnexpectedEnd { .. }) => ErrorKind::UnexpectedEof,
            Error::Decode(DecodeError::ResponseCut) => ErrorKind::ConnectionReset,
            Error::Decode(_) => ErrorKind::InvalidData,
            Error::Encode(_) | Error::BodyLimit(_) => ErrorKind::InvalidInput,
            Error::Timeout(_) => ErrorKind::TimedOut,
            Error::Closed => ErrorKind::ConnectionAborted,
            Error::ResponseUnread => ErrorKind::WouldBlock,
            Error::Body(_) => ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

//! The two encoders: heads to bytes, and the accounting of bodies.

mod request;
mod response;

pub use request::RequestEncoder;
pub use response::ResponseEncoder;

use crate::wire::error::EncodeError;

/// Where an encoder stands, and how much of a stated length is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Progress {
    #[default]
    Head,
    Body {
        /// `None`: the length was not stated.
        remaining: Option<u64>,
    },
    Done,
}

impl Progress {
    fn body(&mut self, len: usize) -> Result<(), EncodeError> {
        match self {
            Self::Head => Err(EncodeError::HeadMissing),
            Self::Body { remaining: None } => Ok(()),
            Self::Body { remaining: Some(remaining) } => {
                let len = len as u64;
                *remaining = remaining
                    .checked_sub(len)
                    .ok_or_else(|| EncodeError::BodyTooLong { excess: len - *remaining })?;
                Ok(())
            }
            Self::Done => Err(EncodeError::AlreadySent),
        }
    }

    fn finish(&mut self) -> Result<(), EncodeError> {
        match *self {
            Self::Head => Err(EncodeError::HeadMissing),
            Self::Body { remaining: Some(missing @ 1..) } => {
                Err(EncodeError::BodyTooShort { missing })
            }
            Self::Body { .. } => {
                *self = Self::Done;
                Ok(())
            }
            Self::Done => Err(EncodeError::AlreadySent),
        }
    }
}

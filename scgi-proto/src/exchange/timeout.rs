//! The deadlines of a connection, by name: those of a server, then those of a client.

use core::fmt;

/// Which deadline passed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// The request's head was not complete in time.
    Head,
    /// No byte of the request's body arrived in time.
    Body,
    /// The request's body came at less than the minimum rate.
    BodyRate,
    /// The program did not read the request's body in time.
    Unread,
    /// The peer took no byte of the response in time.
    Write,
    /// The peer took the response at less than the minimum rate.
    WriteRate,
    /// The whole request took too long.
    Request,
    /// The peer kept sending after the response until the time to drain was over.
    Drain,
    /// The server was not connected in time.
    Connect,
    /// The server took no byte of the request in time.
    RequestWrite,
    /// The whole request was sent, and the response's head was not complete in time.
    ResponseHead,
    /// No byte of the response's body arrived in time.
    ResponseBody,
    /// The whole call took too long.
    Call,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the request head was not complete in time",
            Self::Body => "no byte of the request body arrived in time",
            Self::BodyRate => "the request body came at less than the minimum rate",
            Self::Unread => "the program did not read the request body in time",
            Self::WriteRate => "the peer took the response at less than the minimum rate",
            Self::Write => "the peer took no byte of the response in time",
            Self::Request => "the whole request took too long",
            Self::Drain => "the peer kept sending until the time to drain was over",
            Self::Connect => "the server was not connected in time",
            Self::RequestWrite => "the server took no byte of the request in time",
            Self::ResponseHead => "the response head was not complete in time",
            Self::ResponseBody => "no byte of the response body arrived in time",
            Self::Call => "the whole call took too long",
        })
    }
}

impl core::error::Error for Timeout {}

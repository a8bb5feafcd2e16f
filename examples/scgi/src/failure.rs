//! Formats errors for the user.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

use scgi_proto::BoxError;
use scgi_proto::{Address, DecodeError};

/// An error and all that caused it, on one line: `a: b: c; what to do`.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut last = error;
    while let Some(cause) = last.source() {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        last = cause;
    }
    if let Some(advice) = advice(last) {
        text.push_str("; ");
        text.push_str(advice);
    }
    text
}

/// What the program was doing when something failed.
#[derive(Debug)]
struct While {
    what: String,
    source: BoxError,
}

impl fmt::Display for While {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for While {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// Says what was being done.
pub(crate) trait Context<T> {
    /// Puts `what` in front of the error.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, BoxError>;
}

impl<T, E: Into<BoxError>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, BoxError> {
        self.map_err(|error| While { what: what(), source: error.into() }.into())
    }
}

const NOBODY_LISTENS: &str =
    "nothing listens there: start the server, or compare the port with its settings";

/// Why a server could not be reached, and what to do about it.
pub(crate) fn cannot_connect(address: &Address, error: &io::Error) -> String {
    let is_unix = matches!(address, Address::Unix(_));
    let advice = match error.kind() {
        ErrorKind::ConnectionRefused if is_unix => {
            "no server listens on that socket any more: start it"
        }
        ErrorKind::ConnectionRefused => NOBODY_LISTENS,
        ErrorKind::NotFound if is_unix => {
            "there is no such socket: start the server, or compare the path with its settings"
        }
        ErrorKind::PermissionDenied if is_unix => {
            "the socket needs write permission, and each folder above it the right to enter"
        }
        ErrorKind::TimedOut if is_unix => {
            "the server accepts no connections, and its queue is full: it is stuck or overloaded"
        }
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "the host is down, or a firewall drops what is sent to it"
        }
        _ => return format!("cannot connect to {address}: {error}"),
    };
    // A deadline is the cause within the error.
    let cause = error.get_ref().and_then(|error| error.source());
    let text = cause.map_or_else(|| error.to_string(), ToString::to_string);
    format!("cannot connect to {address}: {text}; {advice}")
}

/// What to do about an error, as far as the error alone tells.
fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(DecodeError::NoResponse) = error.downcast_ref() {
        return Some(
            "look at its log: it refused the request, crashed on it, or speaks FastCGI or uwsgi \
             instead (scgi check tells what it takes)",
        );
    }
    let error: &io::Error = error.downcast_ref()?;
    (error.kind() == ErrorKind::ConnectionRefused).then_some(NOBODY_LISTENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_told_once() {
        let error = io::Error::other(scgi_tokio::Error::from(DecodeError::LeadingZero));
        let error = Err::<(), _>(error).context(|| "FILE".into()).expect_err("an error");
        assert_eq!(
            chain(&*error),
            "FILE: the peer broke the protocol: the netstring length begins with a superfluous zero"
        );
    }
}

//! Errors as the user reads them.

use std::error::Error;
use std::fmt;

use scgi_examples::BoxError;

/// An error and all that caused it, on one line: `a: b: c`.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_told_once() {
        let error =
            std::io::Error::other(scgi_tokio::Error::from(scgi_tokio::DecodeError::LeadingZero));
        let error = Err::<(), _>(error).context(|| "FILE".into()).expect_err("an error");
        assert_eq!(
            chain(&*error),
            "FILE: the peer broke the protocol: the netstring length begins with a superfluous zero"
        );
    }
}

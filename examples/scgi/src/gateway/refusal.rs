//! The responses that the gateway sends itself, with their statuses.

use std::error::Error;
use std::io;

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use scgi_tokio::{Body, ConvertError, Timeout};

use super::upload::UploadError;
use crate::failure::chain;

/// An answer of the gateway's own.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// For anyone who asked: nothing about the server.
    pub(crate) text: String,
    /// For the log, where it says more.
    pub(crate) reason: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), reason: None }
    }

    /// Why it was answered so.
    pub(crate) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.text)
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let text = format!("{}: {}\n", self.status, self.text);
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let no_sniff = HeaderName::from_static("x-content-type-options");
        headers.insert(no_sniff, HeaderValue::from_static("nosniff"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A request that has no counterpart in SCGI.
pub(crate) fn of_convert(error: &ConvertError) -> Refusal {
    let status = StatusCode::from_u16(error.status_hint().code());
    Refusal::new(status.unwrap_or(StatusCode::BAD_REQUEST), error.to_string())
}

/// A call that failed. The fault of the browser is never 502: that says that the server is broken.
pub(crate) fn of_call(error: &(dyn Error + 'static)) -> Refusal {
    let mut causes =
        std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let found = causes.find_map(of_cause);
    let (status, text) =
        found.unwrap_or_else(|| (StatusCode::BAD_GATEWAY, "the server failed".into()));
    Refusal { status, text, reason: Some(chain(error)) }
}

fn of_cause(error: &(dyn Error + 'static)) -> Option<(StatusCode, String)> {
    if let Some(error) = error.downcast_ref::<ConvertError>() {
        let refusal = of_convert(error);
        let text = match refusal.status {
            StatusCode::BAD_GATEWAY => "the response of the server cannot be passed on".into(),
            _ => refusal.text,
        };
        return Some((refusal.status, text));
    }
    if let Some(error) = error.downcast_ref::<UploadError>() {
        let status = match error {
            UploadError::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            UploadError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            UploadError::NoSpace | UploadError::Spool(_) => StatusCode::SERVICE_UNAVAILABLE,
            UploadError::Broken(_) => StatusCode::BAD_REQUEST,
        };
        return Some((status, error.to_string()));
    }
    let is_timed_out = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    // A deadline of the client, or the system's own.
    let is_late = error.is::<Timeout>() || error.downcast_ref().is_some_and(is_timed_out);
    is_late.then(|| (StatusCode::GATEWAY_TIMEOUT, "the server does not answer".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use scgi_tokio::Error as ScgiError;
    use std::time::Duration;

    #[test]
    fn statuses_of_failed_calls() {
        let rows: [(Box<dyn Error>, u16); 11] = [
            (ScgiError::Timeout(Timeout::Connect).into(), 504),
            (ScgiError::Timeout(Timeout::ResponseHead).into(), 504),
            (ConvertError::NulInPath.into(), 400),
            (ConvertError::UriTooLong { len: 70_000, max: 65_534 }.into(), 414),
            (ConvertError::InvalidField { index: 0 }.into(), 502),
            (io::Error::from(io::ErrorKind::TimedOut).into(), 504),
            (io::Error::from(io::ErrorKind::ConnectionRefused).into(), 502),
            (ScgiError::Body(Box::new(UploadError::TooLarge(1))).into(), 413),
            (ScgiError::Body(Box::new(UploadError::Timeout(Duration::ZERO))).into(), 408),
            (UploadError::NoSpace.into(), 503),
            (UploadError::Spool(io::ErrorKind::StorageFull.into()).into(), 503),
        ];
        for (error, status) in rows {
            assert_eq!(of_call(&*error).status.as_u16(), status, "{error:?}");
        }
    }
}

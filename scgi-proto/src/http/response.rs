//! Responses, both ways.

use ::http::header::{CONNECTION, CONTENT_LENGTH, GetAll, UPGRADE};
use ::http::response::Parts;
use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{ConvertError, MAX_NAMES};
use crate::wire::escape::is_secret;
use crate::wire::field::{is_hop_by_hop, trim};
use crate::wire::response::{ResponseHead, Status};

/// Makes a response's head of an `http` one.
///
/// Left out: hop-by-hop fields (Connection and what it names, Keep-Alive, TE, Trailer,
/// Transfer-Encoding, Upgrade but of a 101 and a 426), which are the front server's to send; `Status`, which would
/// replace the status; and Content-Length where the status allows no body at all (204, 205), or where
/// it is the 0 of a 304 that has none: there it would say how long the document is (RFC 9110
/// section 8.6).
///
/// # Examples
/// ```
/// use scgi_proto::http::response_from_http;
/// let (parts, ()) = http::Response::builder()
///     .status(303)
///     .header("location", "/done")
///     .header("connection", "close")
///     .body(())?
///     .into_parts();
/// let head = response_from_http(&parts);
/// assert_eq!(head.status().code(), 303);
/// assert_eq!(head.fields().len(), 1);
/// # Ok::<(), http::Error>(())
/// ```
#[must_use]
pub fn response_from_http(parts: &Parts) -> ResponseHead {
    // Both take 100 to 999.
    let status = Status::from(parts.status);
    let mut head = ResponseHead::new(status);
    let connection = parts.headers.get_all(CONNECTION);
    for (header, value) in &parts.headers {
        let name = header.as_str();
        let left_out = (is_of_connection(name.as_bytes(), &connection)
            && !(header == UPGRADE && has_upgrade(parts.status)))
            // Names of headers are in lower case.
            || name == "status"
            || (header == CONTENT_LENGTH && is_no_length(parts.status, value));
        if !left_out {
            head.fields_mut().append(name, value);
        }
    }
    head
}

impl From<StatusCode> for Status {
    fn from(status: StatusCode) -> Self {
        // Both are from 100 to 999.
        Self::new(status.as_u16()).unwrap_or(Self::INTERNAL_SERVER_ERROR)
    }
}

impl From<Status> for StatusCode {
    fn from(status: Status) -> Self {
        Self::from_u16(status.code()).unwrap_or(Self::INTERNAL_SERVER_ERROR)
    }
}

/// Whether the Upgrade of a response is part of what it says.
fn has_upgrade(status: StatusCode) -> bool {
    matches!(status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED)
}

/// Whether a Content-Length says nothing of a body.
fn is_no_length(status: StatusCode, value: &HeaderValue) -> bool {
    has_no_length(status) || (status == StatusCode::NOT_MODIFIED && value == "0")
}

/// Whether a response must not have a Content-Length (RFC 9110 section 8.6), or its body is dropped
/// (205).
fn has_no_length(status: StatusCode) -> bool {
    status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT)
}

/// Makes an `http` response's head of a backend's.
///
/// Hop-by-hop fields are left out, but Upgrade of a 101 and a 426; a 101 gets `Connection: upgrade`.
/// A repeated Content-Length (the decoder has seen that the values are equal) becomes one. A status
/// that allows no body (1xx, 204, 205) has none. A local redirect becomes a 302 with its path, as
/// nginx and lighttpd treat it.
///
/// # Errors
/// [`ConvertError::InvalidField`] if a value holds a control byte, and
/// [`ConvertError::TooManyFields`] above 24,576 fields of different names.
pub fn response_to_http(head: &ResponseHead) -> Result<Parts, ConvertError> {
    let mut parts = ::http::Response::new(()).into_parts().0;
    // Both take 100 to 999.
    parts.status = head.status().into();
    let too_many = ConvertError::TooManyFields { max: MAX_NAMES };
    let len = head.fields().len().min(MAX_NAMES);
    parts.headers.try_reserve(len).map_err(|_| too_many.clone())?;
    for (index, (name, value)) in head.fields().iter().enumerate() {
        let invalid = |_| ConvertError::InvalidField { index };
        let mut value = HeaderValue::from_bytes(value).map_err(invalid)?;
        value.set_sensitive(is_secret(name));
        let name =
            HeaderName::from_bytes(name).map_err(|_| ConvertError::InvalidField { index })?;
        if name == CONTENT_LENGTH && has_no_length(parts.status) {
            continue;
        }
        let added = if name == CONTENT_LENGTH {
            parts.headers.try_insert(name, value).map(drop)
        } else {
            parts.headers.try_append(name, value).map(drop)
        };
        added.map_err(|_| too_many.clone())?;
    }
    drop_of_connection(&mut parts.headers, has_upgrade(parts.status));
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let upgrade = HeaderValue::from_static("upgrade");
        parts.headers.try_insert(CONNECTION, upgrade).map_err(|_| too_many)?;
    }
    Ok(parts)
}

fn drop_of_connection(headers: &mut HeaderMap, keeps_upgrade: bool) {
    let connection = headers.get_all(CONNECTION);
    let is = |name: &HeaderName| {
        is_of_connection(name.as_str().as_bytes(), &connection)
            && !(keeps_upgrade && name == UPGRADE)
    };
    let names: alloc::vec::Vec<_> = headers.keys().filter(|name| is(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether a header concerns only one connection: hop-by-hop by itself, or named by Connection, of
/// which these are all values (RFC 9110 section 7.6.1).
pub(super) fn is_of_connection(name: &[u8], connection: &GetAll<'_, HeaderValue>) -> bool {
    let named = |value: &HeaderValue| {
        value.as_bytes().split(|b| *b == b',').any(|part| trim(part).eq_ignore_ascii_case(name))
    };
    is_hop_by_hop(name) || connection.iter().any(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    type Pairs<'a> = &'a [(&'a str, &'a [u8])];

    fn parts(status: u16, pairs: Pairs<'_>) -> Parts {
        let builder = ::http::Response::builder().status(status);
        let builder = pairs.iter().fold(builder, |b, (n, v)| b.header(*n, *v));
        builder.body(()).expect("a response").into_parts().0
    }

    fn fields(head: &ResponseHead) -> Vec<(&str, &[u8])> {
        head.fields().iter().map(|(n, v)| (str::from_utf8(n).expect("a token"), v)).collect()
    }

    #[test]
    fn from_http() {
        let rows: &[(u16, Pairs<'_>, Pairs<'_>)] = &[
            (200, &[], &[]),
            (200, &[("Content-Type", b"a/b")], &[("content-type", b"a/b")]),
            (299, &[("X", b"caf\xe9")], &[("x", b"caf\xe9")]),
            (200, &[("x-empty", b"")], &[("x-empty", b"")]),
            (
                200,
                &[("set-cookie", b"a=1"), ("x", b"1"), ("set-cookie", b"b=2")],
                &[("set-cookie", b"a=1"), ("set-cookie", b"b=2"), ("x", b"1")],
            ),
            (302, &[("location", b"/x")], &[("location", b"/x")]),
            (200, &[("transfer-encoding", b"chunked"), ("trailer", b"x")], &[]),
            (200, &[("connection", b"close, X-Mine"), ("x-mine", b"1"), ("keep-alive", b"1")], &[]),
            (101, &[("upgrade", b"websocket"), ("te", b"trailers")], &[("upgrade", b"websocket")]),
            (200, &[("status", b"404 Not Found")], &[]),
            (204, &[("content-length", b"0"), ("x", b"1")], &[("x", b"1")]),
            (205, &[("content-length", b"5"), ("x", b"1")], &[("x", b"1")]),
            (304, &[("content-length", b"0"), ("x", b"1")], &[("x", b"1")]),
            (304, &[("content-length", b"9")], &[("content-length", b"9")]),
            (
                304,
                &[("content-length", b"5"), ("etag", b"\"x\"")],
                &[("content-length", b"5"), ("etag", b"\"x\"")],
            ),
        ];
        for (status, given, expected) in rows {
            let head = response_from_http(&parts(*status, given));
            assert_eq!(head.status().code(), *status);
            assert_eq!(fields(&head), *expected, "{given:?}");
        }
    }

    #[test]
    fn to_http() {
        let rows: &[(u16, Pairs<'_>, Pairs<'_>)] = &[
            (404, &[("Content-Type", b"a/b")], &[("content-type", b"a/b")]),
            (
                200,
                &[("Set-Cookie", b"a"), ("Set-Cookie", b"b")],
                &[("set-cookie", b"a"), ("set-cookie", b"b")],
            ),
            (
                200,
                &[("Content-Length", b"1"), ("content-length", b"1")],
                &[("content-length", b"1")],
            ),
            (200, &[("Connection", b"x-a"), ("X-A", b"1"), ("Keep-Alive", b"1")], &[]),
            (200, &[("Transfer-Encoding", b"chunked"), ("Upgrade", b"x")], &[]),
            (999, &[("X", b"\xe9")], &[("x", b"\xe9")]),
            (204, &[("Content-Length", b"0"), ("X", b"1")], &[("x", b"1")]),
            (205, &[("Content-Length", b"5"), ("X", b"1")], &[("x", b"1")]),
            (304, &[("Content-Length", b"5")], &[("content-length", b"5")]),
        ];
        for (code, given, expected) in rows {
            let head = ResponseHead::new(Status::new(*code).expect("a status"));
            let head = given.iter().fold(head, |head, (n, v)| head.with_field(n, v));
            let parts = response_to_http(&head).expect("a response");
            assert_eq!(parts.status.as_u16(), *code);
            let listed: Vec<_> =
                parts.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
            assert_eq!(listed, *expected, "{given:?}");
        }
        let redirect = response_to_http(&ResponseHead::local_redirect("/x")).expect("a response");
        assert_eq!(redirect.status, StatusCode::FOUND);
        assert_eq!(redirect.headers["location"], "/x");
    }

    #[test]
    fn more_fields_than_a_map_holds_are_refused() {
        let with = |count: usize| {
            let head = ResponseHead::new(Status::OK);
            (0..count).fold(head, |head, i| head.with_field(alloc::format!("X{i}"), ""))
        };
        let parts = response_to_http(&with(MAX_NAMES)).expect("a response");
        assert_eq!(parts.headers.keys_len(), MAX_NAMES);
        let error = response_to_http(&with(MAX_NAMES + 1)).err();
        assert_eq!(error, Some(ConvertError::TooManyFields { max: MAX_NAMES }));
        let same = (0..40_000)
            .fold(ResponseHead::new(Status::OK), |head, _| head.with_field("Set-Cookie", "a=1"));
        assert_eq!(response_to_http(&same).map(|parts| parts.headers.len()), Ok(40_000));
    }

    #[test]
    fn cookies_that_are_set_are_marked_as_secret() {
        let head = ResponseHead::new(Status::OK)
            .with_field("Set-Cookie", "a=1")
            .with_field("Content-Type", "a/b");
        let parts = response_to_http(&head).expect("a response");
        assert!(parts.headers["set-cookie"].is_sensitive());
        assert!(!parts.headers["content-type"].is_sensitive());
    }

    #[test]
    fn fields_that_http_cannot_hold_are_refused() {
        for (name, value) in [("A B", &b"x"[..]), ("", b"x"), ("A", b"\x01"), ("A", b"x\r\ny: z")] {
            let head = ResponseHead::new(Status::OK).with_field("Ok", "1").with_field(name, value);
            let error = response_to_http(&head).err();
            assert_eq!(error, Some(ConvertError::InvalidField { index: 1 }), "{name}");
        }
    }
}

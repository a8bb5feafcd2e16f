//! The headers of a received request: which params make one, and what its value shares.

use alloc::vec::Vec;

use ::http::header;
use ::http::{HeaderMap, HeaderName, HeaderValue};

use bytes::Bytes;

use super::{ConvertError, MAX_NAMES};
use crate::wire::escape::is_secret;
use crate::wire::request::params::Params;

/// What the variables of headers begin with.
pub(super) const HTTP: &[u8] = b"HTTP_";

/// How many params of a usual head are not headers, at least.
const VARIABLES: usize = 10;

/// An empty map with room for all headers of a usual head, so that it does not grow.
pub(super) fn new_headers(params: &Params) -> Result<HeaderMap, ConvertError> {
    // Counting them exactly would take a pass of its own.
    let capacity = params.len().saturating_sub(VARIABLES).min(MAX_NAMES);
    HeaderMap::try_with_capacity(capacity).map_err(|_| too_many())
}

/// Adds a header; of those that may appear only once, the last one counts.
pub(super) fn add(
    headers: &mut HeaderMap,
    name: &HeaderName,
    value: HeaderValue,
    is_single: bool,
) -> Result<(), ConvertError> {
    if is_single {
        return insert(headers, name, value);
    }
    headers.try_append(name, value).map(drop).map_err(|_| too_many())
}

/// Adds a header whose name is not one of the usual ones, if the variable makes one.
pub(super) fn add_unusual(
    headers: &mut HeaderMap,
    index: usize,
    block: &Bytes,
    name: &[u8],
    value: &[u8],
) -> Result<(), ConvertError> {
    let variable = &name[HTTP.len()..];
    if is_left_out(variable) {
        return Ok(());
    }
    let Some(header) = to_name(variable) else { return Ok(()) };
    let invalid = ConvertError::InvalidHeaderValue { index };
    let mut value = shared(block, value).ok_or(invalid)?;
    value.set_sensitive(is_secret(name));
    add(headers, &header, value, is_single(&header))
}

/// Above this, a block is more than a usual head.
const USUAL_HEAD: usize = 4 * 1024;

/// A value that shares the block, or a copy where it would hold much more than it is long. `None`
/// if it holds a control byte.
pub(super) fn shared(block: &Bytes, value: &[u8]) -> Option<HeaderValue> {
    if block.len() > USUAL_HEAD && value.len() < block.len() / 8 {
        HeaderValue::from_bytes(value).ok()
    } else {
        HeaderValue::from_maybe_shared(block.slice_ref(value)).ok()
    }
}

/// The header of a variable that is not a usual one, if it makes one.
fn to_name(variable: &[u8]) -> Option<HeaderName> {
    let to_header = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    let mut place = [0; 64];
    match place.get_mut(..variable.len()) {
        Some(place) => {
            place.iter_mut().zip(variable).for_each(|(to, from)| *to = to_header(from));
            HeaderName::from_bytes(place).ok()
        }
        None => {
            let text: Vec<u8> = variable.iter().map(to_header).collect();
            HeaderName::from_bytes(&text).ok()
        }
    }
}

pub(super) fn too_many() -> ConvertError {
    ConvertError::TooManyHeaders { max: MAX_NAMES }
}

pub(super) fn insert(
    headers: &mut HeaderMap,
    name: &HeaderName,
    value: HeaderValue,
) -> Result<(), ConvertError> {
    match headers.try_insert(name, value) {
        Ok(_) => Ok(()),
        Err(_) => Err(too_many()),
    }
}

/// Whether there can be only one header of this name in a request (RFC 9110, RFC 6454, RFC 6455,
/// Fetch). Of two, which only a front server's configuration can make, the last one counts.
fn is_single(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 22] = [
        header::HOST,
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::USER_AGENT,
        header::REFERER,
        header::ORIGIN,
        header::FROM,
        header::DATE,
        header::MAX_FORWARDS,
        header::RANGE,
        header::IF_RANGE,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::CONTENT_LOCATION,
        header::CONTENT_RANGE,
        header::LAST_MODIFIED,
        header::UPGRADE_INSECURE_REQUESTS,
        header::DNT,
        header::ACCESS_CONTROL_REQUEST_METHOD,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::EXPIRES,
    ];
    NAMES.contains(name)
}

/// Whether a variable, without its `HTTP_`, makes no header.
pub(super) fn is_left_out(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 12] = [
        b"CONTENT_TYPE",
        b"CONTENT_LENGTH",
        b"PROXY",
        b"TRANSFER_ENCODING",
        b"CONNECTION",
        b"TE",
        b"KEEP_ALIVE",
        b"UPGRADE",
        b"EXPECT",
        // Not used by browsers, and of the same kind.
        b"TRAILER",
        b"PROXY_CONNECTION",
        b"PROXY_AUTHENTICATE",
    ];
    // Without regard to case and to `-`: header names have no case, and both are one header.
    let is = |left: &[u8]| {
        left.len() == name.len()
            && left.iter().zip(name).all(|(left, byte)| {
                *left == byte.to_ascii_uppercase() || (*left == b'_' && *byte == b'-')
            })
    };
    NAMES.into_iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_a_whole_name() {
        for name in [&b"KEEP_ALIVE"[..], b"keep-alive", b"Keep_Alive", b"TE", b"te"] {
            assert!(is_left_out(name), "{name:?}");
        }
        for name in [&b"KEEPXALIVE"[..], b"KEEP_ALIV", b"KEEP_ALIVES", b"T-", b"", b"_E"] {
            assert!(!is_left_out(name), "{name:?}");
        }
    }
}

//! What the tool itself says in the handshake of a WebSocket (RFC 6455).

use std::hash::{BuildHasher as _, RandomState};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A new Sec-WebSocket-Key. It is not a secret: its answer only shows that the server means it.
pub(crate) fn key() -> String {
    let [first, second] = [(); 2].map(|()| RandomState::new().hash_one(0).to_le_bytes());
    STANDARD.encode([first, second].concat())
}

/// Parses the protocol of an upgrade: one name, or several with commas.
pub(crate) fn protocol(text: &str) -> Result<String, String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
    };
    if text.split(',').all(|name| is_name(name.trim())) {
        return Ok(text.trim().into());
    }
    Err("a protocol is a name, as in websocket".into())
}

/// The params of a request for an upgrade.
pub(crate) fn params(protocol: &str) -> Vec<(&'static str, String)> {
    let mut params =
        vec![("HTTP_CONNECTION", "Upgrade".into()), ("HTTP_UPGRADE", protocol.to_owned())];
    if protocol.split(',').any(|name| name.trim().eq_ignore_ascii_case("websocket")) {
        params.push(("HTTP_SEC_WEBSOCKET_KEY", key()));
        params.push(("HTTP_SEC_WEBSOCKET_VERSION", "13".into()));
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_16_bytes_and_differ() {
        let keys = [key(), key()];
        assert_eq!(STANDARD.decode(&keys[0]).expect("base64").len(), 16);
        assert_ne!(keys[0], keys[1]);
    }
}

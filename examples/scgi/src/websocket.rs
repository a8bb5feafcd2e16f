//! What the tool itself says in the handshake of a WebSocket (RFC 6455).

use std::hash::{BuildHasher as _, RandomState};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A new Sec-WebSocket-Key. It is not a secret: its answer only shows that the server means it.
pub(crate) fn key() -> String {
    let [first, second] = [(); 2].map(|()| RandomState::new().hash_one(0).to_le_bytes());
    STANDARD.encode([first, second].concat())
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

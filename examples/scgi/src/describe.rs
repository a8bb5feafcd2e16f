//! Formats a request as text or JSON.

use std::fmt::Write as _;

use scgi_proto::{Escaped, RequestHead};
use serde::Serialize;

/// What was received.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) body_length: u64,
    /// Bytes after the body; `None` where they were not counted.
    pub(crate) surplus: Option<u64>,
    pub(crate) body_sha256: Option<String>,
}

#[derive(Serialize)]
struct Json {
    params: Vec<[String; 2]>,
    content_length: u64,
    body_length: u64,
    surplus: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_sha256: Option<String>,
}

/// Bytes as text in which each is the code point of the same number: nothing is lost.
fn code_points(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

impl Received<'_> {
    /// One JSON object on one line.
    pub(crate) fn json(&self) -> Result<String, serde_json::Error> {
        let pair = |(name, value)| [code_points(name), code_points(value)];
        let json = Json {
            params: self.head.params().iter().map(pair).collect(),
            content_length: self.head.content_length(),
            body_length: self.body_length,
            surplus: self.surplus,
            body_sha256: self.body_sha256.clone(),
        };
        serde_json::to_string(&json).map(|line| line + "\n")
    }

    /// A line for each param, escaped but not redacted (one asks for this to see what is really
    /// sent), then the figures.
    pub(crate) fn text(&self) -> String {
        let params = self.head.params();
        let mut text = String::new();
        for (name, value) in params {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}={}", Escaped(name), Escaped(value));
        }
        let _ = writeln!(text, "\nparams: {}", params.len());
        let _ = writeln!(text, "content length: {}", self.head.content_length());
        if self.head.lengths_disagree() {
            text.push_str("HTTP_CONTENT_LENGTH disagrees with it\n");
        }
        let _ = writeln!(text, "body length: {}", self.body_length);
        if let Some(surplus) = self.surplus {
            let _ = writeln!(text, "surplus: {surplus}");
        }
        if let Some(sum) = &self.body_sha256 {
            let _ = writeln!(text, "body sha256: {sum}");
        }
        text
    }
}

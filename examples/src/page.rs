//! The page of the `server` programs: the time, the params and the body.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use scgi_proto::{Escaped, Params};

/// An HTML page that shows a request, everything in it escaped.
///
/// # Examples
/// ```
/// use scgi_proto::RequestHead;
/// let head = RequestHead::builder("GET", "/<x>").build();
/// let page = scgi_examples::page(head.params(), b"a & b");
/// assert!(page.contains("REQUEST_URI: /&lt;x&gt;"));
/// assert!(page.contains("a &amp; b"));
/// ```
#[must_use]
pub fn page(params: &Params, body: &[u8]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut page = format!(
        "<!DOCTYPE html>\n<html><head><title>scgi</title></head><body>\n\
         <p>{} seconds since the epoch</p>\n<h1>{} params</h1>\n<ul>\n",
        now.as_secs(),
        params.len()
    );
    for (name, value) in params {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "<li>{}: {}</li>", html(name), html(value));
    }
    let _ =
        write!(page, "</ul>\n<h1>{} bytes of body</h1>\n<pre>{}</pre>\n", body.len(), html(body));
    page.push_str("</body></html>\n");
    page
}

/// Formats bytes as HTML text: markup and control bytes are escaped, text in UTF-8 is kept.
#[must_use]
pub fn html(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') => text.into(),
        _ => Escaped(bytes).to_string(),
    };
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

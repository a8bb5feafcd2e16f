//! An exchange as text. Every line begins with its number: exchanges run at the same time.

use std::fmt::{Debug, Write as _};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use scgi_proto::Escaped;

use super::end::{End, Peer};
use super::watch::Watch;
use crate::output::print_styled;

const REQUEST: Style = AnsiColor::Cyan.on_default();
const REPLY: Style = AnsiColor::Green.on_default();
const ODD: Style = AnsiColor::Red.on_default().bold();

/// Prints it. A closed standard output must not end the exchange.
pub(crate) fn print(text: &str) {
    let _ = print_styled(text);
}

/// The head of the request.
pub(crate) fn request(watch: &Watch) -> String {
    let Some(head) = &watch.request.head else { return String::new() };
    let method = Escaped(head.method().unwrap_or(b"(no method)"));
    let uri = Escaped(head.request_uri().unwrap_or(b"(no URI)"));
    let (params, len, body) = (head.params(), watch.request.head_len, head.content_length());
    let mut title = format!(
        "{method} {uri}: {} params in a head of {len} bytes, then {body} bytes",
        params.len()
    );
    if let Some(offer) = head.upgrade() {
        let names: Vec<_> = offer.protocols().map(|name| Escaped(name).to_string()).collect();
        // Writing to a string cannot fail.
        let _ = write!(title, ", with an upgrade to {}", names.join(" or "));
    } else if let Some(why) = head.upgrade_refusal() {
        let _ = write!(title, ", with an upgrade that is not valid: {why}");
    }
    block(watch, REQUEST, '>', &title, params)
}

/// The head of the reply.
pub(crate) fn reply(watch: &Watch) -> String {
    let Some(head) = &watch.reply.head else { return String::new() };
    let reason = Escaped(head.reason().as_bytes());
    let (fields, len) = (head.fields(), watch.reply.head_len);
    let title = format!(
        "{} {reason} after {}: {} fields in a head of {len} bytes",
        head.status().code(),
        millis(watch.reply.head_at.unwrap_or_default()),
        fields.len()
    );
    block(watch, REPLY, '<', &title, fields)
}

/// A title and a line for each pair. Their own `Debug` escapes them and hides secrets.
fn block(watch: &Watch, style: Style, sign: char, title: &str, pairs: &impl Debug) -> String {
    let number = watch.number;
    let mut text = format!("[{number}] {style}{sign} {title}{style:#}\n");
    for line in format!("{pairs:#?}").lines().filter(|line| line.starts_with(' ')) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "[{number}]   {}", line.trim_start().trim_end_matches(','));
    }
    text
}

/// The figures of the exchange, and what was odd about it.
pub(crate) fn end(watch: &Watch, end: &End, took: Duration, findings: &[String]) -> String {
    let Watch { number, request, reply, .. } = watch;
    let mut text = format!("[{number}] = {} bytes to the backend", request.bytes);
    let _ = write!(text, ", {} bytes back, ", reply.bytes);
    match watch.tunnel() {
        Some((sent, received)) => {
            let open = took.saturating_sub(reply.head_at.unwrap_or_default());
            let _ = write!(
                text,
                "{sent} and {received} of them through a tunnel that was open for {}{}",
                millis(open),
                watch.tunnel_end(end).map_or("", |(by, _)| ended_by(by)),
            );
        }
        None => {
            let _ = write!(text, "{} of them body", reply.body);
        }
    }
    if let Some(time) = watch.connected_at {
        let _ = write!(text, "; connected in {}", millis(time));
    }
    if let Some(time) = reply.head_at {
        let _ = write!(text, ", head after {}", millis(time));
    }
    let _ = writeln!(text, ", end after {}", millis(took));
    for finding in findings {
        let _ = writeln!(text, "[{number}] {ODD}! {finding}{ODD:#}");
    }
    text
}

fn ended_by(peer: Peer) -> &'static str {
    match peer {
        Peer::Front => " and ended by the front server",
        Peer::Backend => " and ended by the backend",
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

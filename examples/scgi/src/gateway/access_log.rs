//! Writes a line for each request to standard output.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use hyper::header::{HeaderName, REFERER, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Method, Uri, Version};
use scgi_tokio::ClientAddress;
use serde::Serialize;

/// So many lines wait for a slow reader of standard output; more are dropped and counted.
const WAITING: usize = 4096;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// As nginx and Apache name it
    Combined,
    /// One JSON object
    Json,
}

/// Writes lines on a thread of its own, so that no request waits for the reader.
#[derive(Debug)]
pub(crate) struct AccessLog {
    format: Format,
    lines: SyncSender<String>,
    lost: AtomicU64,
}

impl AccessLog {
    /// The thread ends when the log is dropped.
    pub(crate) fn start(format: Format) -> (Self, JoinHandle<()>) {
        let (lines, waiting) = sync_channel::<String>(WAITING);
        let writer = thread::spawn(move || {
            for line in waiting {
                let mut out = io::stdout().lock();
                // The server continues although its reader has gone.
                let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            }
        });
        (Self { format, lines, lost: AtomicU64::new(0) }, writer)
    }

    pub(crate) fn write(&self, entry: &Entry, status: u16, bytes: u64, is_complete: bool) {
        let line = match self.format {
            Format::Combined => entry.combined(status, bytes),
            Format::Json => entry.json(status, bytes, is_complete),
        };
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines were dropped.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// What is known of a request when its head is there.
#[derive(Debug)]
pub(crate) struct Entry {
    begun: SystemTime,
    client: Option<String>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    version: Version,
    host: Option<String>,
    referer: Option<String>,
    agent: Option<String>,
}

#[derive(Serialize)]
struct Json<'a> {
    time: String,
    client: Option<&'a str>,
    method: &'a str,
    uri: String,
    protocol: String,
    host: Option<&'a str>,
    status: u16,
    bytes: u64,
    complete: bool,
    seconds: f64,
    referer: Option<&'a str>,
    user_agent: Option<&'a str>,
}

impl Entry {
    pub(crate) fn new(parts: &Parts, peer: Option<SocketAddr>) -> Self {
        let header = |name: HeaderName| {
            let value = parts.headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Self {
            begun: SystemTime::now(),
            client: peer.map(|peer| peer.ip().to_canonical().to_string()),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            host: header(hyper::header::HOST).or_else(|| parts.uri.host().map(str::to_owned)),
            referer: header(REFERER),
            agent: header(USER_AGENT),
        }
    }

    /// The client behind a trusted proxy.
    pub(crate) fn set_client(&mut self, parts: &Parts) {
        if let Some(client) = parts.extensions.get::<ClientAddress>() {
            self.client = Some(client.ip().to_string());
        }
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed().unwrap_or_default()
    }

    fn combined(&self, status: u16, bytes: u64) -> String {
        let mut line = String::new();
        let client = self.client.as_deref().unwrap_or("-");
        // Writing to a String does not fail.
        let _ = write!(line, "{client} - - [{}] \"", clf_time(self.begun));
        escape(&format!("{} {} {:?}", self.method, self.uri, self.version), &mut line);
        let _ = write!(line, "\" {status} {bytes}");
        for value in [&self.referer, &self.agent] {
            line.push_str(" \"");
            escape(value.as_deref().unwrap_or("-"), &mut line);
            line.push('"');
        }
        line.push('\n');
        line
    }

    fn json(&self, status: u16, bytes: u64, complete: bool) -> String {
        let json = Json {
            time: humantime::format_rfc3339_millis(self.begun).to_string(),
            client: self.client.as_deref(),
            method: self.method.as_str(),
            uri: self.uri.to_string(),
            protocol: format!("{:?}", self.version),
            host: self.host.as_deref(),
            status,
            bytes,
            complete,
            seconds: (self.elapsed().as_secs_f64() * 1e6).round() / 1e6,
            referer: self.referer.as_deref(),
            user_agent: self.agent.as_deref(),
        };
        // It holds text and numbers only, which always become JSON.
        let mut line = serde_json::to_string(&json).unwrap_or_default();
        line.push('\n');
        line
    }
}

/// A line cannot be forged: quotes, backslashes and control characters become `\x22`, as nginx
/// writes them.
fn escape(text: &str, line: &mut String) {
    for c in text.chars() {
        if matches!(c, '"' | '\\') || c.is_control() {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                let _ = write!(line, "\\x{byte:02X}");
            }
        } else {
            line.push(c);
        }
    }
}

/// `28/Nov/2026:10:37:27 +0000`.
fn clf_time(time: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // 2026-11-28T10:37:27Z
    let text = humantime::format_rfc3339_seconds(time).to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let month = part(5..7).parse::<usize>().unwrap_or(1);
    let month = MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"-");
    format!("{}/{month}/{}:{} +0000", part(8..10), part(0..4), part(11..19))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn entry() -> Entry {
        let parts = Request::get("/a?b='")
            .header("referer", "http://x/\"\\\t")
            .header("user-agent", "é")
            .header("host", "app.lan")
            .body(())
            .expect("a request")
            .into_parts()
            .0;
        let mut entry = Entry::new(&parts, Some("[::ffff:192.0.2.1]:5".parse().expect("one")));
        entry.begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_862_247);
        entry
    }

    #[test]
    fn lines_of_both_formats() {
        assert_eq!(
            entry().combined(200, 5),
            "192.0.2.1 - - [28/Nov/2026:10:37:27 +0000] \"GET /a?b=' HTTP/1.1\" 200 5 \
             \"http://x/\\x22\\x5C\\x09\" \"é\"\n"
        );
        let json: serde_json::Value =
            serde_json::from_str(&entry().json(499, 0, false)).expect("JSON");
        for (name, value) in [
            ("time", "2026-11-28T10:37:27.000Z".into()),
            ("client", "192.0.2.1".into()),
            ("method", "GET".into()),
            ("uri", "/a?b='".into()),
            ("protocol", "HTTP/1.1".into()),
            ("host", "app.lan".into()),
            ("status", 499.into()),
            ("bytes", 0.into()),
            ("complete", false.into()),
            ("referer", "http://x/\"\\\t".into()),
            ("user_agent", serde_json::Value::from("é")),
        ] {
            assert_eq!(json[name], value, "{name}");
        }
    }
}

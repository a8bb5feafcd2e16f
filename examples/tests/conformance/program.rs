//! What the servers under test do: decided here once, carried out by each adapter.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use scgi_proto::{Config, Limits, Policy, RequestHead, Status};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The configurations under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// The defaults, with a bound on values and bodies so that these can be broken too.
    Standard,
    /// The strict policy.
    Strict,
    /// For nginx with `scgi_request_buffering off`.
    Unbuffered,
}

impl Setup {
    pub(crate) const ALL: [Self; 3] = [Self::Standard, Self::Strict, Self::Unbuffered];

    pub(crate) fn limits(self) -> Limits {
        Limits::default().with_value(200_000).with_body(1 << 40)
    }

    pub(crate) fn policy(self) -> Policy {
        match self {
            Self::Standard => Policy::default(),
            Self::Strict => Policy::strict(),
            Self::Unbuffered => Policy::default().with_body_from_http_content_length(true),
        }
    }

    pub(crate) fn config(self) -> Config {
        // A loaded machine must not turn a test of bytes into one of time.
        let patience = Duration::from_secs(60);
        Config::default()
            .with_limits(self.limits())
            .with_policy(self.policy())
            .with_head_timeout(patience)
            .with_drain_timeout(patience)
    }
}

/// The param that chooses what the program does; without it, it tells what it received.
pub(crate) const ROUTE: &str = "ROUTE";

/// The chunks of a streamed reply.
pub(crate) type Pieces = Box<dyn Iterator<Item = io::Result<Bytes>> + Send>;

/// What an adapter's handler has to do.
pub(crate) enum Plan {
    /// Read the body and answer with [`report`].
    Report,
    /// Read the body, compare it with the pattern, answer with its length.
    Sink,
    /// Answer with the request's body, as it comes.
    Echo,
    /// Read one chunk of the body, drop the rest, and answer.
    Peek,
    /// Answer without a look at the body.
    Reply(Status, Vec<(&'static str, &'static str)>, Bytes),
    /// Answer with these chunks; the length is stated if it is given.
    Stream(Pieces, Option<u64>),
    /// Fail.
    Error,
    Panic,
}

/// Text that marks the panics that are part of a test.
pub(crate) const ON_PURPOSE: &str = "as the test wants it";

impl Plan {
    pub(crate) fn of(head: &RequestHead) -> Self {
        let piece = |text: &'static str| Ok(Bytes::from(text));
        let reply = |status, text: &'static str| Self::Reply(status, Vec::new(), text.into());
        match head.params().get_str(ROUTE) {
            None => Self::Report,
            Some("sink") => Self::Sink,
            Some("echo") => Self::Echo,
            Some("peek") => Self::Peek,
            Some("refuse") => reply(Status::CONTENT_TOO_LARGE, "too large"),
            Some("no content") => reply(Status::NO_CONTENT, ""),
            Some("large") => {
                Self::Reply(Status::OK, Vec::new(), pattern().take(LARGE).collect::<Vec<_>>().into())
            }
            Some("line break") => {
                Self::Reply(Status::OK, vec![("X-Bad", "a\r\nSet-Cookie: b")], "x".into())
            }
            Some("wrong length") => {
                Self::Reply(Status::OK, vec![("Content-Length", "5")], "four".into())
            }
            Some("pieces") => {
                Self::Stream(Box::new(["a", "", "bc", "def"].map(piece).into_iter()), None)
            }
            Some("no pieces") => Self::Stream(Box::new(std::iter::empty()), None),
            Some("short") => Self::Stream(Box::new([piece("abc")].into_iter()), Some(10)),
            Some("long") => Self::Stream(Box::new([piece("abcdef")].into_iter()), Some(3)),
            Some("late error") => {
                let fail = std::iter::once_with(|| Err(io::Error::other(ON_PURPOSE)));
                Self::Stream(Box::new([piece("begun")].into_iter().chain(fail)), None)
            }
            Some("late panic") => {
                let fail = std::iter::once_with(|| panic!("{ON_PURPOSE}"));
                Self::Stream(Box::new([piece("begun")].into_iter().chain(fail)), None)
            }
            Some("endless") => {
                let token = head.params().get_str("TOKEN").expect("a token").to_owned();
                let guard = Guard { token };
                let chunk = Bytes::from(vec![b'x'; 4096]);
                let chunks = std::iter::repeat_with(move || {
                    let _ = &guard;
                    Ok(chunk.clone())
                });
                Self::Stream(Box::new(chunks), None)
            }
            Some("error") => Self::Error,
            Some("panic") => Self::Panic,
            Some(other) => panic!("no such route: {other}"),
        }
    }
}

/// Length of the reply of the route `large`.
pub(crate) const LARGE: usize = 1 << 20;

/// Text of what a server received, for comparison with what was sent.
pub(crate) fn report(head: &RequestHead, len: u64, hash: Sha256) -> String {
    let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    let params: Vec<_> = head.params().iter().map(|(n, v)| (text(n), text(v))).collect();
    summary(&json!(params), head.content_length(), len, &format!("{:x}", hash.finalize()))
}

/// The same from its parts.
pub(crate) fn summary(
    params: &serde_json::Value,
    content_length: u64,
    body_length: u64,
    sha256: &str,
) -> String {
    json!({
        "params": params,
        "content_length": content_length,
        "body_length": body_length,
        "body_sha256": sha256,
    })
    .to_string()
}

/// The bytes of every long body: a period that no buffer size divides.
pub(crate) fn pattern() -> impl Iterator<Item = u8> {
    (0..PERIOD).cycle()
}

const PERIOD: u8 = 251;

/// Compares a stream of chunks with the pattern, by whole slices: quick without optimisation.
#[derive(Debug)]
pub(crate) struct Checker {
    expected: Vec<u8>,
    at: u64,
}

impl Checker {
    pub(crate) fn new() -> Self {
        Self { expected: pattern().take(128 * 1024).collect(), at: 0 }
    }

    pub(crate) fn check(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            let from = (self.at % u64::from(PERIOD)) as usize;
            let (part, rest) = chunk.split_at(chunk.len().min(self.expected.len() - from));
            assert!(part == &self.expected[from..from + part.len()], "wrong near {}", self.at);
            self.at += part.len() as u64;
            chunk = rest;
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.at
    }
}

/// The pattern in chunks of 16 KiB.
pub(crate) fn pattern_chunks(len: u64) -> Pieces {
    const CHUNK: u64 = 16 * 1024;
    let bytes: Bytes = pattern().take(CHUNK as usize + usize::from(PERIOD)).collect::<Vec<_>>().into();
    Box::new((0..len.div_ceil(CHUNK)).map(move |index| {
        let at = index * CHUNK;
        let from = (at % u64::from(PERIOD)) as usize;
        Ok(bytes.slice(from..from + (len - at).min(CHUNK) as usize))
    }))
}

/// Who wants to know that a guard with this token was dropped.
static WATCHERS: Mutex<Option<HashMap<String, Sender<()>>>> = Mutex::new(None);

/// Tells of the drop of what holds it.
struct Guard {
    token: String,
}

/// Waits for the drop of the guard with this token.
pub(crate) fn watch(token: String) -> Receiver<()> {
    let (sender, receiver) = channel();
    let mut watchers = WATCHERS.lock().unwrap_or_else(PoisonError::into_inner);
    watchers.get_or_insert_default().insert(token, sender);
    receiver
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut watchers = WATCHERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = watchers.get_or_insert_default().remove(&self.token) {
            // A test that has failed already is not listening.
            let _ = watcher.send(());
        }
    }
}

//! A browser for tests: plain HTTP/1.1 to a front server, every status an answer and not an error.

use core::fmt;
use core::time::Duration;
use std::io::{self, Read};
use std::time::Instant;

use ureq::http::{HeaderMap, Request, Response};
use ureq::{Agent, AsSendBody, Body, SendBody};

/// Longer than the front servers' own timeouts, so that theirs are what a test sees.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Room for one request header line; a test may send one of 60 KB.
const BUFFER_SIZE: usize = 256 * 1024;

/// Sends requests. Cheap to clone; clones share their kept-alive connections.
#[derive(Debug, Clone)]
pub struct Browser {
    agent: Agent,
}

/// A response whose body has been read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header fields; several of one name are kept.
    pub headers: HeaderMap,
    /// The decoded body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as text, for messages and comparisons.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first value of a header field, when it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A piece of a streamed body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// How long after the request was begun it came.
    pub after: Duration,
    /// What came; never empty.
    pub bytes: Vec<u8>,
}

/// A response whose body is read piece by piece: the iterator waits for the next one.
pub struct Stream {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// How long after the request was begun the response's head had come.
    pub head_after: Duration,
    body: ureq::BodyReader<'static>,
    begun: Instant,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers, head_after, body: _, begun: _ } = self;
        let mut debug = f.debug_struct("Stream");
        debug
            .field("status", status)
            .field("headers", headers)
            .field("head_after", head_after)
            .finish_non_exhaustive()
    }
}

impl Iterator for Stream {
    type Item = io::Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut buffer = vec![0; 64 * 1024];
        match self.body.read(&mut buffer) {
            Ok(0) => None,
            Ok(len) => {
                buffer.truncate(len);
                Some(Ok(Piece { after: self.begun.elapsed(), bytes: buffer }))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Browser {
    /// A browser that follows no redirects and uses no proxy.
    #[must_use]
    pub fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .input_buffer_size(BUFFER_SIZE)
            .output_buffer_size(BUFFER_SIZE)
            .max_response_header_size(BUFFER_SIZE)
            .build();
        Self { agent: config.new_agent() }
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// When the exchange fails; a status is never an error.
    pub fn get(&self, url: &str) -> Result<Reply, ureq::Error> {
        whole(self.agent.get(url).call()?)
    }

    /// Sends a POST whose length is announced in `Content-Length`.
    ///
    /// # Errors
    /// When the exchange fails; a status is never an error.
    pub fn post(&self, url: &str, body: &[u8]) -> Result<Reply, ureq::Error> {
        whole(self.agent.post(url).send(body)?)
    }

    /// Sends a POST with `Transfer-Encoding: chunked`: the length is known only when `body` ends.
    ///
    /// # Errors
    /// When the exchange fails; a status is never an error.
    pub fn post_chunked(&self, url: &str, mut body: impl Read) -> Result<Reply, ureq::Error> {
        whole(self.agent.post(url).send(SendBody::from_reader(&mut body))?)
    }

    /// Sends any request: use it for other methods, a body on a GET, or header fields.
    ///
    /// # Errors
    /// When the exchange fails; a status is never an error.
    pub fn send(&self, request: Request<impl AsSendBody>) -> Result<Reply, ureq::Error> {
        whole(self.run(request)?)
    }

    /// Sends any request and returns the response as soon as its head is there.
    ///
    /// # Errors
    /// When the exchange fails before that.
    pub fn open(&self, request: Request<impl AsSendBody>) -> Result<Stream, ureq::Error> {
        let begun = Instant::now();
        let (head, body) = self.run(request)?.into_parts();
        Ok(Stream {
            status: head.status.as_u16(),
            headers: head.headers,
            head_after: begun.elapsed(),
            body: body.into_reader(),
            begun,
        })
    }

    fn run(&self, request: Request<impl AsSendBody>) -> Result<Response<Body>, ureq::Error> {
        self.agent
            .run(self.agent.configure_request(request).allow_non_standard_methods(true).build())
    }
}

fn whole(response: Response<Body>) -> Result<Reply, ureq::Error> {
    let (head, body) = response.into_parts();
    let mut bytes = Vec::new();
    // Not `read_to_vec`, which stops at 10 MB.
    body.into_reader().read_to_end(&mut bytes)?;
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, body: bytes })
}

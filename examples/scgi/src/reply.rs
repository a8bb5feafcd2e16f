//! What becomes of a response: where it goes, and its figures.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use scgi_proto::BoxError;
use scgi_proto::ResponseHead;

use crate::failure::Context as _;
use crate::retry;
use crate::tunnel::Passed;
use crate::verbose::Verbose;

/// Where the body of a response goes.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    Stdout,
    /// Made when the head has come.
    File(PathBuf),
    /// Kept, for [`Reply::kept`].
    Memory,
    Nowhere,
}

/// The most that is kept of a body, in bytes.
const KEPT: usize = 256 << 20;

impl Output {
    fn open(&self) -> Result<Box<dyn Write + Send>, BoxError> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::File(path) => {
                Box::new(File::create(path).context(|| path.display().to_string())?)
            }
            Self::Memory | Self::Nowhere => Box::new(io::sink()),
        })
    }

    fn name(&self) -> String {
        match self {
            Self::Stdout | Self::Memory | Self::Nowhere => "standard output".into(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// The figures of a request; times count from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    pub(crate) status: u16,
    pub(crate) connect: Duration,
    pub(crate) head: Duration,
    pub(crate) total: Duration,
    /// Of the response's body, or from the server through the tunnel.
    pub(crate) bytes: u64,
}

/// Takes a response as it comes. A runtime's `exchange` calls the methods in their order.
pub(crate) struct Reply {
    output: Output,
    include_head: bool,
    out: Option<Box<dyn Write + Send>>,
    started: Instant,
    progress: Progress,
    head: Option<ResponseHead>,
    kept: Vec<u8>,
    figures: Figures,
    verbose: Option<Verbose>,
    tunnel: Option<Passed>,
    /// Whether a response that is tried again goes nowhere.
    holds_back: bool,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    New,
    Connecting,
    Connected,
}

impl Reply {
    pub(crate) fn new(output: Output, include_head: bool) -> Self {
        Self {
            output,
            include_head,
            out: None,
            started: Instant::now(),
            progress: Progress::New,
            head: None,
            kept: Vec::new(),
            figures: Figures::default(),
            verbose: None,
            tunnel: None,
            holds_back: false,
        }
    }

    /// Reports the exchange on standard error.
    pub(crate) fn with_verbose(mut self, verbose: Option<Verbose>) -> Self {
        self.verbose = verbose;
        self
    }

    /// Writes no response that will be tried again.
    pub(crate) fn with_held_back(mut self, holds_back: bool) -> Self {
        self.holds_back = holds_back;
        self
    }

    /// The request begins.
    pub(crate) fn start(&mut self) {
        self.started = Instant::now();
        self.progress = Progress::Connecting;
        if let Some(verbose) = &self.verbose {
            verbose.start();
        }
    }

    /// The server is connected.
    pub(crate) fn connected(&mut self) {
        self.figures.connect = self.started.elapsed();
        self.progress = Progress::Connected;
        if let Some(verbose) = &self.verbose {
            verbose.connected(&self.figures);
        }
    }

    /// Whether it failed before anything was sent.
    pub(crate) fn was_not_connected(&self) -> bool {
        self.progress == Progress::Connecting
    }

    /// Whether the head of a response came.
    pub(crate) fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// Whether the response was not written, as it will be tried again.
    pub(crate) fn is_held_back(&self) -> bool {
        self.holds_back && retry::is_temporary(self.figures.status)
    }

    /// The head has come.
    pub(crate) fn head(&mut self, head: &ResponseHead) -> Result<(), BoxError> {
        self.figures.head = self.started.elapsed();
        self.figures.status = head.status().code();
        self.head = Some(head.clone());
        if self.verbose.is_some() {
            Verbose::head(&String::from_utf8_lossy(&for_terminal(&head_text(head))));
        }
        if self.is_held_back() {
            return Ok(());
        }
        self.out = Some(self.output.open()?);
        if !self.include_head {
            return Ok(());
        }
        let text = head_text(head);
        let is_terminal = matches!(self.output, Output::Stdout) && io::stdout().is_terminal();
        self.write(&if is_terminal { for_terminal(&text) } else { text })
    }

    /// A chunk of the body has come; it is shown at once.
    pub(crate) fn body(&mut self, chunk: &[u8]) -> Result<(), BoxError> {
        self.figures.bytes += chunk.len() as u64;
        if matches!(self.output, Output::Memory) {
            self.keep(chunk)?;
        }
        self.write(chunk)
    }

    /// A tunnel follows the head.
    pub(crate) fn upgraded(&self) {
        if self.verbose.is_some() {
            Verbose::tunnel();
        }
    }

    /// Where the bytes of a tunnel go, and its name. The head has come.
    pub(crate) fn take_output(&mut self) -> (Box<dyn Write + Send>, String) {
        (self.out.take().unwrap_or_else(|| Box::new(io::sink())), self.output.name())
    }

    /// The tunnel behind the head has ended.
    pub(crate) fn tunnelled(&mut self, passed: Passed) {
        self.figures.bytes = passed.received;
        self.tunnel = Some(passed);
    }

    /// What passed through the tunnel, if there was one.
    pub(crate) fn tunnel(&self) -> Option<Passed> {
        self.tunnel
    }

    fn keep(&mut self, chunk: &[u8]) -> Result<(), BoxError> {
        if self.kept.len() + chunk.len() > KEPT {
            return Err(format!("the reply is longer than {KEPT} bytes").into());
        }
        self.kept.extend_from_slice(chunk);
        Ok(())
    }

    /// The body, if it was to be kept.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// The response is complete.
    pub(crate) fn end(&mut self) {
        self.figures.total = self.started.elapsed();
        if self.verbose.is_some() {
            Verbose::end(&self.figures, self.tunnel);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BoxError> {
        let Some(out) = &mut self.out else { return Ok(()) };
        out.write_all(bytes).and_then(|()| out.flush()).context(|| self.output.name())
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Whether an HTTP server answered, which takes an SCGI request for a bad HTTP request: a CGI
    /// response leaves these fields to the front server.
    pub(crate) fn is_from_http_server(&self) -> bool {
        self.head.as_ref().is_some_and(|head| {
            let has = |name| head.fields().first(name).is_some();
            head.status().code() == 400 && (has("Date") || has("Server") || has("Connection"))
        })
    }

    /// As `404 Not Found`, if the server said that something went wrong.
    pub(crate) fn error_status(&self) -> Option<String> {
        self.status().filter(|_| self.figures.status >= 400)
    }

    /// As `200 OK`, once the head has come.
    pub(crate) fn status(&self) -> Option<String> {
        let head = self.head.as_ref()?;
        let reason = scgi_proto::Escaped(head.reason().as_bytes());
        Some(format!("{} {reason}", head.status().code()))
    }
}

/// A head that cannot steer a terminal: control characters and bytes that are not text are escaped.
fn for_terminal(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\r' | '\n' | '\t' => out.push(c),
                c if c.is_control() => out.extend(c.escape_default()),
                c => out.push(c),
            }
        }
        let _ = write!(out, "{}", chunk.invalid().escape_ascii());
    }
    out.into_bytes()
}

/// The head as a CGI response has it.
fn head_text(head: &ResponseHead) -> Vec<u8> {
    let mut text = format!("Status: {} {}\r\n", head.status().code(), head.reason()).into_bytes();
    for (name, value) in head.fields() {
        for part in [name, b": ", value, b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(b"\r\n");
    text
}

//! `scgi decode`: shows a request from a file.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use scgi_proto::BoxError;
use scgi_proto::{DecodeBuffer, Policy, RequestDecoder, RequestEvent, RequestHead};

use crate::describe::Received;
use crate::failure::Context as _;
use crate::limits::LimitArgs;
use crate::output::print;

/// Shows the request in a file
///
/// Ends with status 0 for a complete request, 1 for a malformed or cut one and for empty input,
/// and 2 for wrong usage.
#[derive(Debug, Args)]
pub(crate) struct DecodeArgs {
    /// What to read; standard input without it
    file: Option<PathBuf>,
    /// Accept only what the SCGI specification allows
    #[arg(long)]
    strict: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Feed the decoder this many bytes at a time [default: 65536]
    #[arg(long, value_name = "N")]
    chunk: Option<NonZeroU64>,
    /// Write the body to a file
    #[arg(long, value_name = "FILE")]
    body_out: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Bytes read at once unless told.
const CHUNK: u64 = 64 * 1024;

pub(crate) fn run(args: &DecodeArgs) -> Result<ExitCode, BoxError> {
    let (name, input) = open(args)?;
    let decoded = Decoding::new(args).read(input).context(|| name)?;
    let head = decoded.head.ok_or("the input is empty")?;
    let received = Received {
        head: &head,
        body_length: decoded.body_length,
        surplus: Some(decoded.receiver.decoder().surplus()),
        body_sha256: None,
    };
    let text = if args.json { received.json()? } else { received.text() };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn open(args: &DecodeArgs) -> Result<(String, Box<dyn Read>), BoxError> {
    let Some(path) = &args.file else {
        return Ok(("standard input".into(), Box::new(io::stdin().lock())));
    };
    let name = path.display().to_string();
    let file = File::open(path).context(|| name.clone())?;
    Ok((name, Box::new(BufReader::new(file))))
}

/// A request as far as it was read.
struct Decoding<'a> {
    chunk: u64,
    receiver: DecodeBuffer<RequestDecoder>,
    head: Option<RequestHead>,
    body_length: u64,
    body_out: Option<&'a PathBuf>,
    body_file: Option<File>,
}

impl<'a> Decoding<'a> {
    fn new(args: &'a DecodeArgs) -> Self {
        let policy = if args.strict { Policy::strict() } else { Policy::default() };
        Self {
            chunk: args.chunk.map_or(CHUNK, NonZeroU64::get),
            receiver: DecodeBuffer::new(RequestDecoder::new(args.limits.limits(), policy)),
            head: None,
            body_length: 0,
            body_out: args.body_out.as_ref(),
            body_file: None,
        }
    }

    /// Reads to the end of input, past the end of the request: what follows is counted.
    fn read(mut self, mut input: impl Read) -> Result<Self, BoxError> {
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            let count = input.by_ref().take(self.chunk).read_to_end(&mut chunk)?;
            self.receiver.buffer_mut().extend_from_slice(&chunk);
            self.receiver.advance(count);
            while let Some(event) = self.receiver.next_event()? {
                self.take(event)?;
            }
            if count == 0 {
                return Ok(self);
            }
        }
    }

    fn take(&mut self, event: RequestEvent) -> Result<(), BoxError> {
        match event {
            RequestEvent::Head(head) => {
                self.head = Some(head);
                if let Some(path) = self.body_out {
                    let file = File::create(path).context(|| path.display().to_string())?;
                    self.body_file = Some(file);
                }
            }
            RequestEvent::Body(chunk) => {
                self.body_length += chunk.len() as u64;
                if let Some(file) = &mut self.body_file {
                    file.write_all(&chunk)?;
                }
            }
            RequestEvent::End => {}
        }
        Ok(())
    }
}

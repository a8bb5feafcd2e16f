//! `scgi request`: sends a request to an SCGI server.

use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use indicatif::ProgressBar;
use scgi_examples::BoxError;
use scgi_proto::{Address, RequestHead};

use crate::capture::Capture;
use crate::failure::Context as _;
use crate::plan::{Data, Message, Pair, Plan, Upload, data, header, param, progress};
use crate::repeat;
use crate::reply::{Output, Reply};
use crate::runtime::Runtime;
use crate::units::duration;
use crate::write_out::WriteOut;

/// As curl: the server said that something went wrong, and `--fail` was given.
const FAILED_STATUS: u8 = 22;

/// Sends a request to an SCGI server and prints the body of the response
///
/// Ends with status 0 when a response came, 22 with --fail when its status is 400 or more, 1 when
/// there was none (or none complete), and 2 for wrong usage.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// Where the server listens: host:port, tcp:host:port, a path with a slash, or unix:PATH
    #[arg(value_name = "ADDR")]
    address: Address,
    /// Path and query
    #[arg(default_value = "/")]
    uri: String,
    /// REQUEST_METHOD [default: GET; POST with -d, PUT with -T]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// A header of the browser's, which becomes the param HTTP_NAME (may be repeated)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE",
        value_parser = OsStringValueParser::new().try_map(|text| header(&text)))]
    headers: Vec<Pair>,
    /// A param, in the place of a generated one of that name (may be repeated)
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE",
        value_parser = OsStringValueParser::new().try_map(|text| param(&text)))]
    params: Vec<Pair>,
    /// The body: this text, the bytes of @FILE, or @- for standard input
    #[arg(short = 'd', long = "data", value_name = "DATA", allow_hyphen_values = true,
        value_parser = OsStringValueParser::new().try_map(data))]
    data: Option<Data>,
    /// Stream the file as the body
    #[arg(short = 'T', long = "upload-file", value_name = "FILE", conflicts_with = "data")]
    upload: Option<PathBuf>,
    /// Send the bytes of the file as they are, as `scgi request --save` or a capture has them
    #[arg(long, value_name = "FILE",
        conflicts_with_all = ["uri", "method", "headers", "params", "data", "upload"])]
    raw: Option<PathBuf>,
    /// Print the head of the response too
    #[arg(short = 'i', long)]
    include: bool,
    /// Write the response to the file
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// End with status 22 when the response's status is 400 or more
    #[arg(long)]
    fail: bool,
    /// Time for the whole request, as 2s, 500ms, 1m, or seconds
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Print this at the end; knows %{status}, %{time_connect}, %{time_head}, %{time_total} (in
    /// seconds), %{bytes}, \n and \t
    #[arg(short = 'w', long, value_name = "FORMAT")]
    write_out: Option<WriteOut>,
    /// Keep what was sent in FILE and what came in FILE.cgi
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Send it so many times and print a summary of the times instead of the responses
    #[arg(long, value_name = "N", conflicts_with_all = ["include", "output", "save"])]
    repeat: Option<NonZeroU64>,
    /// So many at once
    #[arg(long, value_name = "P", requires = "repeat", default_value = "1")]
    parallel: NonZeroU64,
    /// What runs the client
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    runtime: Runtime,
}

pub(crate) fn run(args: &RequestArgs) -> Result<ExitCode, BoxError> {
    let plan = args.plan()?;
    let all_well = match args.repeat {
        Some(count) => {
            let print = |reply: &Reply| args.print_figures(reply);
            repeat::run(args.runtime, &plan, count.get(), args.parallel.get(), print)?
        }
        None => args.once(&plan)?,
    };
    Ok(if args.fail && !all_well { FAILED_STATUS.into() } else { ExitCode::SUCCESS })
}

impl RequestArgs {
    /// Whether the status was below 400.
    fn once(&self, plan: &Plan) -> Result<bool, BoxError> {
        let capture = self.save.as_deref().map(Capture::create).transpose()?;
        let output = self.output.clone().map_or(Output::Stdout, Output::File);
        let mut reply = Reply::new(output, self.include);
        self.runtime.exchange(plan, capture, &mut reply)?;
        self.print_figures(&reply)?;
        let error = reply.error_status();
        if let Some(status) = error.as_deref().filter(|_| self.fail) {
            eprintln!("scgi: the server answered {status}");
        }
        Ok(error.is_none())
    }

    fn print_figures(&self, reply: &Reply) -> Result<(), BoxError> {
        let Some(format) = &self.write_out else { return Ok(()) };
        let text = format.fill(reply.figures());
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        written.context(|| "standard output".into())
    }

    fn plan(&self) -> Result<Plan, BoxError> {
        let message = match &self.raw {
            Some(path) => {
                let bytes = std::fs::read(path).context(|| path.display().to_string())?;
                Message::Raw(bytes.into())
            }
            None => self.message()?,
        };
        let progress = match &message {
            Message::Request(_, Upload::File(_, len)) if self.repeat.is_none() => progress(*len),
            _ => ProgressBar::hidden(),
        };
        Ok(Plan { address: self.address.clone(), message, timeout: self.timeout, progress })
    }

    fn message(&self) -> Result<Message, BoxError> {
        let (upload, method) = match (&self.data, &self.upload) {
            (Some(data), _) => (Upload::Bytes(data.read()?), "POST"),
            (None, Some(path)) => (Upload::file(path)?, "PUT"),
            (None, None) => (Upload::Bytes(bytes::Bytes::new()), "GET"),
        };
        let method = self.method.as_deref().unwrap_or(method);
        Ok(Message::Request(self.head(method), upload))
    }

    fn head(&self, method: &str) -> RequestHead {
        let mut head = RequestHead::builder(method, &self.uri);
        if self.data.is_some() {
            head = head.param("CONTENT_TYPE", "application/x-www-form-urlencoded");
        }
        for Pair { name, value } in &self.headers {
            // There is one CONTENT_TYPE; other headers may come twice, as nginx sends them.
            head = match name.as_slice() {
                b"CONTENT_TYPE" => head.param(name, value),
                _ => head.append(name, value),
            };
        }
        for Pair { name, value } in &self.params {
            head = head.param(name, value);
        }
        head.build()
    }
}

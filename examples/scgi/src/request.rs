//! `scgi request`: sends a request to an SCGI server.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use indicatif::ProgressBar;
use scgi_proto::Address;
use scgi_proto::BoxError;

use crate::capture::Capture;
use crate::describe::Received;
use crate::failure::{Context as _, chain};
use crate::message::{FORM, MessageArgs};
use crate::output::print;
use crate::plan::{Message, Plan, Upload, progress};
use crate::repeat;
use crate::reply::{Output, Reply};
use crate::retry;
use crate::runtime::Runtime;
use crate::units::duration;
use crate::verbose::Verbose;
use crate::websocket;
use crate::write_out::WriteOut;
use crate::xml_rpc::{self, Arg, Outcome};

/// As curl: the server said that something went wrong, and `--fail` was given.
const FAILED_STATUS: u8 = 22;

/// The call of --rtorrent came back as a fault.
const FAULT_STATUS: u8 = 4;

/// The response to --upgrade was not a 101.
const NOT_UPGRADED_STATUS: u8 = 5;

/// Sends a request to an SCGI server and prints the body of the response
///
/// Ends with status 0 when a response came, 22 with --fail when its status is 400 or more, 4 when
/// the call of --rtorrent was answered with a fault, 5 when the server answered --upgrade without an
/// upgrade, 1 when no response came (or none complete), and 2 for wrong usage.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// Where the server listens: host:port, a path with a slash, unix:PATH, or a URL (scgi, tcp, unix)
    #[arg(value_name = "ADDR")]
    address: Address,
    /// Path and query [default: /; /RPC2 with --rtorrent]
    uri: Option<String>,
    #[command(flatten)]
    message: MessageArgs,
    /// Stream the file as the body, with the method PUT
    #[arg(short = 'T', long = "upload-file", value_name = "FILE", conflicts_with = "data")]
    upload: Option<PathBuf>,
    /// Call a method of rTorrent, or of any XML-RPC server, and print what it returns: a line for
    /// each element, with tabs within an element that is an array itself. Goes to the end of the
    /// command line or to the next flag
    ///
    /// An ARG is a string, unless it begins with i: (an integer, as in i:5), b: (b:true or
    /// b:false), d: (a floating-point number) or f: (the bytes of a file, as base64). A JSON
    /// array or object is sent as an array or a struct, as for system.multicall. s: sends the rest
    /// as a string. Characters of the reply that XML does not allow become U+FFFD, with a warning.
    #[arg(long, value_names = ["METHOD", "ARG"], num_args = 1.., allow_negative_numbers = true,
        conflicts_with_all = ["data", "upload", "include", "output", "repeat"])]
    rtorrent: Vec<Arg>,
    /// Print what the call of --rtorrent returns as one line of JSON
    #[arg(long, requires = "rtorrent")]
    json: bool,
    /// Ask for an upgrade to this protocol, as in --upgrade websocket, and then connect standard
    /// input and output to the server
    ///
    /// The request has HTTP_CONNECTION and HTTP_UPGRADE, and for a WebSocket a Sec-WebSocket-Key and
    /// the version 13; -H and -p may change each of them. After a 101, bytes pass as they are in both
    /// directions: no frames are made of them. The end of standard input is passed on, and the
    /// command ends when the server ends its output. --timeout counts with the tunnel, and --save
    /// keeps its bytes too (not with --runtime blocking). Any other response is printed as ever; the
    /// exit status is then 5.
    #[arg(long, value_name = "PROTOCOL", value_parser = websocket::protocol,
        conflicts_with_all = ["data", "upload", "rtorrent", "raw", "repeat"])]
    upgrade: Option<String>,
    /// Send the bytes of the file as they are, as `scgi request --save` or a capture has them
    #[arg(long, value_name = "FILE",
        conflicts_with_all = [
            "uri", "method", "headers", "param_file", "params", "data", "upload", "rtorrent"
        ])]
    raw: Option<PathBuf>,
    /// Print the head of the response too
    #[arg(short = 'i', long)]
    include: bool,
    /// Write the response to the file
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Show on standard error what is sent (>) and what comes (<)
    #[arg(short = 'v', long, conflicts_with = "repeat")]
    verbose: bool,
    /// Print what would be sent, as `scgi decode` does, and do not connect
    #[arg(long, conflicts_with_all = ["include", "output", "save", "repeat", "retry", "verbose"])]
    offline: bool,
    /// Try again up to N times, after 1 s, 2 s, 4 s ... 60 s
    ///
    /// Any request is sent again if the server could not be connected, as nothing was sent then. A
    /// GET, HEAD or OPTIONS request is also sent again if no response came, or if its status is
    /// 408, 429, 502, 503 or 504. A response that was cut is not tried again. --timeout is for each
    /// attempt.
    #[arg(long, value_name = "N", conflicts_with = "repeat", default_value_t = 0)]
    retry: u32,
    /// End with status 22 when the response's status is 400 or more
    #[arg(long)]
    fail: bool,
    /// Time for connecting, with the look-up of a name, as 2s, 500ms, 1m, or seconds
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    connect_timeout: Duration,
    /// Time for the whole request [default: none]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Print this text at the end, with values for %{status}, %{time_connect}, %{time_head}, %{time_total} (in
    /// seconds), %{bytes}, \n and \t
    #[arg(short = 'w', long, value_name = "FORMAT")]
    write_out: Option<WriteOut>,
    /// Keep what was sent in FILE and what came in FILE.cgi
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Send the request this many times, and print a summary of the times instead of the responses
    #[arg(long, value_name = "N", conflicts_with_all = ["include", "output", "save"])]
    repeat: Option<NonZeroU64>,
    /// How many of them run at the same time
    #[arg(long, value_name = "P", requires = "repeat", default_value = "1")]
    parallel: NonZeroU64,
    /// The runtime of the client
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    runtime: Runtime,
}

pub(crate) fn run(args: &RequestArgs) -> Result<ExitCode, BoxError> {
    let plan = args.plan()?;
    if args.offline {
        return show(&plan);
    }
    if !args.rtorrent.is_empty() {
        return args.call(&plan);
    }
    let all_well = match args.repeat {
        Some(count) => {
            let print = |reply: &Reply| args.print_figures(reply);
            repeat::run(args.runtime, &plan, count.get(), args.parallel.get(), print)?
        }
        None => return args.once(&plan),
    };
    Ok(if args.fail && !all_well { FAILED_STATUS.into() } else { ExitCode::SUCCESS })
}

/// Prints the request that would be sent.
fn show(plan: &Plan) -> Result<ExitCode, BoxError> {
    let decoded = plan.as_received()?;
    let received = Received {
        head: &decoded.head,
        body_length: decoded.body_length,
        surplus: Some(decoded.surplus),
        body_sha256: None,
    };
    print(&received.text())?;
    Ok(ExitCode::SUCCESS)
}

impl RequestArgs {
    /// Sends it once and prints the response.
    fn once(&self, plan: &Plan) -> Result<ExitCode, BoxError> {
        let output = self.output.clone().map_or(Output::Stdout, Output::File);
        let reply = self.exchange(plan, &output)?;
        self.print_figures(&reply)?;
        if reply.is_from_http_server() {
            eprintln!("scgi: {}", self.http_hint());
        }
        if let Some(status) = reply.error_status().filter(|_| self.fail) {
            eprintln!("scgi: the server answered {status}");
            return Ok(FAILED_STATUS.into());
        }
        if self.upgrade.is_some() {
            return Ok(self.tunnel_status(&reply));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Says on standard error what the output does not show of an upgrade.
    fn tunnel_status(&self, reply: &Reply) -> ExitCode {
        let Some(passed) = reply.tunnel() else {
            let status = reply.status().unwrap_or_default();
            eprintln!("scgi: the server answered {status} and did not upgrade");
            return NOT_UPGRADED_STATUS.into();
        };
        if !passed.input_ended {
            eprintln!("scgi: the server closed before the end of standard input");
        }
        ExitCode::SUCCESS
    }

    /// An XML-RPC call.
    fn call(&self, plan: &Plan) -> Result<ExitCode, BoxError> {
        let reply = self.exchange(plan, &Output::Memory)?;
        if reply.is_from_http_server() {
            return Err(self.http_hint().into());
        }
        if let Some(status) = reply.error_status() {
            return Err(format!("the server answered {status}").into());
        }
        let (outcome, replaced) = xml_rpc::reply(reply.kept())?;
        if replaced > 0 {
            eprintln!(
                "scgi: warning: {replaced} characters of the reply that XML does not allow are \
                 shown as U+FFFD"
            );
        }
        match outcome {
            Outcome::Value(value) => {
                print(&if self.json { xml_rpc::json_line(&value) } else { xml_rpc::text(&value) })?;
                self.print_figures(&reply)?;
                Ok(ExitCode::SUCCESS)
            }
            Outcome::Fault { code, text } => {
                eprintln!("scgi: fault {code}: {text}");
                Ok(FAULT_STATUS.into())
            }
        }
    }

    fn http_hint(&self) -> String {
        let address = &self.address;
        format!("an HTTP server answers on {address}: SCGI has a port or socket of its own")
    }

    fn exchange(&self, plan: &Plan, output: &Output) -> Result<Reply, BoxError> {
        let is_safe = plan.is_safe();
        let mut attempts = 0;
        loop {
            let may_retry = attempts < self.retry;
            let capture = self.save.as_deref().map(Capture::create).transpose()?;
            let mut reply = Reply::new(output.clone(), self.include)
                .with_verbose(self.verbose.then(|| Verbose::new(plan)))
                .with_held_back(may_retry && is_safe);
            let why = match self.runtime.exchange(plan, capture, &mut reply) {
                Ok(()) => match reply.error_status().filter(|_| reply.is_held_back()) {
                    Some(status) => format!("the server answered {status}"),
                    None => return Ok(reply),
                },
                Err(error) if may_retry && retry::may_follow(plan, &reply) => chain(&*error),
                Err(error) => return Err(error),
            };
            attempts += 1;
            let pause = retry::pause(attempts);
            let (retry, time) = (self.retry, humantime::format_duration(pause));
            eprintln!("scgi: {why}; attempt {attempts} of {retry} follows in {time}");
            thread::sleep(pause);
        }
    }

    fn print_figures(&self, reply: &Reply) -> Result<(), BoxError> {
        let Some(format) = &self.write_out else { return Ok(()) };
        print(&format.fill(reply.figures()))
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
        Ok(Plan {
            address: self.address.clone(),
            message,
            opens_tunnel: self.upgrade.is_some(),
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            progress,
        })
    }

    fn message(&self) -> Result<Message, BoxError> {
        let (upload, method, content_type) = self.upload()?;
        let default = if self.rtorrent.is_empty() { "/" } else { "/RPC2" };
        let uri = self.uri.as_deref().unwrap_or(default);
        let upgrade = self.upgrade.as_deref().map(websocket::params).unwrap_or_default();
        Ok(Message::Request(self.message.head(method, uri, content_type, &upgrade)?, upload))
    }

    /// The body, with the method and the type that go with it.
    fn upload(&self) -> Result<(Upload, &'static str, Option<&'static str>), BoxError> {
        if !self.rtorrent.is_empty() {
            let call = xml_rpc::call(&self.rtorrent)?;
            return Ok((Upload::Bytes(call.into()), "POST", Some("text/xml")));
        }
        Ok(match (self.message.body()?, &self.upload) {
            (Some(data), _) => (Upload::Bytes(data), "POST", Some(FORM)),
            (None, Some(path)) => (Upload::file(path)?, "PUT", None),
            (None, None) => (Upload::Bytes(Bytes::new()), "GET", None),
        })
    }
}

//! `scgi check`: how a backend takes good and bad requests.

mod cases;
mod draft;
mod exchange;
mod judge;
mod report;
mod run;
mod tunnel;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use scgi_proto::Address;
use scgi_proto::BoxError;

use self::draft::Good;
use self::report::{Table, Totals};
use self::run::Target;
use crate::failure::Context as _;
use crate::message::{FORM, MessageArgs};
use crate::output::print;
use crate::units::duration;
use crate::websocket;

/// Only rules were broken on which nothing in use depends.
const LENIENT_STATUS: u8 = 3;

/// Checks how an SCGI server answers good and bad requests
///
/// Legal requests must be answered with a CGI response, malformed ones should be refused (with a
/// status of 400 or more, or by closing), and after each case a good request must be answered.
/// Each case has the severity "must" (programs in use depend on it) or "should". A hang or a
/// crash always breaks a "must". A server that accepts a malformed request breaks a "should",
/// which is shown as "lenient".
///
/// --uri, -X, -H, --param-file, -p and -d make the good request. Of the cases for upgrades, an
/// ordinary response to a valid one is as good as a 101; --upgrade-uri names the path of a WebSocket.
///
/// Ends with status 0 when all cases passed, 3 when none failed but some were lenient, 1 when one
/// failed or the good request is not answered, and 2 for wrong usage.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Where the server listens: host:port, a path with a slash, unix:PATH, or a URL (scgi, tcp, unix)
    #[arg(value_name = "ADDR", required_unless_present = "list")]
    address: Option<Address>,
    /// Path and query of the good request
    #[arg(long, value_name = "URI", default_value = "/")]
    uri: String,
    #[command(flatten)]
    message: MessageArgs,
    /// Path and query of the requests for an upgrade [default: as the good request]
    #[arg(long, value_name = "URI")]
    upgrade_uri: Option<String>,
    /// The protocol that these ask for
    #[arg(long, value_name = "PROTOCOL", value_parser = websocket::protocol, default_value = "websocket")]
    upgrade: String,
    /// Time for each exchange, as 2s, 500ms, 1m, or seconds. A server that still waits
    /// then gets the end of input, and the same time again
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s")]
    timeout: Duration,
    /// Run only the cases with these numbers
    #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = number)]
    only: Vec<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write JUnit's XML to a file too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print the cases, their rules and severities, and run none
    #[arg(long)]
    list: bool,
}

fn number(text: &str) -> Result<usize, String> {
    let count = cases::numbered().count();
    match text.parse() {
        Ok(number) if (1..=count).contains(&number) => Ok(number),
        _ => Err(format!("the cases have the numbers 1 to {count}; see --list")),
    }
}

pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode, BoxError> {
    let Some(address) = args.address.as_ref().filter(|_| !args.list) else {
        print(&list(&args.only))?;
        return Ok(ExitCode::SUCCESS);
    };
    let target = Target { address: address.clone(), good: args.good()?, timeout: args.timeout };
    let mut table = Table::default();
    let outcomes =
        run::run(
            &target,
            &args.only,
            |outcome| {
                if args.json { Ok(()) } else { table.show(outcome) }
            },
        )?;
    let totals = Totals::of(&outcomes);
    if args.json {
        print(&report::json(&target, &outcomes)?)?;
    } else {
        report::print_totals(totals)?;
    }
    if let Some(path) = &args.junit {
        let xml = report::junit(&target, &outcomes);
        fs::write(path, xml).context(|| path.display().to_string())?;
    }
    Ok(match totals {
        Totals { failed: 0, lenient: 0, .. } => ExitCode::SUCCESS,
        Totals { failed: 0, .. } => LENIENT_STATUS.into(),
        _ => ExitCode::FAILURE,
    })
}

impl CheckArgs {
    fn good(&self) -> Result<Good, BoxError> {
        let body = self.message.body()?;
        let (method, content_type) = match body {
            Some(_) => ("POST", Some(FORM)),
            None => ("GET", None),
        };
        let head = self.message.head(method, &self.uri, content_type, &[])?;
        Ok(Good {
            head,
            body: body.unwrap_or_default().to_vec(),
            upgrade_uri: self.upgrade_uri.clone(),
            protocol: self.upgrade.clone(),
        })
    }
}

fn list(only: &[usize]) -> String {
    let mut text = String::new();
    for (number, _, case) in cases::numbered() {
        if only.is_empty() || only.contains(&number) {
            text.push_str(&format!(
                "{number:4} {:6} {:width$} {:rule_width$} {}\n",
                report::severity(case.severity),
                case.name,
                case.rule,
                report::expected(case.expect),
                width = report::NAME_WIDTH,
                rule_width = report::RULE_WIDTH,
            ));
        }
    }
    text
}

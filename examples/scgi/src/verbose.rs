//! `request -v`: what is sent and what comes, on standard error.

use std::fmt::Write as _;

use scgi_proto::Escaped;

use crate::failure::chain;
use crate::plan::Plan;
use crate::reply::Figures;
use crate::tunnel::Passed;

/// The texts of one request. A line begins with `>` if it is sent, with `<` if it came, and with
/// `*` if it says something about the exchange.
#[derive(Debug)]
pub(crate) struct Verbose {
    address: String,
    request: String,
}

impl Verbose {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut request = String::new();
        match plan.as_received() {
            Ok(decoded) => {
                for (name, value) in decoded.head.params() {
                    // Writing to a string cannot fail.
                    let _ = writeln!(request, "> {}={}", Escaped(name), Escaped(value));
                }
                let _ = writeln!(request, "* and {} bytes of body", decoded.body_length);
            }
            Err(error) => {
                let _ = writeln!(request, "* not a request: {}", chain(&*error));
            }
        }
        Self { address: plan.address.to_string(), request }
    }

    pub(crate) fn start(&self) {
        eprintln!("* connecting to {}", self.address);
    }

    pub(crate) fn connected(&self, figures: &Figures) {
        eprint!("* connected in {}, sending\n{}", millis(figures.connect), self.request);
    }

    /// The head of the response as text that cannot steer a terminal.
    pub(crate) fn head(head: &str) {
        let head: String = head.trim_end().lines().map(|line| format!("< {line}\n")).collect();
        eprint!("{head}");
    }

    pub(crate) fn tunnel() {
        eprintln!("* upgraded: standard input and output are connected to the server");
    }

    pub(crate) fn end(figures: &Figures, tunnel: Option<Passed>) {
        let (head, total) = (millis(figures.head), millis(figures.total));
        if let Some(Passed { sent, received, .. }) = tunnel {
            eprintln!(
                "* {sent} bytes sent and {received} received through the tunnel; head after {head}, \
                 end after {total}"
            );
            return;
        }
        eprintln!("* and {} bytes of body; head after {head}, end after {total}", figures.bytes);
    }
}

fn millis(time: std::time::Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

//! Outcomes as a table, as JSON and as JUnit's XML.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use scgi_proto::BoxError;
use scgi_proto::Escaped;
use serde::Serialize;

use super::cases::{Expect, Severity};
use super::judge::Mark;
use super::run::{Outcome, Target};
use crate::output::{print, print_styled};
use crate::xml::escape;

/// Columns of the table that the texts of the cases have to fit.
pub(crate) const NAME_WIDTH: usize = 40;
pub(crate) const RULE_WIDTH: usize = 21;

/// Shows outcomes as they come.
#[derive(Debug, Default)]
pub(crate) struct Table {
    group: &'static str,
}

impl Table {
    pub(crate) fn show(&mut self, outcome: &Outcome) -> Result<(), BoxError> {
        let mut text = String::new();
        if self.group != outcome.group {
            let gap = if self.group.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}", outcome.group);
            self.group = outcome.group;
        }
        let Outcome { number, case, verdict, .. } = outcome;
        let style = style(verdict.mark);
        let _ = writeln!(
            text,
            "{number:4} {style}{:7}{style:#} {:NAME_WIDTH$} {:RULE_WIDTH$} {}",
            verdict.mark.word(),
            case.name,
            case.rule,
            verdict.what,
        );
        print_styled(&text)
    }
}

fn style(mark: Mark) -> Style {
    match mark {
        Mark::Passed => AnsiColor::Green.on_default(),
        Mark::Lenient => AnsiColor::Yellow.on_default(),
        Mark::Failed => AnsiColor::Red.on_default().bold(),
    }
}

/// How many of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    pub(crate) lenient: usize,
    pub(crate) failed: usize,
}

impl Totals {
    pub(crate) fn of(outcomes: &[Outcome]) -> Self {
        let count = |mark| outcomes.iter().filter(|outcome| outcome.verdict.mark == mark).count();
        Self {
            passed: count(Mark::Passed),
            lenient: count(Mark::Lenient),
            failed: count(Mark::Failed),
        }
    }
}

/// The last line of the table.
pub(crate) fn print_totals(totals: Totals) -> Result<(), BoxError> {
    let Totals { passed, lenient, failed } = totals;
    print(&format!("\n{passed} passed, {lenient} lenient, {failed} failed\n"))
}

#[derive(Serialize)]
struct Json<'a> {
    address: String,
    uri: String,
    timeout_ms: u128,
    #[serde(flatten)]
    totals: Totals,
    cases: Vec<JsonCase<'a>>,
}

#[derive(Serialize)]
struct JsonCase<'a> {
    number: usize,
    group: &'a str,
    name: &'a str,
    rule: &'a str,
    expected: &'a str,
    severity: &'a str,
    mark: &'a str,
    what: &'a str,
    ms: u128,
}

/// One JSON object on one line.
pub(crate) fn json(target: &Target, outcomes: &[Outcome]) -> Result<String, BoxError> {
    let json = Json {
        address: target.address.to_string(),
        uri: Escaped(target.good.uri()).to_string(),
        timeout_ms: target.timeout.as_millis(),
        totals: Totals::of(outcomes),
        cases: outcomes.iter().map(json_case).collect(),
    };
    Ok(serde_json::to_string(&json)? + "\n")
}

fn json_case(outcome: &Outcome) -> JsonCase<'_> {
    let Outcome { number, group, case, verdict, took } = outcome;
    JsonCase {
        number: *number,
        group,
        name: case.name,
        rule: case.rule,
        expected: expected(case.expect),
        severity: severity(case.severity),
        mark: match verdict.mark {
            Mark::Passed => "passed",
            Mark::Lenient => "lenient",
            Mark::Failed => "failed",
        },
        what: &verdict.what,
        ms: took.as_millis(),
    }
}

/// What a backend has to do, in words.
pub(crate) fn expected(expect: Expect) -> &'static str {
    match expect {
        Expect::Answer => "answer",
        Expect::AnswerOrLimit => "answer or name a limit",
        Expect::Refuse => "refuse",
        Expect::Either => "answer or refuse",
        Expect::Survive => "go on",
        Expect::NoSwitch => "not switch",
        Expect::Switch => "switch or answer",
    }
}

pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Must => "must",
        Severity::Should => "should",
    }
}

/// JUnit's XML, which CI servers read: what is lenient is a failure of the type `should`.
pub(crate) fn junit(target: &Target, outcomes: &[Outcome]) -> String {
    let Totals { passed, lenient, failed } = Totals::of(outcomes);
    let seconds: f64 = outcomes.iter().map(|outcome| outcome.took.as_secs_f64()).sum();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        xml,
        "<testsuite name=\"scgi check {}\" tests=\"{}\" failures=\"{}\" time=\"{seconds:.3}\">",
        escape(&target.address.to_string()),
        passed + lenient + failed,
        lenient + failed,
    );
    for outcome in outcomes {
        junit_case(&mut xml, outcome);
    }
    xml.push_str("</testsuite>\n");
    xml
}

fn junit_case(xml: &mut String, outcome: &Outcome) {
    let Outcome { number, group, case, verdict, took } = outcome;
    let _ = write!(
        xml,
        "  <testcase classname=\"{}\" name=\"{number} {}\" time=\"{:.3}\"",
        escape(group),
        escape(case.name),
        took.as_secs_f64(),
    );
    let kind = match verdict.mark {
        Mark::Passed => return xml.push_str("/>\n"),
        Mark::Lenient => "should",
        Mark::Failed => "must",
    };
    let _ = writeln!(
        xml,
        ">\n    <failure type=\"{kind}\" message=\"{}\">{}: expected to {}</failure>\n  </testcase>",
        escape(&verdict.what),
        escape(case.rule),
        expected(case.expect),
    );
}

//! `scgi check` against SCGI servers written by others: it comes to an end, and the page of its
//! results in the guides tells the truth.

use std::collections::BTreeMap;

use crate::tool::scgi;
use scgi_tests::checked_peers::{CHECKED_PEERS, CheckedPeer};
use scgi_tests::process::required;
use serde_json::Value;

const PAGE: &str = include_str!("../../../../scgi-proto/src/guide/peers.md");

/// The mark of each case by its number.
type Marks = BTreeMap<u64, String>;

/// What the page says of a server.
fn marks_on_page(name: &str) -> Marks {
    let row = |line: &'static str| line.trim_matches('|').split('|').map(str::trim);
    let mut rows = PAGE.lines().skip_while(|line| !line.starts_with("| case |"));
    let mut header = row(rows.next().expect("a table"));
    let column = header.position(|cell| cell == name).expect("a column for the server");
    let cases = rows.skip(1).take_while(|line| line.starts_with('|'));
    cases
        .map(|line| {
            let number = row(line).next().and_then(|cell| cell.split(' ').next());
            let mark = match row(line).nth(column).expect("a mark") {
                "." => "passed",
                "~" => "lenient",
                _ => "failed",
            };
            (number.and_then(|n| n.parse().ok()).expect("a number"), mark.into())
        })
        .collect()
}

/// The result of `scgi check`; its exit status must agree with it.
fn marks(address: &str, args: &[&str]) -> (Marks, Value) {
    let run = scgi([&["check", address, "--json"][..], args].concat());
    let report: Value = serde_json::from_slice(&run.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", run.stderr));
    let expected = match (&report["failed"], &report["lenient"]) {
        (failed, _) if *failed != 0 => 1,
        (_, lenient) if *lenient != 0 => 3,
        _ => 0,
    };
    assert_eq!(run.code, Some(expected), "{}", run.stderr);
    let cases = report["cases"].as_array().expect("cases").iter();
    let marks = cases.map(|case| {
        let mark = case["mark"].as_str().expect("a mark");
        (case["number"].as_u64().expect("a number"), mark.into())
    });
    (marks.collect(), report)
}

fn check(name: &str) {
    let peer = CHECKED_PEERS.iter().find(|peer| peer.name == name).expect("a server");
    let CheckedPeer { program, start, args, .. } = peer;
    if !required(program) {
        return;
    }
    let running = start().expect("the server starts");
    let address = running.address().to_string();
    let on_page = marks_on_page(name);
    let (seen, _) = marks(&address, &[&["--timeout", "1s"][..], args].concat());
    assert_eq!(seen.len(), on_page.len());
    let differ = seen.iter().filter(|(number, mark)| on_page.get(*number) != Some(*mark));
    let numbers: Vec<_> = differ.map(|(number, _)| number.to_string()).collect();
    if numbers.is_empty() {
        return;
    }
    // The page was made with more patience, and this machine may be busy.
    let only = ["--only", &numbers.join(",")];
    let (again, report) = marks(&address, &[&only[..], args].concat());
    for (number, mark) in again {
        assert_eq!(
            Some(&mark),
            on_page.get(&number),
            "case {number} is not as the page says; examples/tests/examples/check_peers.rs makes it: {report}"
        );
    }
}

#[test]
fn rtorrent() {
    check("rTorrent");
}

#[test]
fn uwsgi() {
    check("uWSGI");
}

#[test]
fn python_scgi() {
    check("Python scgi");
}

#[test]
fn flup() {
    check("flup");
}

#[test]
fn perl() {
    check("Perl SCGI");
}

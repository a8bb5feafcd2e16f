//! The tables of the guide `flow`, for the tests: the page is the data, so a cell without a test is
//! not possible. The tests over sockets read the same file.

use std::time::Duration;

use scgi_proto::{ConnectionConfig, ReadPlan};

pub(crate) const PAGE: &str = include_str!("../../src/guide/flow.md");

pub(crate) const REQUESTS: [&str; 5] =
    ["head incomplete", "body wanted", "body held", "body dropped", "body complete"];
pub(crate) const RESPONSES: [&str; 4] =
    ["not begun", "waits for the program", "waits for the peer", "complete"];
pub(crate) const PEERS: [&str; 4] = ["sends", "is silent", "has half-closed", "has left"];
pub(crate) const DEADLINES: [&str; 6] = ["head", "body", "unread", "write", "request", "drain"];

/// The rows of the table whose first column has this name.
pub(crate) fn rows(first: &str) -> Vec<Vec<&'static str>> {
    let mut lines = PAGE.lines().skip_while(|line| !line.starts_with(&format!("| {first} |")));
    let cells = |line: &'static str| -> Vec<&'static str> {
        line.trim_matches('|').split('|').map(str::trim).collect()
    };
    lines.by_ref().take(2).for_each(drop);
    lines.take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// A row of the states of a connection of a server.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) request: &'static str,
    pub(crate) response: &'static str,
    pub(crate) input: &'static str,
    pub(crate) deadlines: Vec<&'static str>,
}

impl Cell {
    pub(crate) fn name(&self) -> String {
        format!("{}, {}", self.request, self.response)
    }

    /// Whether this state can occur.
    fn occurs(&self) -> bool {
        match self.input.strip_prefix("never: ") {
            Some(reason) => {
                assert!(reason.len() > 10, "{}: why not?", self.name());
                false
            }
            None => true,
        }
    }

    pub(crate) fn plan(&self) -> ReadPlan {
        match self.input.split(',').next() {
            Some("deliver") => ReadPlan::Deliver,
            Some("discard") => ReadPlan::Discard,
            Some("watch") => ReadPlan::Watch,
            Some("nothing") => ReadPlan::Nothing,
            other => panic!("{}: {other:?}", self.name()),
        }
    }
}

fn cells() -> Vec<Cell> {
    let cells = rows("request").into_iter().map(|row| Cell {
        request: row[0],
        response: row[1],
        input: row[2],
        deadlines: row[3].split(", ").filter(|name| !name.is_empty()).collect(),
    });
    let cells: Vec<_> = cells.collect();
    let pairs: Vec<_> = cells.iter().map(|cell| (cell.request, cell.response)).collect();
    let all = REQUESTS.iter().flat_map(|a| RESPONSES.iter().map(move |b| (*a, *b)));
    assert_eq!(pairs, all.collect::<Vec<_>>(), "each state has its row");
    cells
}

/// The states that occur.
pub(crate) fn states() -> impl Iterator<Item = Cell> {
    cells().into_iter().filter(Cell::occurs)
}

/// A connection without any deadline.
pub(crate) fn endless() -> ConnectionConfig {
    ConnectionConfig::default()
        .with_head_timeout(Duration::MAX)
        .with_body_timeout(Duration::MAX)
        .with_write_timeout(Duration::MAX)
        .with_drain_timeout(Duration::MAX)
        .with_min_body_rate(0)
        .with_min_write_rate(0)
}

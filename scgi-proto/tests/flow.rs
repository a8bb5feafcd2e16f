//! The table of the guide `flow`, cell by cell, on the machine alone: the page is the data, so a
//! cell without a test is not possible.

#[path = "flow/table.rs"]
mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use scgi_proto::{
    ConnectionConfig, DecodeError, Part, ReadPlan, RequestEvent, ResponseEvent, ResponseHead,
    ServerExchange, Status, Timeout,
};
use table::{Cell, DEADLINES, PEERS, rows, states};

const NOW: Duration = Duration::from_secs(1000);
/// What the drain takes, and what is discarded while the program works.
const LIMIT: u64 = 100;
const ABORTED: bool = true;

/// A machine in a state of the table.
trait Reach {
    fn reach(&self, config: &ConnectionConfig) -> ServerExchange;
    fn request(&self, exchange: &mut ServerExchange);
    fn response(&self, exchange: &mut ServerExchange);
}

impl Reach for Cell {
    fn reach(&self, config: &ConnectionConfig) -> ServerExchange {
        let mut exchange = ServerExchange::new(config, NOW);
        self.request(&mut exchange);
        self.response(&mut exchange);
        exchange
    }

    fn request(&self, exchange: &mut ServerExchange) {
        let input: &[u8] = match (self.request, self.response) {
            ("head incomplete", "not begun") => b"24:CONTENT_",
            ("head incomplete", _) => b"malformed",
            ("body complete", _) => b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,",
            _ => b"24:CONTENT_LENGTH\x009\x00SCGI\x001\x00,ab",
        };
        exchange.receive_slice(input);
        while let Ok(Some(_)) = exchange.next_event() {}
        match self.request {
            "body wanted" => {
                exchange.handle_body_asked();
                exchange.handle_read_blocked(NOW);
            }
            "body held" => exchange.handle_body_held(|| NOW),
            "body dropped" => exchange.handle_body_unwanted(),
            _ => {}
        }
    }

    fn response(&self, exchange: &mut ServerExchange) {
        if self.response != "not begun" && self.request != "head incomplete" {
            exchange.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).expect("legal");
            exchange.send(ResponseEvent::Body("hello".into())).expect("legal");
        }
        match self.response {
            "waits for the program" => write_all(exchange),
            "waits for the peer" => {
                assert!(exchange.wants_write());
                exchange.handle_write_blocked(NOW);
            }
            "complete" => {
                if self.request != "head incomplete" {
                    exchange.send(ResponseEvent::End).expect("legal");
                }
                write_all(exchange);
                assert!(exchange.wants_shutdown(), "{}", self.name());
                exchange.handle_shutdown(NOW);
            }
            _ => {}
        }
    }
}

fn write_all(exchange: &mut ServerExchange) {
    let (first, second) = exchange.pending();
    exchange.handle_written(first.len() + second.len());
}

/// Without any deadline, and with a limit that the tests reach.
fn endless() -> ConnectionConfig {
    table::endless().with_max_drain_len(LIMIT)
}

#[test]
fn each_state_reads_as_the_table_says() {
    for cell in states() {
        let exchange = cell.reach(&endless());
        assert_eq!(exchange.read_plan(), cell.plan(), "{}", cell.name());
        let works = matches!(cell.response, "not begun" | "waits for the program");
        let config = endless().with_ignore_client_abort(true);
        let plan = match cell.plan() {
            ReadPlan::Watch => ReadPlan::Nothing,
            ReadPlan::Discard if works => ReadPlan::Nothing,
            plan => plan,
        };
        assert_eq!(cell.reach(&config).read_plan(), plan, "{}, leaving ignored", cell.name());
    }
}

#[test]
fn what_is_discarded_has_the_bound_of_the_table() {
    for cell in states().filter(|cell| cell.plan() == ReadPlan::Discard) {
        let name = cell.name();
        let mut exchange = cell.reach(&endless());
        exchange.handle_discarded(60);
        assert_eq!(exchange.read_plan(), ReadPlan::Discard, "{name}");
        exchange.handle_discarded(60);
        match cell.input {
            "discard, as much again" => {
                assert_eq!(exchange.read_plan(), ReadPlan::Watch, "{name}");
                if cell.response == "not begun" {
                    exchange
                        .send(ResponseEvent::Head(ResponseHead::new(Status::OK)))
                        .expect("legal");
                }
                exchange.send(ResponseEvent::Body("more".into())).expect("legal");
                assert_eq!(exchange.read_plan(), ReadPlan::Discard, "{name}: of the drain");
            }
            "discard, drain limit" if cell.response == "complete" => {
                assert!(exchange.is_closed() && !exchange.wants_reset(), "{name}");
            }
            "discard, drain limit" => {
                assert_eq!(exchange.read_plan(), ReadPlan::Nothing, "{name}");
                assert!(!exchange.is_closed(), "{name}: surplus ends nothing");
                if cell.request != "head incomplete" {
                    exchange.send(ResponseEvent::End).expect("legal");
                }
                write_all(&mut exchange);
                exchange.handle_shutdown(NOW);
                exchange.handle_discarded(1);
                assert!(exchange.is_closed(), "{name}: they count together");
            }
            other => panic!("{name}: {other}"),
        }
    }
}

/// With one deadline only, of a second.
fn config_with(deadline: &str) -> ConnectionConfig {
    let second = Duration::from_secs(1);
    match deadline {
        "head" => endless().with_head_timeout(second),
        "body" => endless().with_body_timeout(second),
        "unread" => endless().with_unread_body_timeout(second),
        "write" => endless().with_write_timeout(second),
        "request" => endless().with_request_timeout(second),
        "drain" => endless().with_drain_timeout(second),
        other => panic!("{other}"),
    }
}

fn timeout(deadline: &str) -> Timeout {
    match deadline {
        "head" => Timeout::Head,
        "body" => Timeout::Body,
        "unread" => Timeout::Unread,
        "write" => Timeout::Write,
        "request" => Timeout::Request,
        _ => Timeout::Drain,
    }
}

#[test]
fn each_state_has_the_deadlines_of_the_table_and_no_others() {
    let outcomes: BTreeMap<_, _> =
        rows("deadline").into_iter().map(|row| (row[0], row[3])).collect();
    assert_eq!(outcomes.len(), DEADLINES.len());
    for cell in states() {
        for deadline in DEADLINES {
            let name = format!("{}, {deadline}", cell.name());
            let mut exchange = cell.reach(&config_with(deadline));
            let before = NOW + Duration::from_millis(999);
            assert_eq!(exchange.handle_timeout(before), None, "{name}");
            let passed = exchange.handle_timeout(NOW + Duration::from_secs(1));
            let is_there = cell.deadlines.contains(&deadline);
            assert_eq!(passed, is_there.then(|| timeout(deadline)), "{name}");
            if is_there {
                check_outcome(&cell, exchange, outcomes[deadline], &name);
            }
        }
    }
}

fn check_outcome(cell: &Cell, mut exchange: ServerExchange, outcome: &str, name: &str) {
    let begun = cell.response == "waits for the program";
    if exchange.has_body_timed_out() {
        assert!(!exchange.wants_write() || cell.response == "waits for the peer", "{name}");
        // The reader asks again.
        exchange.handle_body_timeout_noticed();
    }
    match outcome.split([',', ';']).next() {
        Some("the connection is closed") => {
            assert!(exchange.is_closed() && !exchange.wants_reset(), "{name}");
        }
        Some("the connection breaks") => {
            assert!(exchange.is_closed() && exchange.wants_reset(), "{name}");
        }
        Some(status @ ("408" | "503")) if !begun => {
            assert!(exchange.pending().0.starts_with(format!("Status: {status}").as_bytes()));
        }
        Some("408" | "503") => assert!(exchange.is_closed() && exchange.wants_reset(), "{name}"),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn minimum_rates_hold_where_the_table_has_a_deadline_of_the_peer() {
    let config = endless()
        .with_min_body_rate(240)
        .with_min_write_rate(240)
        .with_rate_grace(Duration::from_secs(10));
    for cell in states() {
        let mut exchange = cell.reach(&config);
        let passed = exchange.handle_timeout(NOW + Duration::from_secs(10));
        let expected = if cell.deadlines.contains(&"write") {
            Some(Timeout::WriteRate)
        } else {
            cell.deadlines.contains(&"body").then_some(Timeout::BodyRate)
        };
        assert_eq!(passed, expected, "{}", cell.name());
    }
}

#[test]
fn each_peer_meets_what_the_page_says() {
    let peers: Vec<_> = rows("the peer").into_iter().map(|row| row[0]).collect();
    assert_eq!(peers, PEERS);
    let mut checked = 0;
    for cell in states() {
        for peer in PEERS {
            let mut exchange = cell.reach(&endless());
            check_peer(&cell, peer, &mut exchange, &format!("{}, {peer}", cell.name()));
            checked += 1;
        }
    }
    assert_eq!(checked, 18 * 4);
}

fn check_peer(cell: &Cell, peer: &str, exchange: &mut ServerExchange, name: &str) {
    let waits_for_peer = cell.response == "waits for the peer";
    match (peer, cell.plan()) {
        ("is silent", _) => assert!(!exchange.is_peer_gone() && !exchange.is_closed(), "{name}"),
        ("sends", ReadPlan::Deliver) => {
            exchange.receive_slice(b"LENGTH\x000\x00SCGI\x001\x00,");
            assert!(matches!(exchange.next_event(), Ok(Some(_))), "{name}");
        }
        ("sends", ReadPlan::Discard) => {
            let received = exchange.byte_counts().0;
            exchange.receive_slice(&[b'x'; 20]);
            exchange.handle_discarded(20);
            assert_eq!(exchange.byte_counts().0, received + 40, "{name}: counted");
            exchange.release_buffer();
            assert_eq!(exchange.buffer_mut().len(), 0, "{name}: not kept");
            assert!(!exchange.is_closed(), "{name}");
        }
        ("has half-closed" | "has left", ReadPlan::Deliver) => {
            exchange.receive_slice(&[]);
            let cut = exchange.next_event();
            let of = if cell.request == "head incomplete" {
                Part::HeaderBlock
            } else {
                Part::RequestBody
            };
            let is_cut = matches!(cut, Err(DecodeError::UnexpectedEnd { part, .. }) if part == of);
            assert!(is_cut, "{name}: {cut:?}");
            if cell.response == "not begun" {
                assert!(exchange.pending().0.starts_with(b"Status: 400"), "{name}");
            }
        }
        ("has half-closed" | "has left", ReadPlan::Discard) => {
            exchange.handle_discarded(0);
            let ends = !waits_for_peer && cell.response != "complete";
            assert_eq!(exchange.is_peer_gone(), ends, "{name}");
            assert_eq!(exchange.is_closed(), cell.response == "complete", "{name}");
            assert_eq!(exchange.wants_write(), waits_for_peer, "{name}");
        }
        ("has half-closed" | "has left", ReadPlan::Watch) => {
            exchange.handle_watching(|| NOW);
            let look = exchange.poll_timeout().expect("a time to look");
            assert_eq!(look, NOW + Duration::from_secs(1), "{name}");
            assert!(exchange.last_tries(look).look, "{name}");
            exchange.handle_peer_left();
            assert_eq!((exchange.is_closed(), exchange.wants_reset()), (true, ABORTED), "{name}");
        }
        (_, ReadPlan::Nothing) => {
            exchange.handle_peer_left();
            assert!(!exchange.is_closed() && !exchange.wants_read(), "{name}");
        }
        ("sends", ReadPlan::Watch) => assert!(!exchange.wants_read(), "{name}"),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_trickled_body_is_too_slow_and_a_slow_one_is_not() {
    // Seconds until the machine ends the request, when so many bytes come every so many seconds.
    let ends = |bytes: usize, every: u64| {
        let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
        exchange.receive_slice(b"31:CONTENT_LENGTH\x0099999999\x00SCGI\x001\x00,");
        assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
        let mut now = Duration::ZERO;
        while now.as_secs() < 600 {
            exchange.handle_read_blocked(now);
            let next = now + Duration::from_secs(every);
            while let Some(at) = exchange.poll_timeout().filter(|at| *at <= next) {
                if let Some(timeout) = exchange.handle_timeout(at) {
                    return Some((timeout, at.as_secs()));
                }
            }
            now = next;
            exchange.handle_waited(now);
            exchange.receive_slice(&vec![b'x'; bytes]);
            assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Body(_)))));
        }
        None
    };
    assert_eq!(ends(1, 5), Some((Timeout::BodyRate, 10)));
    assert_eq!(ends(1, 59), Some((Timeout::BodyRate, 10)));
    assert_eq!(ends(240, 1), None);
    assert_eq!(ends(480, 2), None);
    // Half of what it has to be: the grace is used up after twice its time, less the last second.
    assert_eq!(ends(120, 1), Some((Timeout::BodyRate, 18)));
    assert_eq!(ends(100_000, 9), None);
    assert_eq!(ends(100_000, 11), Some((Timeout::BodyRate, 10)), "there was no start");
}

#[test]
fn a_fast_start_pays_for_one_pause() {
    let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
    exchange.receive_slice(b"31:CONTENT_LENGTH\x0099999999\x00SCGI\x001\x00,");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    exchange.receive_slice(&[b'x'; 500_000]);
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Body(_)))));
    exchange.handle_read_blocked(Duration::ZERO);
    assert_eq!(exchange.handle_timeout(Duration::from_secs(59)), None, "as long as without a rate");
    exchange.handle_waited(Duration::from_secs(59));
    exchange.receive_slice(b"x");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Body(_)))));
    exchange.handle_read_blocked(Duration::from_secs(59));
    assert_eq!(exchange.handle_timeout(Duration::from_secs(61)), Some(Timeout::BodyRate));
}

#[test]
fn time_in_which_the_program_does_not_wait_is_free() {
    let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
    exchange.receive_slice(b"31:CONTENT_LENGTH\x0099999999\x00SCGI\x001\x00,");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    for minute in 0..60 {
        let now = Duration::from_secs(60 * minute);
        exchange.handle_body_asked();
        exchange.handle_read_blocked(now);
        let came = now + Duration::from_millis(100);
        exchange.handle_waited(came);
        exchange.receive_slice(&[b'x'; 24]);
        assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Body(_)))));
        exchange.handle_body_held(|| came);
        assert_eq!(exchange.handle_timeout(now + Duration::from_secs(59)), None);
    }
}

#[test]
fn a_wait_that_is_withdrawn_ends_its_deadline() {
    let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
    exchange.receive_slice(b"31:CONTENT_LENGTH\x0099999999\x00SCGI\x001\x00,");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    exchange.handle_read_blocked(Duration::ZERO);
    exchange.handle_read_withdrawn(|| Duration::from_secs(1));
    assert_eq!(exchange.poll_timeout(), None);
    exchange.handle_read_blocked(Duration::from_secs(100));
    assert_eq!(exchange.poll_timeout(), Some(Duration::from_secs(109)), "a second is paid");
}

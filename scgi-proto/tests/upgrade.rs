//! The change of protocol on the machines alone: who may have it, what is kept, what still holds.

use std::time::Duration;

use scgi_proto::{
    ClientConfig, ClientExchange, ConnectionConfig, DecodeError, EncodeError, Policy, ReadPlan,
    RequestEvent, RequestHead, ResponseEvent, ResponseHead, ServerExchange, Status, Timeout,
    Upgrades,
};

const PAGE: &str = include_str!("../src/guide/flow.md");
const NOW: Duration = Duration::from_secs(1000);
const KEPT: usize = 16 * 1024;

/// A request with these params, as bytes.
fn request(params: &[(&str, &str)]) -> Vec<u8> {
    let head = params.iter().fold(
        RequestHead::builder("GET", "/chat")
            .param("HTTP_CONNECTION", "keep-alive, Upgrade")
            .param("HTTP_UPGRADE", "websocket"),
        |head, (name, value)| head.param(name, value),
    );
    let mut bytes = bytes::BytesMut::new();
    scgi_proto::RequestEncoder::default().head(&head.build(), &mut bytes).expect("legal");
    bytes.to_vec()
}

/// A machine that has got a request, and bytes behind it.
fn exchange_with(
    config: &ConnectionConfig,
    params: &[(&str, &str)],
    behind: &[u8],
) -> ServerExchange {
    let mut exchange = ServerExchange::new(config, NOW);
    exchange.receive_slice(&[&request(params), behind].concat());
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    exchange
}

fn offered(behind: &[u8]) -> ServerExchange {
    exchange_with(&ConnectionConfig::default(), &[], behind)
}

fn switching() -> ResponseEvent {
    let head = ResponseHead::new(Status::SWITCHING_PROTOCOLS).with_field("Upgrade", "websocket");
    ResponseEvent::Head(head)
}

fn write_all(exchange: &mut ServerExchange) -> String {
    let (first, second) = exchange.pending();
    let text = String::from_utf8_lossy(&[first, second].concat()).into_owned();
    exchange.handle_written(text.len());
    text
}

fn upgraded(config: &ConnectionConfig, behind: &[u8]) -> ServerExchange {
    let mut exchange = exchange_with(config, &[], behind);
    exchange.send(switching()).expect("it is offered");
    write_all(&mut exchange);
    assert!(exchange.is_upgraded());
    exchange
}

#[test]
fn a_101_ends_the_messages_and_hands_over_what_came_behind_the_request() {
    let mut exchange = offered(b"fir");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::End))));
    assert!(matches!(exchange.next_event(), Ok(None)));
    exchange.receive_slice(b"st");
    assert_eq!(exchange.read_plan(), ReadPlan::Keep);
    assert_eq!(exchange.read_kept(&mut [0; 9]), 0, "not before the 101");
    exchange.send(switching()).expect("it is offered");
    assert!(exchange.wants_write() && exchange.is_upgrade_granted() && !exchange.is_upgraded());
    // In pieces, as the peer takes it.
    exchange.handle_written(5);
    assert!(!exchange.is_upgraded() && exchange.read_kept(&mut [0; 9]) == 0);
    assert_eq!(
        write_all(&mut exchange),
        "s: 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    );
    assert!(exchange.is_upgraded() && exchange.is_request_over() && !exchange.is_closed());
    assert!(!exchange.wants_shutdown() && !exchange.wants_read() && !exchange.wants_write());
    let mut kept = [0; 3];
    assert_eq!((exchange.read_kept(&mut kept), &kept), (3, b"fir"));
    assert_eq!((exchange.read_kept(&mut kept), &kept[..2]), (2, &b"st"[..]));
    assert_eq!(exchange.read_kept(&mut kept), 0);
    let (received, sent) = exchange.byte_counts();
    exchange.handle_upgraded_read(10);
    exchange.handle_upgraded_written(20);
    assert_eq!(exchange.byte_counts(), (received + 10, sent + 20));
    assert_eq!((exchange.surplus(), exchange.status()), (0, Some(Status::SWITCHING_PROTOCOLS)));
    assert_eq!(exchange.poll_timeout(), None);
    assert!(!exchange.wants_reset() && !exchange.has_peer_left());
}

#[test]
fn nothing_can_be_sent_behind_a_101() {
    let mut exchange = offered(b"");
    exchange.send(switching()).expect("it is offered");
    for event in [ResponseEvent::Body("x".into()), ResponseEvent::End, switching()] {
        assert_eq!(exchange.send(event), Err(EncodeError::AlreadySent));
    }
}

#[test]
fn a_101_without_a_valid_upgrade_is_refused_and_another_response_can_be_sent() {
    let rows: &[&[(&str, &str)]] = &[
        &[("HTTP_UPGRADE", "")],
        &[("HTTP_CONNECTION", "close")],
        &[("SERVER_PROTOCOL", "HTTP/1.0")],
        &[("SERVER_PROTOCOL", "HTTP/2.0")],
        &[("HTTP_CONTENT_LENGTH", "5")],
        &[("HTTP_TRANSFER_ENCODING", "chunked")],
        &[("SERVER_SOFTWARE", "Apache/2.4.62 (Debian)")],
        &[("SCRIPT_FILENAME", "proxy:scgi://localhost:4000/chat")],
        &[("SERVER_SOFTWARE", "lighttpd/1.4.69")],
    ];
    for params in rows {
        let mut exchange = exchange_with(&ConnectionConfig::default(), params, b"behind");
        assert!(!exchange.is_upgrade_offered(), "{params:?}");
        assert_eq!(exchange.read_plan(), ReadPlan::Discard, "{params:?}");
        assert_eq!(exchange.send(switching()), Err(EncodeError::UpgradeNotOffered), "{params:?}");
        assert!(!exchange.wants_write(), "{params:?}");
        exchange.fail(Status::INTERNAL_SERVER_ERROR);
        assert!(write_all(&mut exchange).starts_with("Status: 500"), "{params:?}");
        assert!(!exchange.is_upgraded() && exchange.wants_shutdown(), "{params:?}");
    }
    // A request that has none at all, and other statuses that are not final.
    let mut exchange = ServerExchange::new(&ConnectionConfig::default(), NOW);
    exchange.receive_slice(b"0:,");
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    assert_eq!(exchange.send(switching()), Err(EncodeError::UpgradeNotOffered));
    for code in [100, 102, 103, 199] {
        let head = ResponseHead::new(Status::new(code).expect("a status"));
        let sent = offered(b"").send(ResponseEvent::Head(head));
        assert_eq!(sent, Err(EncodeError::InvalidStatus { code }));
    }
}

#[test]
fn the_setting_decides_whatever_the_front_server_is() {
    let config = |upgrades| {
        ConnectionConfig::default().with_policy(Policy::default().with_upgrades(upgrades))
    };
    let apache = [("SERVER_SOFTWARE", "Apache")];
    for (upgrades, params, is_offered) in [
        (Upgrades::Detect, &[][..], true),
        (Upgrades::Detect, &apache, false),
        (Upgrades::Never, &[], false),
        (Upgrades::Always, &apache, true),
        (Upgrades::Always, &[("HTTP_CONNECTION", "")], false),
    ] {
        let mut exchange = exchange_with(&config(upgrades), params, b"");
        assert_eq!(exchange.is_upgrade_offered(), is_offered, "{upgrades:?} {params:?}");
        assert_eq!(exchange.send(switching()).is_ok(), is_offered, "{upgrades:?} {params:?}");
    }
}

#[test]
fn a_request_with_a_body_is_not_upgraded() {
    let mut bytes = bytes::BytesMut::new();
    let head = RequestHead::builder("POST", "/")
        .param("HTTP_CONNECTION", "Upgrade")
        .param("HTTP_UPGRADE", "websocket")
        .content_length(2);
    scgi_proto::RequestEncoder::default().head(&head.build(), &mut bytes).expect("legal");
    let mut exchange = ServerExchange::new(&ConnectionConfig::default(), NOW);
    exchange.receive(bytes);
    assert!(matches!(exchange.next_event(), Ok(Some(RequestEvent::Head(_)))));
    assert_eq!(exchange.read_plan(), ReadPlan::Deliver);
    assert_eq!(exchange.send(switching()), Err(EncodeError::UpgradeNotOffered));
}

#[test]
fn what_is_kept_while_the_program_decides_is_bounded() {
    let mut exchange = offered(&[b'x'; 100]);
    assert_eq!(exchange.max_kept_len(), KEPT - 100);
    exchange.receive_slice(&vec![b'x'; KEPT - 101]);
    assert_eq!((exchange.read_plan(), exchange.max_kept_len()), (ReadPlan::Keep, 1));
    exchange.receive_slice(b"x");
    assert_eq!((exchange.read_plan(), exchange.max_kept_len()), (ReadPlan::Watch, 0));
    // More than was asked for is not lost.
    exchange.receive_slice(b"y");
    assert_eq!(exchange.max_kept_len(), 0);
    exchange.send(switching()).expect("it is offered");
    write_all(&mut exchange);
    let mut kept = vec![0; 2 * KEPT];
    assert_eq!(exchange.read_kept(&mut kept), KEPT + 1);
    let patient = ConnectionConfig::default().with_ignore_client_abort(true);
    let full = exchange_with(&patient, &[], &[b'x'; KEPT]);
    assert_eq!(full.read_plan(), ReadPlan::Nothing);
}

#[test]
fn what_was_kept_is_surplus_if_the_response_is_not_a_101() {
    for status in [Status::OK, Status::UPGRADE_REQUIRED] {
        let mut exchange = offered(b"behind");
        exchange.send(ResponseEvent::Head(ResponseHead::new(status))).expect("legal");
        assert_eq!(exchange.read_plan(), ReadPlan::Discard);
        assert_eq!(exchange.surplus(), 6);
        exchange.send(ResponseEvent::End).expect("legal");
        write_all(&mut exchange);
        assert!(exchange.wants_shutdown(), "so that a reset does not lose the response");
        assert_eq!(exchange.read_kept(&mut [0; 9]), 0);
    }
    // Without surplus, the connection closes as after any request.
    let mut exchange = offered(b"");
    exchange.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).expect("legal");
    exchange.send(ResponseEvent::End).expect("legal");
    write_all(&mut exchange);
    assert!(exchange.is_closed() && !exchange.wants_reset());
}

#[test]
fn a_client_that_leaves_before_the_101_cancels_the_program() {
    let mut exchange = offered(b"first");
    exchange.receive_slice(&[]);
    assert!(exchange.is_peer_gone());
    assert_eq!(exchange.read_plan(), ReadPlan::Nothing);
    let patient = ConnectionConfig::default().with_ignore_client_abort(true);
    let mut exchange = exchange_with(&patient, &[], b"");
    exchange.receive_slice(&[]);
    assert!(!exchange.is_peer_gone());
    exchange.send(switching()).expect("it is offered");
}

#[test]
fn a_program_that_is_late_is_replaced_and_cannot_upgrade_then() {
    let config = ConnectionConfig::default().with_request_timeout(Duration::from_secs(1));
    let mut exchange = exchange_with(&config, &[], b"x");
    let late = exchange.handle_timeout(NOW + Duration::from_secs(1));
    assert_eq!(late, Some(Timeout::Request));
    assert_eq!(exchange.send(switching()), Err(EncodeError::AlreadySent));
    assert!(write_all(&mut exchange).starts_with("Status: 503"));
    assert!(!exchange.is_upgraded());
    // One whose 101 is queued and cannot leave.
    let mut exchange = exchange_with(&config, &[], b"x");
    exchange.send(switching()).expect("it is offered");
    exchange.handle_write_blocked(NOW);
    exchange.fail(Status::INTERNAL_SERVER_ERROR);
    assert!(write_all(&mut exchange).starts_with("Status: 500"));
    assert!(!exchange.is_upgraded());
}

#[test]
fn fields_of_a_101_and_a_426() {
    let mut exchange = offered(b"");
    let head = ResponseHead::new(Status::SWITCHING_PROTOCOLS)
        .with_field("Upgrade", "websocket")
        .with_field("Content-Length", "0")
        .with_field("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        .with_field("Set-Cookie", "a=1");
    exchange.send(ResponseEvent::Head(head)).expect("it is offered");
    assert_eq!(
        write_all(&mut exchange),
        "Status: 101 Switching Protocols\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a=1\r\n\r\n"
    );
    let required = ResponseHead::new(Status::UPGRADE_REQUIRED).with_field("Upgrade", "websocket");
    let mut exchange = offered(b"");
    exchange.send(ResponseEvent::Head(required)).expect("it is legal");
    for (status, name, index) in [
        (Status::OK, "Upgrade", 0),
        (Status::SWITCHING_PROTOCOLS, "Connection", 0),
        (Status::SWITCHING_PROTOCOLS, "Transfer-Encoding", 0),
    ] {
        let head = ResponseHead::new(status).with_field(name, "x");
        let sent = offered(b"").send(ResponseEvent::Head(head));
        assert_eq!(sent, Err(EncodeError::ForbiddenField { index }), "{status} {name}");
    }
}

#[test]
fn a_head_request_may_be_upgraded() {
    let mut exchange =
        exchange_with(&ConnectionConfig::default(), &[("REQUEST_METHOD", "HEAD")], b"");
    exchange.send(switching()).expect("it is offered");
}

/// The rows of the table of the guide.
fn rows() -> Vec<Vec<&'static str>> {
    let lines = PAGE.lines().skip_while(|line| !line.starts_with("| upgrade |")).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_table_of_the_guide() {
    let second = Duration::from_secs(1);
    let endless = ConnectionConfig::default().with_write_timeout(Duration::MAX);
    let reach = |state: &str, config: &ConnectionConfig| {
        let mut exchange = match state {
            "offered" | "granted" => exchange_with(config, &[], b""),
            _ => upgraded(config, b""),
        };
        match state {
            "offered" => {}
            "granted" => {
                exchange.send(switching()).expect("it is offered");
                exchange.handle_write_blocked(NOW);
            }
            _ => exchange.handle_write_blocked(NOW),
        }
        exchange
    };
    let states: Vec<_> = rows().iter().map(|row| row[0]).collect();
    assert_eq!(states, ["offered", "granted", "done"]);
    for row in rows() {
        let plan = match row[2] {
            "keep" => ReadPlan::Keep,
            // The machine reads nothing.
            "nothing" | "the program reads it" => ReadPlan::Nothing,
            other => panic!("{other}"),
        };
        assert_eq!(reach(row[0], &endless).read_plan(), plan, "{row:?}");
        for (name, config, timeout) in [
            ("write", endless.with_write_timeout(second), Timeout::Write),
            ("request", endless.with_request_timeout(second), Timeout::Request),
            ("body", endless.with_body_timeout(second), Timeout::Body),
            ("head", endless.with_head_timeout(second), Timeout::Head),
            ("unread", endless.with_unread_body_timeout(second), Timeout::Unread),
        ] {
            let mut exchange = reach(row[0], &config);
            let passed = exchange.handle_timeout(NOW + second);
            let is_there = row[3].split(", ").any(|deadline| deadline == name);
            assert_eq!(passed, is_there.then_some(timeout), "{row:?} {name}");
        }
    }
}

#[test]
fn the_write_timeout_holds_after_the_upgrade_unless_it_is_switched_off() {
    let minute = Duration::from_secs(60);
    let mut exchange = upgraded(&ConnectionConfig::default(), b"");
    exchange.handle_write_blocked(NOW);
    assert_eq!(exchange.poll_timeout(), Some(NOW + minute));
    exchange.handle_upgraded_written(1);
    assert_eq!(exchange.poll_timeout(), None, "a byte renews it");
    exchange.handle_write_blocked(NOW);
    assert_eq!(exchange.handle_timeout(NOW + minute), Some(Timeout::Write));
    assert!(exchange.is_closed() && exchange.wants_reset());

    let config = ConnectionConfig::default().with_upgraded_write_timeout(false);
    let mut exchange = upgraded(&config, b"");
    exchange.handle_write_blocked(NOW);
    assert_eq!(exchange.poll_timeout(), None);
    assert_eq!(exchange.handle_timeout(NOW + 1000 * minute), None);
    // It holds for the 101 itself.
    let mut exchange = exchange_with(&config, &[], b"");
    exchange.send(switching()).expect("it is offered");
    exchange.handle_write_blocked(NOW);
    assert_eq!(exchange.handle_timeout(NOW + minute), Some(Timeout::Write));
}

#[test]
fn an_offer_of_h2c_changes_nothing() {
    let params = [("HTTP_UPGRADE", "h2c"), ("HTTP_CONNECTION", "Upgrade, HTTP2-Settings")];
    let mut exchange = exchange_with(&ConnectionConfig::default(), &params, b"");
    exchange.send(ResponseEvent::Head(ResponseHead::new(Status::OK))).expect("legal");
    exchange.send(ResponseEvent::Body("hello".into())).expect("legal");
    exchange.send(ResponseEvent::End).expect("legal");
    assert_eq!(write_all(&mut exchange), "Status: 200 OK\r\n\r\nhello");
    assert!(exchange.is_closed() && !exchange.wants_reset());
}

/// A client that has sent its request, and what the server answers.
fn client(params: &[(&str, &str)], answer: &[u8]) -> ClientExchange {
    let head = params.iter().fold(
        RequestHead::builder("GET", "/chat")
            .param("HTTP_CONNECTION", "Upgrade")
            .param("HTTP_UPGRADE", "websocket"),
        |head, (name, value)| head.param(name, value),
    );
    let mut call = ClientExchange::new(&ClientConfig::default(), NOW);
    call.send(RequestEvent::Head(head.build())).expect("legal");
    call.send(RequestEvent::End).expect("legal");
    let pending = call.pending();
    call.handle_written(pending.0.len() + pending.1.len());
    call.receive_slice(answer);
    call
}

const ANSWER: &[u8] = b"Status: 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn a_client_gets_the_101_that_it_asked_for_and_what_follows() {
    let mut call = client(&[], &[ANSWER, b"first"].concat());
    let Ok(Some(ResponseEvent::Head(head))) = call.next_event() else { panic!("a head") };
    assert_eq!(head.fields().first("upgrade"), Some(&b"websocket"[..]));
    assert!(call.is_upgraded() && call.is_response_over() && !call.wants_write());
    assert!(matches!(call.next_event(), Ok(None)));
    assert_eq!((call.take_whole_body(), call.poll_timeout()), (None, None));
    let mut kept = [0; 9];
    assert_eq!((call.read_kept(&mut kept), &kept[..5]), (5, &b"first"[..]));
    assert_eq!(call.read_kept(&mut kept), 0);
    // Only the write timeout still holds.
    let minute = Duration::from_secs(60);
    call.handle_upgraded_blocked(NOW);
    assert_eq!(call.poll_timeout(), Some(NOW + minute));
    call.handle_upgraded_written();
    assert_eq!(call.poll_timeout(), None);
    call.handle_upgraded_blocked(NOW);
    assert_eq!(call.handle_timeout(NOW + minute), Some(Timeout::RequestWrite));
    assert!(!call.is_upgraded());
}

#[test]
fn a_101_that_the_client_did_not_ask_for_is_an_error() {
    for params in [
        &[("HTTP_UPGRADE", "")][..],
        &[("HTTP_CONNECTION", "close")],
        &[("SERVER_PROTOCOL", "HTTP/2.0")],
        &[("REQUEST_METHOD", "HEAD")],
    ] {
        let event = client(params, ANSWER).next_event();
        assert_eq!(event, Err(DecodeError::InvalidStatus { offset: 0 }), "{params:?}");
    }
    let other = client(&[], b"Status: 100 Continue\r\n\r\n").next_event();
    assert_eq!(other, Err(DecodeError::InvalidStatus { offset: 0 }));
    // Before the request was sent.
    let mut call = ClientExchange::new(&ClientConfig::default(), NOW);
    let head = RequestHead::builder("GET", "/")
        .param("HTTP_CONNECTION", "Upgrade")
        .param("HTTP_UPGRADE", "websocket");
    call.send(RequestEvent::Head(head.build())).expect("legal");
    call.receive_slice(ANSWER);
    assert_eq!(call.next_event(), Err(DecodeError::InvalidStatus { offset: 0 }));
    assert!(!call.is_upgraded());
}

#[test]
fn a_client_that_asks_for_an_upgrade_may_get_another_response() {
    let answer = b"Status: 426 Upgrade Required\r\nUpgrade: other\r\nContent-Length: 2\r\n\r\nno";
    let mut call = client(&[], answer);
    assert!(matches!(call.next_event(), Ok(Some(ResponseEvent::Head(_)))));
    assert!(!call.is_upgraded());
    assert_eq!(call.take_whole_body().as_deref(), Some(&b"no"[..]));
}

#[cfg(feature = "http")]
mod conversions {
    use scgi_proto::http::{
        request_from_http, request_to_http, response_from_http, response_to_http,
    };
    use scgi_proto::{RequestHead, ResponseHead, Status};

    #[test]
    fn a_valid_upgrade_reaches_the_http_request_and_no_other_does() {
        for (name, value, is_valid) in [
            ("HTTP_UPGRADE", "websocket", true),
            ("HTTP_CONNECTION", "close", false),
            ("SERVER_PROTOCOL", "HTTP/2.0", false),
            ("SERVER_SOFTWARE", "Apache/2.4", false),
            ("HTTP_CONTENT_LENGTH", "5", false),
        ] {
            let head = RequestHead::builder("GET", "/")
                .param("HTTP_CONNECTION", "keep-alive, Upgrade")
                .param("HTTP_UPGRADE", "websocket")
                .param("HTTP_SEC_WEBSOCKET_KEY", "dGhlIHNhbXBsZSBub25jZQ==")
                .param(name, value);
            let headers = request_to_http(head.build()).expect("a request").headers;
            assert_eq!(headers.contains_key("upgrade"), is_valid, "{name}: {value}");
            assert_eq!(headers.contains_key("connection"), is_valid, "{name}: {value}");
            assert!(headers.contains_key("sec-websocket-key"), "{name}: {value}");
            if is_valid {
                assert_eq!(headers["connection"], "keep-alive, Upgrade");
                assert_eq!(headers["upgrade"], "websocket");
            }
        }
    }

    #[test]
    fn a_valid_upgrade_of_an_http_request_reaches_the_backend() {
        let request = |version, connection: &str, other: &str| {
            let request = http::Request::get("/chat")
                .version(version)
                .header("connection", connection)
                .header("upgrade", "websocket")
                .header(other, "chunked");
            request_from_http(&request.body(()).expect("legal").into_parts().0).expect("legal")
        };
        let head = request(http::Version::HTTP_11, "keep-alive, Upgrade", "x-a");
        assert!(head.upgrade().is_some_and(|offer| offer.offers("websocket")));
        for head in [
            request(http::Version::HTTP_11, "close", "x-a"),
            request(http::Version::HTTP_10, "Upgrade", "x-a"),
            request(http::Version::HTTP_2, "Upgrade", "x-a"),
            request(http::Version::HTTP_11, "Upgrade", "transfer-encoding"),
        ] {
            assert_eq!(head.params().get("HTTP_UPGRADE"), None, "{head:?}");
            assert_eq!(head.params().get("HTTP_CONNECTION"), None, "{head:?}");
        }
    }

    #[test]
    fn responses_keep_upgrade_where_it_belongs() {
        for (status, keeps) in [(101, true), (426, true), (200, false), (400, false)] {
            let response = http::Response::builder()
                .status(status)
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
                .header("content-length", "0");
            let head = response_from_http(&response.body(()).expect("legal").into_parts().0);
            assert_eq!(head.fields().first("upgrade").is_some(), keeps, "{status}");
            assert_eq!(head.fields().first("connection"), None, "{status}");
            assert_eq!(head.fields().first("content-length").is_some(), status != 101, "{status}");
            assert!(head.fields().first("sec-websocket-accept").is_some(), "{status}");

            let status = Status::new(status).expect("a status");
            let head = ResponseHead::new(status).with_field("Upgrade", "websocket");
            let parts = response_to_http(&head).expect("a response");
            assert_eq!(parts.headers.contains_key("upgrade"), keeps, "{status}");
            let connection = parts.headers.get("connection").map(http::HeaderValue::as_bytes);
            assert_eq!(connection, (status.code() == 101).then_some(&b"upgrade"[..]), "{status}");
        }
    }
}

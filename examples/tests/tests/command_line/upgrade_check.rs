//! The cases of `scgi check` for upgrades, against servers with and without them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::tool::{EchoServer, RUNTIMES, scgi};
use crate::websocket_app::App;
use serde_json::Value;
use tokio::task::spawn_blocking;

/// The outcomes of the group, as (name, mark, what).
fn outcomes(address: &str, args: &[&str]) -> Vec<(String, String, String)> {
    let list = scgi(["check", "--list"]).ok();
    let first = list.text().lines().position(|line| line.contains(" no upgrade is asked for "));
    let first = first.expect("the group") + 1;
    let numbers: Vec<_> = (first..=list.text().lines().count()).map(|n| n.to_string()).collect();
    let only = numbers.join(",");
    let run = scgi([&["check", address, "--json", "--only", &only][..], args].concat());
    let report: Value = serde_json::from_slice(&run.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", run.stderr));
    let text = |case: &Value, name: &str| case[name].as_str().expect("text").to_owned();
    let cases = report["cases"].as_array().expect("cases").iter();
    cases.map(|case| (text(case, "name"), text(case, "mark"), text(case, "what"))).collect()
}

/// Checks the marks of these cases, and that all others passed.
#[track_caller]
fn assert_outcomes(seen: &[(String, String, String)], expected: &[(&str, &str, &str)]) {
    assert!(seen.len() >= 12, "{seen:?}");
    for (name, mark, what) in seen {
        let known = expected.iter().find(|(known, ..)| known == name);
        let (_, marked, told) = known.unwrap_or(&("", "passed", ""));
        assert!(mark == marked && what.contains(told), "{name}: {mark}: {what}");
    }
    for (name, ..) in expected {
        assert!(seen.iter().any(|(known, ..)| known == name), "{name}");
    }
}

#[test]
fn our_servers_upgrade() {
    for runtime in RUNTIMES {
        let server = EchoServer::start(&["--runtime", runtime, "127.0.0.1:0"]);
        for more in [&[][..], &["--upgrade", "x", "--upgrade-uri", "/chat?a"]] {
            let seen = outcomes(&server.address, &[&["--timeout", "20s"][..], more].concat());
            assert_outcomes(
                &seen,
                &[
                    ("no upgrade is asked for", "passed", "accepted: 200"),
                    ("an upgrade through Apache", "passed", "accepted: 200"),
                    ("a valid upgrade", "passed", "101"),
                    ("bytes sent before the 101", "passed", "101, and they come back"),
                    ("the end of input in the tunnel", "passed", "101, and it closes"),
                    ("close right after the 101", "passed", "continues"),
                    ("a request while 8 tunnels are open", "passed", "200"),
                ],
            );
        }
    }
}

/// A real server of WebSockets answers the pings.
#[tokio::test(flavor = "multi_thread")]
async fn an_axum_app_upgrades() {
    let app = App::start().await;
    let address = app.tcp.to_string();
    let seen = spawn_blocking(move || {
        outcomes(&address, &["--uri", "/hello", "--upgrade-uri", "/echo", "--timeout", "20s"])
    });
    let seen = seen.await.expect("no panic");
    assert_outcomes(
        &seen,
        &[
            ("a valid upgrade", "passed", "101"),
            ("bytes sent before the 101", "passed", "101, and they come back"),
            ("the end of input in the tunnel", "passed", "101, and it closes"),
        ],
    );
    app.wait_until_idle().await;
}

/// A server that does this with the head of each request.
fn server(serve: fn(&[u8], TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut head = vec![0; 4096];
                let count = stream.read(&mut head).unwrap_or(0);
                serve(&head[..count], stream);
            });
        }
    });
    address
}

fn has(head: &[u8], text: &[u8]) -> bool {
    head.windows(text.len()).any(|window| window == text)
}

fn ok(mut stream: TcpStream) {
    // The client may have gone.
    let _ = stream.write_all(b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nok");
}

#[test]
fn servers_that_break_the_rules() {
    // 101 to whatever mentions a protocol or a connection that is upgraded.
    let greedy = server(|head, mut stream| {
        if !has(head, b"UPGRADE") && !has(head, b"Upgrade") && !has(head, b"SEC_WEBSOCKET") {
            return ok(stream);
        }
        let _ = stream.write_all(b"Status: 101 Switching Protocols\r\n\r\n");
        // What came with the request is lost, and the end of input is not seen.
        thread::sleep(Duration::from_secs(1));
    });
    let fault = "101 all the same";
    let no_field = "101 without Upgrade: clients refuse it";
    assert_outcomes(
        &outcomes(&greedy, &["--timeout", "5s"]),
        &[
            ("no upgrade is asked for", "failed", fault),
            ("Upgrade without Connection", "failed", fault),
            ("Connection without Upgrade", "failed", fault),
            ("an upgrade in HTTP/1.0", "failed", fault),
            ("an upgrade in HTTP/2.0", "failed", fault),
            ("an upgrade with a body", "lenient", fault),
            ("an upgrade through Apache", "lenient", fault),
            ("a valid upgrade", "failed", no_field),
            ("bytes sent before the 101", "failed", no_field),
            ("the end of input in the tunnel", "lenient", no_field),
            ("close right after the 101", "failed", no_field),
            ("a request while 8 tunnels are open", "lenient", no_field),
        ],
    );
    // Valid ones only, but without the bytes before the 101, and with a wait at the end of input.
    let careless = server(|head, mut stream| {
        let is_valid = has(head, b"SERVER_PROTOCOL\0HTTP/1.1\0")
            && has(head, b"HTTP_UPGRADE\0")
            && has(head, b"HTTP_CONNECTION\0Upgrade\0")
            && has(head, b"CONTENT_LENGTH\x000\0")
            && !has(head, b"proxy:");
        if !is_valid {
            return ok(stream);
        }
        thread::sleep(Duration::from_millis(50));
        let _ = stream.write_all(b"Status: 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
        let mut buf = [0; 100];
        while let Ok(count @ 1..) = stream.read(&mut buf) {
            let _ = stream.write_all(&buf[..count]);
        }
        thread::sleep(Duration::from_secs(8));
    });
    let seen = outcomes(&careless, &["--timeout", "4s"]);
    assert_outcomes(
        &seen,
        &[
            ("bytes sent before the 101", "failed", "lost: only what follows comes back"),
            ("the end of input in the tunnel", "lenient", "101; left open"),
        ],
    );
}

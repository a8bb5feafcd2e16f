//! Upgrades over TCP and Unix sockets on each runtime: who gets a 101, what passes behind it, and
//! whether each way to end it makes the place free.
//!
//! The rules are tested in scgi-proto, without a socket (`tests/upgrade.rs`,
//! `tests/driver/server/upgrades.rs`).

#![cfg(target_os = "linux")]

mod axum;
mod backend;
mod bad_input;
mod clients;
mod server;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use server::{PATIENCE, PLACES, SHUTDOWN, Server};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use crate::peers::Peer;
use crate::servers::{RUNTIMES, Runtime};

const SWITCHING: &[u8] = b"Status: 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n";

/// Runs a test for each runtime, over TCP and over a Unix socket, all at the same time.
fn each(test: fn(Server)) {
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            for unix in [false, true] {
                scope.spawn(move || test(Server::start(runtime, unix)));
            }
        }
    });
}

/// Names and values.
type Params<'a> = &'a [(&'a str, &'a str)];

/// A request with these params and a body of so many bytes, without the body.
fn request(path: &str, params: Params<'_>, body: usize) -> Vec<u8> {
    let mut block = format!("CONTENT_LENGTH\0{body}\0SCGI\x001\0REQUEST_URI\0{path}\0");
    for (name, value) in params {
        block += &format!("{name}\0{value}\0");
    }
    format!("{}:{block},", block.len()).into_bytes()
}

fn upgrade(path: &str) -> Vec<u8> {
    let params =
        [("SERVER_PROTOCOL", "HTTP/1.1"), ("HTTP_CONNECTION", "Upgrade"), ("HTTP_UPGRADE", "echo")];
    request(path, &params, 0)
}

fn expect(peer: &mut Peer, expected: &[u8], name: &str) {
    let mut got = vec![0; expected.len()];
    peer.read_exact(&mut got).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(expected), "{name}");
}

/// A connection whose 101 has come.
fn open(server: &Server, path: &str) -> Peer {
    let mut peer = server.connect();
    peer.write_all(&upgrade(path)).expect(&server.name);
    expect(&mut peer, SWITCHING, &server.name);
    peer
}

fn answer(server: &Server, bytes: &[u8]) -> String {
    let mut peer = server.connect();
    peer.write_all(bytes).expect(&server.name);
    String::from_utf8(peer.read_all()).expect("text")
}

#[test]
fn an_upgrade_echoes_also_what_came_before_the_101() {
    each(|server| {
        let name = &server.name;
        let mut peer = server.connect();
        peer.write_all(&[&upgrade("/slow")[..], b"at the same time, "].concat()).expect(name);
        server.wait_until("no handler begins", || server.seen.begun.load(Ordering::SeqCst) == 1);
        peer.write_all(b"before the 101, ").expect(name);
        expect(&mut peer, SWITCHING, name);
        peer.write_all(b"after it").expect(name);
        expect(&mut peer, b"at the same time, before the 101, after it", name);
        // The deadline of a write is not one of an idle connection.
        thread::sleep(Duration::from_millis(1500));
        for message in [&b"one"[..], b"two", &[b'x'; 20_000]] {
            peer.write_all(message).expect(name);
            expect(&mut peer, message, name);
        }
        assert_eq!((server.counters.active(), server.counters.upgraded()), (1, 1), "{name}");
        peer.shutdown(Shutdown::Write);
        assert_eq!(peer.read_all(), b"", "{name}");
        server.assert_free_after(1);
    });
}

#[test]
fn a_101_without_a_valid_upgrade_is_answered_with_500() {
    const VERSION: (&str, &str) = ("SERVER_PROTOCOL", "HTTP/1.1");
    const CONNECTION: (&str, &str) = ("HTTP_CONNECTION", "keep-alive, Upgrade");
    const UPGRADE: (&str, &str) = ("HTTP_UPGRADE", "echo");
    let rows: &[(Params<'_>, &[u8])] = &[
        (&[], b""),
        (&[VERSION], b""),
        (&[VERSION, UPGRADE], b""),
        (&[VERSION, CONNECTION], b""),
        (&[VERSION, CONNECTION, ("HTTP_UPGRADE", "")], b""),
        (&[("SERVER_PROTOCOL", "HTTP/1.0"), CONNECTION, UPGRADE], b""),
        (&[("SERVER_PROTOCOL", "HTTP/2.0"), CONNECTION, UPGRADE], b""),
        (&[VERSION, CONNECTION, UPGRADE], b"hello"),
        (&[VERSION, CONNECTION, UPGRADE, ("HTTP_TRANSFER_ENCODING", "chunked")], b""),
        (&[VERSION, CONNECTION, UPGRADE, ("SERVER_SOFTWARE", "Apache/2.4.62 (Debian)")], b""),
        (&[VERSION, CONNECTION, UPGRADE, ("SCRIPT_FILENAME", "proxy:scgi://localhost/a")], b""),
        (&[VERSION, CONNECTION, UPGRADE, ("SERVER_SOFTWARE", "lighttpd/1.4.69")], b""),
    ];
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            for unix in [false, true] {
                scope.spawn(move || {
                    let server = Server::start(runtime, unix);
                    for (params, body) in rows {
                        let name = format!("{}, {params:?}", server.name);
                        let ask = |path| [&request(path, params, body.len())[..], body].concat();
                        let told = answer(&server, &ask("/offer"));
                        assert!(told.starts_with("Status: 200 OK\r\n"), "{name}: {told}");
                        assert!(told.ends_with("\r\n\r\nnot offered"), "{name}: {told}");
                        let told = answer(&server, &ask("/echo"));
                        assert!(told.starts_with("Status: 500 "), "{name}: {told}");
                        assert!(!told.contains("Upgrade: "), "{name}: {told}");
                    }
                    server.assert_free_after(0);
                });
            }
        }
    });
}

#[test]
fn an_offer_can_be_answered_with_200_and_a_101_needs_a_program() {
    each(|server| {
        let name = &server.name;
        // The bytes behind the request are surplus then.
        let told = answer(&server, &[&upgrade("/offer")[..], b"early"].concat());
        assert!(told.starts_with("Status: 200 OK\r\n"), "{name}: {told}");
        assert!(told.ends_with("\r\n\r\noffered"), "{name}: {told}");
        let told = answer(&server, &upgrade("/untaken"));
        assert!(told.starts_with("Status: 500 "), "{name}: {told}");
        server.assert_free_after(0);
    });
}

#[test]
fn a_program_that_panics_closes_its_connection_only() {
    each(|server| {
        let mut other = open(&server, "/echo");
        for _ in 0..2 * PLACES {
            let mut peer = open(&server, "/breaks");
            assert_eq!(peer.read_raw(), b"", "{}", server.name);
            server.wait_until("its place is not free", || server.counters.active() == 1);
        }
        other.write_all(b"still here").expect(&server.name);
        expect(&mut other, b"still here", &server.name);
        drop(other);
        server.assert_free_after(2 * PLACES as u64 + 1);
    });
}

#[test]
fn a_client_that_leaves_before_the_101_leaves_a_free_place() {
    each(|server| {
        for turn in 1..=PLACES + 1 {
            let mut peer = server.connect();
            peer.write_all(&upgrade("/slow")).expect(&server.name);
            server.wait_until("no handler begins", || {
                server.seen.begun.load(Ordering::SeqCst) == turn
            });
            if turn % 2 == 0 {
                peer.reset_on_close();
            }
            drop(peer);
        }
        server.wait_until("a connection is left", || server.counters.active() == 0);
        drop(open(&server, "/echo"));
        server.wait_until("a connection is left", || server.counters.active() == 0);
    });
}

#[test]
fn a_client_that_leaves_behind_the_101_leaves_a_free_place() {
    each(|server| {
        for turn in 0..=2 * PLACES {
            let mut peer = open(&server, "/echo");
            if turn % 2 == 0 {
                // Its echo meets a connection that is closed.
                peer.write_all(b"last words").expect(&server.name);
                peer.reset_on_close();
            }
            drop(peer);
            server.wait_until("its place is not free", || server.counters.active() == 0);
        }
        let count = 2 * PLACES + 1;
        server.assert_free_after(count as u64);
        server
            .wait_until("a program is left", || server.seen.ended.load(Ordering::SeqCst) == count);
    });
}

#[test]
fn upgrades_beyond_the_cap_wait_or_are_answered_with_503() {
    each(|server| {
        let name = &server.name;
        let mut peers: Vec<Peer> = (0..PLACES).map(|_| open(&server, "/echo")).collect();
        let mut next = server.connect();
        next.write_all(&upgrade("/echo")).expect(name);
        if server.runtime == Runtime::Blocking {
            let told = String::from_utf8(next.read_all()).expect("text");
            assert!(told.starts_with("Status: 503 "), "{name}: {told}");
            peers.pop();
            server.wait_until("its place is not free", || server.counters.active() < PLACES as u64);
        } else {
            // Those that have a place keep it.
            thread::sleep(Duration::from_millis(100));
            assert_eq!(server.counters.upgraded(), PLACES as u64, "{name}");
            peers.pop();
            expect(&mut next, SWITCHING, name);
            peers.push(next);
        }
        for peer in &mut peers {
            peer.write_all(b"served").expect(name);
            expect(peer, b"served", name);
        }
    });
}

#[test]
fn a_flood_of_upgrades_at_the_cap_is_served_in_turn() {
    const CLIENTS: u64 = 8;
    const EACH: u64 = 10;
    each(|server| {
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut done = 0;
                    let begun = Instant::now();
                    while done < EACH {
                        assert!(begun.elapsed() < PATIENCE, "{}", server.name);
                        let mut peer = server.connect();
                        peer.write_all(&[&upgrade("/echo")[..], b"hello"].concat()).expect("sent");
                        let mut status = [0; 11];
                        peer.read_exact(&mut status).expect("a response");
                        if server.runtime == Runtime::Blocking && &status == b"Status: 503" {
                            thread::sleep(Duration::from_millis(5));
                            continue;
                        }
                        assert_eq!(&status, b"Status: 101", "{}", server.name);
                        expect(&mut peer, &SWITCHING[11..], &server.name);
                        expect(&mut peer, b"hello", &server.name);
                        done += 1;
                    }
                });
            }
        });
        server.assert_free_after(CLIENTS * EACH);
    });
}

#[test]
fn a_peer_that_never_reads_is_closed_after_the_write_timeout() {
    each(|server| {
        let peers: Vec<Peer> = (0..PLACES).map(|_| open(&server, "/pours")).collect();
        server.wait_until("a program still writes", || {
            server.seen.ended.load(Ordering::SeqCst) == PLACES
        });
        server.assert_free_after(PLACES as u64);
        drop(peers);
        assert_eq!(server.counters.upgraded(), PLACES as u64);
    });
}

#[test]
fn a_shutdown_is_known_to_programs_and_cuts_those_that_stay() {
    each(|server| {
        let name = server.name.clone();
        let mut ends = open(&server, "/signal");
        let mut stays = open(&server, "/echo");
        let begun = Instant::now();
        let stopping = server.stop();
        expect(&mut ends, b"bye", &name);
        assert_eq!(ends.read_all(), b"", "{name}");
        stays.write_all(b"still here").expect(&name);
        expect(&mut stays, b"still here", &name);
        assert_eq!(stays.read_raw(), b"", "{name}");
        assert!(begun.elapsed() >= SHUTDOWN, "{name}: {:?}", begun.elapsed());
        // The one that has ended by itself, and the one that was cut.
        assert_eq!(stopping.end(), (1, 1), "{name}");
    });
}

#[test]
fn a_websocket_of_tungstenite_echoes() {
    each(|server| {
        let name = &server.name;
        let params = [
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("HTTP_CONNECTION", "Upgrade"),
            ("HTTP_UPGRADE", "websocket"),
            ("HTTP_SEC_WEBSOCKET_VERSION", "13"),
            ("HTTP_SEC_WEBSOCKET_KEY", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let mut peer = server.connect();
        peer.write_all(&request("/socket", &params, 0)).expect(name);
        let expected = "Status: 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        expect(&mut peer, expected.as_bytes(), name);
        let mut socket = WebSocket::from_raw_socket(peer, Role::Client, None);
        for message in
            [Message::text("one"), Message::binary(vec![7; 1_000_000]), Message::text("")]
        {
            socket.send(message.clone()).expect(name);
            assert!(socket.read().expect(name) == message, "{name}");
        }
        socket.send(Message::Ping("still there?".into())).expect(name);
        assert_eq!(socket.read().expect(name), Message::Pong("still there?".into()), "{name}");
        socket.close(None).expect(name);
        assert!(socket.read().expect(name).is_close(), "{name}");
        assert!(matches!(socket.read(), Err(Error::ConnectionClosed)), "{name}");
        server.assert_free_after(1);
    });
}

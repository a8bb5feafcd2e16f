//! WebSockets of an axum app whose server stops, or whose program fails.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message as AxumMessage, WebSocket as AxumSocket};
use axum::extract::ws::{WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::any;
use scgi_tokio::extract::Shutdown;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::request;
use super::server::{Open, PLACES, SHUTDOWN, Seen, Server, breaks};
use crate::peers::Peer;

async fn echo(upgrade: WebSocketUpgrade, seen: Arc<Seen>) -> Response {
    upgrade.on_upgrade(async move |mut socket: AxumSocket| {
        let _open = Open(seen);
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, AxumMessage::Text(_)) && socket.send(message).await.is_err() {
                break;
            }
        }
    })
}

async fn until_stop(
    upgrade: WebSocketUpgrade,
    Shutdown(stop): Shutdown,
    seen: Arc<Seen>,
) -> Response {
    upgrade.on_upgrade(async move |mut socket: AxumSocket| {
        let _open = Open(seen);
        stop.await;
        let frame = CloseFrame { code: close_code::AWAY, reason: "".into() };
        let _ = socket.send(AxumMessage::Close(Some(frame))).await;
        while let Some(Ok(_)) = socket.recv().await {}
    })
}

async fn break_down(upgrade: WebSocketUpgrade, seen: Arc<Seen>) -> Response {
    upgrade.on_upgrade(async move |socket: AxumSocket| {
        let _held = (socket, Open(seen));
        breaks();
    })
}

/// Takes the upgrade and answers with something else.
async fn change(upgrade: WebSocketUpgrade, seen: Arc<Seen>) -> &'static str {
    let failed = Open(seen);
    let upgrade = upgrade.on_failed_upgrade(move |_| drop(failed));
    drop(upgrade.on_upgrade(async |_| unreachable!("there is no 101")));
    "changed"
}

pub(super) fn app(seen: &Arc<Seen>) -> Router {
    macro_rules! route {
        ($handler:ident $(, $stop:ident)?) => {{
            let seen = Arc::clone(seen);
            any(async move |upgrade: WebSocketUpgrade $(, $stop: Shutdown)?| {
                $handler(upgrade, $($stop,)? seen).await
            })
        }};
    }
    Router::new()
        .route("/echo", route!(echo))
        .route("/signal", route!(until_stop, stop))
        .route("/breaks", route!(break_down))
        .route("/changed", route!(change))
}

/// Over TCP on several threads, and over a Unix socket on one.
fn each(test: fn(Server)) {
    thread::scope(|scope| {
        for unix in [false, true] {
            scope.spawn(move || test(Server::start_axum(unix)));
        }
    });
}

/// A connection that has asked for a WebSocket, and the head of its response.
fn ask(server: &Server, path: &str) -> (Peer, String) {
    let params = [
        ("REQUEST_METHOD", "GET"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("HTTP_CONNECTION", "Upgrade"),
        ("HTTP_UPGRADE", "websocket"),
        ("HTTP_SEC_WEBSOCKET_VERSION", "13"),
        ("HTTP_SEC_WEBSOCKET_KEY", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut peer = server.connect();
    peer.write_all(&request(path, &params, 0)).expect(&server.name);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        peer.read_exact(&mut byte).unwrap_or_else(|error| panic!("{}: {error}", server.name));
        head.push(byte[0]);
    }
    (peer, String::from_utf8(head).expect("text"))
}

fn open(server: &Server, path: &str) -> WebSocket<Peer> {
    let (peer, head) = ask(server, path);
    assert!(head.starts_with("Status: 101 "), "{}: {head}", server.name);
    WebSocket::from_raw_socket(peer, Role::Client, None)
}

fn check_echo(socket: &mut WebSocket<Peer>, name: &str) {
    socket.send(Message::text("still here")).expect(name);
    assert_eq!(socket.read().expect(name), Message::text("still here"), "{name}");
}

/// [`Stopping::end`](super::server::Stopping::end) waits until no socket of the server is left.
#[test]
fn a_shutdown_is_known_to_websockets_of_axum_and_cuts_those_that_stay() {
    each(|server| {
        let (name, seen) = (server.name.clone(), Arc::clone(&server.seen));
        let mut ends = open(&server, "/signal");
        let mut stays = open(&server, "/echo");
        check_echo(&mut stays, &name);
        server.wait_until("it is not counted", || server.counters.upgraded() == 2);
        assert_eq!(server.counters.active(), 2, "{name}");
        let begun = Instant::now();
        let stopping = server.stop();
        let Message::Close(Some(frame)) = ends.read().expect(&name) else { panic!("{name}") };
        assert_eq!(u16::from(frame.code), close_code::AWAY, "{name}");
        assert!(matches!(ends.read(), Err(Error::ConnectionClosed)), "{name}");
        check_echo(&mut stays, &name);
        assert!(stays.read().is_err(), "{name}");
        assert!(begun.elapsed() >= SHUTDOWN, "{name}: {:?}", begun.elapsed());
        assert_eq!(stopping.end(), (1, 1), "{name}");
        assert_eq!(seen.ended.load(Ordering::SeqCst), 2, "{name}");
    });
}

#[test]
fn a_websocket_of_axum_that_panics_gives_up_its_place() {
    each(|server| {
        let name = &server.name;
        let mut other = open(&server, "/echo");
        for turn in 1..=2 * PLACES {
            let mut socket = open(&server, "/breaks");
            assert!(socket.read().is_err(), "{name}");
            server.wait_until("its place is not free", || server.counters.active() == 1);
            // The socket, which holds the place, is dropped before the rest of the program.
            server.wait_until("the program is not dropped", || {
                server.seen.ended.load(Ordering::SeqCst) == turn
            });
        }
        check_echo(&mut other, name);
        drop(other);
        server.assert_free_after(2 * PLACES as u64 + 1);
        // All places can be taken.
        let sockets: Vec<_> = (0..PLACES).map(|_| open(&server, "/echo")).collect();
        drop(sockets);
        server.assert_free_after(3 * PLACES as u64 + 1);
        assert_eq!(server.stop().end(), (0, 0));
    });
}

#[test]
fn an_upgrade_that_axum_takes_and_answers_otherwise_fails() {
    each(|server| {
        let (mut peer, head) = ask(&server, "/changed");
        assert!(head.starts_with("Status: 200 "), "{}: {head}", server.name);
        assert_eq!(peer.read_all(), b"changed", "{}", server.name);
        server.assert_free_after(0);
        server.wait_until("the upgrade does not fail", || {
            server.seen.ended.load(Ordering::SeqCst) == 1
        });
    });
}

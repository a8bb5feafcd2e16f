//! Upgrades on threads: who runs the program, how many there are, and what ends it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use scgi_blocking::{Listener, Request, Response, Upgraded, serve};

const UPGRADE: &[u8] = b"91:CONTENT_LENGTH\x000\x00SCGI\x001\x00SERVER_PROTOCOL\x00HTTP/1.1\x00\
    HTTP_CONNECTION\x00Upgrade\x00HTTP_UPGRADE\x00echo\x00,";
const GET: &[u8] = b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,";
const SWITCHING: &[u8] = b"Status: 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(60);

fn echo(_: Request) -> Response {
    Response::switching_protocols("echo")
        .with_upgrade(|io: Upgraded| std::io::copy(&mut &io, &mut &io).map(drop))
}

/// Runs `test` with the address of a server, which then stops within `deadline`.
fn with_server(
    max_upgraded: usize,
    deadline: Duration,
    test: impl FnOnce(&str),
) -> scgi_blocking::Summary {
    let listener = Listener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_address().expect("an address").to_string();
    let server =
        serve(listener, echo).with_max_upgraded(max_upgraded).with_shutdown_deadline(deadline);
    let (shutdown, counters) = (server.shutdown_handle(), server.counters());
    let running = thread::spawn(|| server.run());
    test(&address);
    shutdown.stop();
    let summary = running.join().expect("no panic").expect("it has run");
    let until = Instant::now() + PATIENCE;
    while counters.active() > 0 {
        assert!(Instant::now() < until, "connections are left open");
        thread::sleep(Duration::from_millis(5));
    }
    summary
}

fn connect(address: &str, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request).expect("it is taken");
    stream
}

fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).expect("it comes");
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(expected));
}

fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it ends");
    text
}

#[test]
fn the_program_has_the_connection_until_the_client_ends_it() {
    with_server(8, PATIENCE, |address| {
        let mut stream = connect(address, &[UPGRADE, b"early"].concat());
        expect(&mut stream, SWITCHING);
        expect(&mut stream, b"early");
        for message in [&b"one"[..], b"two", &[b'x'; 100_000]] {
            stream.write_all(message).expect("it is taken");
            expect(&mut stream, message);
        }
        stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        assert_eq!(rest(stream), "");
    });
}

#[test]
fn beyond_the_bound_of_upgraded_connections_the_answer_is_503() {
    with_server(1, PATIENCE, |address| {
        let mut first = connect(address, UPGRADE);
        expect(&mut first, SWITCHING);
        assert!(rest(connect(address, UPGRADE)).starts_with("Status: 503"));
        drop(first);
        // Its place is free soon.
        let until = Instant::now() + PATIENCE;
        loop {
            let mut next = connect(address, UPGRADE);
            let mut status = [0; 11];
            next.read_exact(&mut status).expect("a response");
            if &status == b"Status: 101" {
                break;
            }
            assert!(Instant::now() < until, "the place is not given up");
            thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn a_101_that_no_one_asked_for_is_answered_with_500() {
    with_server(1, PATIENCE, |address| {
        assert!(rest(connect(address, GET)).starts_with("Status: 500"));
        // The bound was not used up.
        expect(&mut connect(address, UPGRADE), SWITCHING);
    });
}

#[test]
fn an_upgraded_connection_is_cut_at_the_shutdown_deadline() {
    let mut open = None;
    let summary = with_server(8, Duration::from_millis(50), |address| {
        let mut stream = connect(address, UPGRADE);
        expect(&mut stream, SWITCHING);
        open = Some(stream);
    });
    assert_eq!(summary.aborted, 1);
    let mut stream = open.expect("it was opened");
    assert!(matches!(stream.read(&mut [0; 9]), Ok(0) | Err(_)));
}

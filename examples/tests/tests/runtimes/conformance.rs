//! One suite for every runtime: the same bytes from a plain socket, over TCP and over a Unix
//! socket, get the same replies.

mod third;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::app::{BODY_TIMEOUT, HEAD_TIMEOUT, Way};
use crate::support::{self, App};
use sha2::{Digest, Sha256};

/// A socket of either kind.
enum Peer {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Peer {
    fn half_close(&self) {
        // It fails if the server has closed already, which the reply then shows.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    fn read_write(&mut self) -> (&mut dyn Read, Box<dyn Write + Send>) {
        match self {
            Self::Tcp(stream) => {
                let writer = stream.try_clone().expect("a clone");
                (stream, Box::new(writer))
            }
            Self::Unix(stream) => {
                let writer = stream.try_clone().expect("a clone");
                (stream, Box::new(writer))
            }
        }
    }
}

/// A server under test and how to reach it.
struct Server {
    app: App,
    unix: bool,
    cases: usize,
}

impl Server {
    fn connect(&self) -> Peer {
        let timeout = Some(Duration::from_secs(20));
        if self.unix {
            let stream = UnixStream::connect(&self.app.unix).expect("connected");
            stream.set_read_timeout(timeout).expect("a timeout");
            Peer::Unix(stream)
        } else {
            let stream = TcpStream::connect(self.app.tcp).expect("connected");
            stream.set_read_timeout(timeout).expect("a timeout");
            Peer::Tcp(stream)
        }
    }

    /// Sends bytes, ends the input if asked to, and reads all that comes back.
    fn send(&mut self, bytes: &[u8], half_close: bool) -> String {
        self.cases += 1;
        let mut peer = self.connect();
        let mut reply = Vec::new();
        std::thread::scope(|scope| {
            let (reader, mut writer) = peer.read_write();
            scope.spawn(move || {
                // A server may answer early and close.
                let _ = writer.write_all(bytes);
            });
            if !half_close {
                reader.read_to_end(&mut reply).expect("the whole reply, and no reset");
            }
        });
        if half_close {
            peer.half_close();
            peer.read_write().0.read_to_end(&mut reply).expect("the whole reply, and no reset");
        }
        String::from_utf8_lossy(&reply).into_owned()
    }

    fn status(&mut self, bytes: &[u8], half_close: bool) -> Option<u16> {
        let reply = self.send(bytes, half_close);
        // An HTTP request is answered in HTTP.
        let start = if bytes.starts_with(b"GET ") { "HTTP/1.1 " } else { "Status: " };
        let code = reply.strip_prefix(start)?.get(..3)?.parse().ok();
        assert!(reply.contains("\r\n\r\n"), "{reply}");
        code
    }

    fn still_answers(&mut self) {
        assert_eq!(self.status(&request("/alive", b""), false), Some(200));
    }
}

fn netstring(block: &[u8], body: &[u8]) -> Vec<u8> {
    [format!("{}:", block.len()).as_bytes(), block, b",", body].concat()
}

fn request(uri: &str, body: &[u8]) -> Vec<u8> {
    let block = format!("CONTENT_LENGTH\0{}\0SCGI\x001\0REQUEST_URI\0{uri}\0", body.len());
    netstring(block.as_bytes(), body)
}

/// What the program answers about a body.
fn summary(body: &[u8]) -> String {
    format!(" {} {:x}", body.len(), Sha256::digest(body))
}

fn captures(server: &mut Server) {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scgi-proto/tests/vectors");
    let mut count = 0;
    for front in ["nginx", "apache", "lighttpd"] {
        for entry in fs::read_dir(vectors.join(front)).expect("the vectors") {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).expect("a capture");
            if path.extension().is_none_or(|extension| extension != "scgi") || bytes.is_empty() {
                continue;
            }
            let json = fs::read_to_string(path.with_extension("json")).expect("its json");
            let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            let reply = server.send(&bytes, true);
            let is_head = json["headers"].to_string().contains(r#"["REQUEST_METHOD","HEAD"]"#);
            if is_head {
                assert!(
                    reply.starts_with("Status: 200 ") && reply.ends_with("\r\n\r\n"),
                    "{reply}"
                );
            } else if json["complete"] == true {
                let (len, hash) = (&json["body_len"], json["body_sha256"].as_str());
                let end = format!(" {len} {}", hash.expect("a hash"));
                assert!(reply.ends_with(&end), "{path:?}: {reply}");
            } else {
                assert!(reply.starts_with("Status: 400 "), "{path:?}: {reply}");
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count} captures");
}

/// What peers make of bad input themselves: refused, and no one waits.
fn requests_of_peers(server: &mut Server) {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scgi-proto/tests/vectors");
    let mut malformed = 0;
    for peer in ["flup", "perl-scgi", "python-scgi", "rtorrent", "uwsgi"] {
        for entry in fs::read_dir(vectors.join(peer)).expect("the vectors") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if !name.starts_with("request-") || !name.ends_with(".scgi") {
                continue;
            }
            let bytes = fs::read(&path).expect("a request");
            let status = server.status(&bytes, false);
            let expected = if name.contains("odd_fields") { 400 } else { 200 };
            assert_eq!(status, Some(expected), "{path:?}");
            malformed += usize::from(expected == 400);
        }
    }
    assert_eq!(malformed, 3);
}

fn malformed(server: &mut Server) {
    let long = [b"X\0".to_vec(), vec![b'x'; 300_000], b"\0".to_vec()].concat();
    let many: Vec<u8> = (0..1001).flat_map(|n| format!("N{n}\0v\0").into_bytes()).collect();
    let name = [vec![b'N'; 5000], b"\0v\0".to_vec()].concat();
    for (bytes, status) in [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 400),
        (b"\x01\x01\x00\x01\x00\x08\x00\x00".to_vec(), 400),
        (b"abc:def".to_vec(), 400),
        (b"-5:,".to_vec(), 400),
        (b"00:,".to_vec(), 400),
        (b"007:SCGI\x001\0,".to_vec(), 400),
        (b"99999999999999999999:".to_vec(), 431),
        (b"300000:".to_vec(), 431),
        (netstring(&long, b""), 431),
        (netstring(&many, b""), 431),
        (netstring(&name, b""), 431),
        (b"4:A\0b\0;".to_vec(), 400),
        (b"3:A\0b,".to_vec(), 400),
        (netstring(b"A\0b\0C\0", b""), 400),
        (netstring(b"\0b\0", b""), 400),
        (netstring(b"CONTENT_LENGTH\0x\0", b""), 400),
        (netstring(b"CONTENT_LENGTH\0-1\0", b""), 400),
        (netstring(b"CONTENT_LENGTH\x0099999999999999999999\0", b""), 400),
        (netstring(b"CONTENT_LENGTH\x001\0CONTENT_LENGTH\x002\0", b"x"), 400),
        (netstring(b"SCGI\x002\0", b""), 400),
        (netstring(b"SCGI\x001\0SCGI\x001\0", b""), 400),
    ] {
        let found = server.status(&bytes, false);
        assert_eq!(found, Some(status), "{}", bytes[..bytes.len().min(60)].escape_ascii());
    }
    let reply = server.send(b"\x16\x03\x01\x02\x00", false);
    assert_eq!(reply, "\x15\x03\x01\0\x02\x02\x28", "a TLS alert");
}

fn cut(server: &mut Server) {
    let whole = request("/cut", b"hello");
    for at in 1..whole.len() {
        assert_eq!(server.status(&whole[..at], true), Some(400), "cut at {at}");
    }
    // Closed without a byte: no request, no reply.
    assert_eq!(server.send(b"", true), "");
    assert_eq!(server.status(b"0:,", false), Some(200));
    assert_eq!(server.status(b"0:,\r\n", false), Some(200));
}

fn bodies(server: &mut Server) {
    for len in [0, 1, 65_535, 65_536, 3_000_000] {
        let body: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
        for half_close in [false, true] {
            let reply = server.send(&request("/body", &body), half_close);
            assert!(reply.ends_with(&summary(&body)), "{len}: {reply}");
        }
    }
    // Sent as pieces, however small.
    server.cases += 1;
    let mut peer = server.connect();
    for piece in request("/pieces", b"in pieces").chunks(3) {
        peer.read_write().1.write_all(piece).expect("sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut reply = String::new();
    peer.read_write().0.read_to_string(&mut reply).expect("a reply");
    assert!(reply.ends_with(&summary(b"in pieces")), "{reply}");
}

fn early_reply(server: &mut Server) {
    let reply = server.send(&request("/refuse", &vec![b'x'; 8 << 20]), false);
    assert!(reply.starts_with("Status: 413 ") && reply.ends_with("too large"), "{reply}");
}

fn streamed_reply(server: &mut Server) {
    let reply = server.send(&request("/stream", b""), false);
    let pieces: String = (0..support::app::PIECES).map(|n| format!("data: {n}\n\n")).collect();
    assert!(reply.ends_with(&pieces), "{reply}");
}

/// What a handler does wrong before its reply has begun is a 500, and nothing of it is sent.
fn early_failures(server: &mut Server) {
    for uri in ["/panic", "/error", "/line-break", "/wrong-length"] {
        for body in [&b""[..], b"unread"] {
            let reply = server.send(&request(uri, body), false);
            assert!(reply.starts_with("Status: 500 Internal Server Error\r\n"), "{uri}: {reply}");
            for part in ["Set-Cookie", "four", "as the test wants it"] {
                assert!(!reply.contains(part), "{uri}: {reply}");
            }
        }
        server.still_answers();
    }
}

/// What goes wrong later breaks the connection: the front server sees that the reply is not whole.
fn late_failures(server: &mut Server) {
    for (uri, stated) in
        [("/short", Some(10)), ("/long", Some(10)), ("/late-error", None), ("/late-panic", None)]
    {
        server.cases += 1;
        let mut peer = server.connect();
        let mut reply = Vec::new();
        let (reader, mut writer) = peer.read_write();
        writer.write_all(&request(uri, b"")).expect("sent");
        let end = reader.read_to_end(&mut reply).map_err(|error| error.kind());
        let reply = String::from_utf8_lossy(&reply);
        assert!(reply.starts_with("Status: 200 OK\r\n"), "{uri}: {reply}");
        // A Unix socket cannot be reset: there the stated length tells.
        let expected = if server.unix { Ok(reply.len()) } else { Err(ErrorKind::ConnectionReset) };
        assert_eq!(end, expected, "{uri}: {reply}");
        let body = reply.split_once("\r\n\r\n").expect("a whole head").1;
        assert_eq!(body, "abc", "{uri}");
        assert_eq!(reply.contains("Content-Length: 10\r\n"), stated.is_some(), "{uri}: {reply}");
        server.still_answers();
    }
}

fn peers_that_go_away(server: &mut Server) {
    // Gone in the middle of the response.
    server.cases += 1;
    let mut peer = server.connect();
    peer.read_write().1.write_all(&request("/stream", b"")).expect("sent");
    peer.read_write().0.read_exact(&mut [0; 10]).expect("the start of a reply");
    drop(peer);
    server.still_answers();
    // Gone without a byte, many times.
    for _ in 0..100 {
        server.cases += 1;
        drop(server.connect());
    }
    server.still_answers();
}

/// Runs everything, and returns the number of cases.
fn conforms(app: fn() -> App) -> usize {
    let mut total = 0;
    for unix in [false, true] {
        let mut server = Server { app: app(), unix, cases: 0 };
        captures(&mut server);
        requests_of_peers(&mut server);
        malformed(&mut server);
        cut(&mut server);
        bodies(&mut server);
        early_reply(&mut server);
        streamed_reply(&mut server);
        early_failures(&mut server);
        late_failures(&mut server);
        peers_that_go_away(&mut server);
        total += server.cases;
    }
    total
}

#[test]
fn every_runtime() {
    let counts = [
        ("tokio", conforms(support::tokio::app)),
        ("async-std", conforms(support::async_std::app)),
        ("smol", conforms(support::smol::app)),
        ("threads", conforms(support::blocking::app)),
        ("a third runtime", conforms(third::app::app)),
    ];
    for (runtime, cases) in counts {
        println!("{runtime}: {cases} cases");
    }
    assert!(counts.iter().all(|(_, cases)| *cases == counts[0].1), "{counts:?}");
    assert!(counts[0].1 > 500, "{counts:?}");
}

/// A peer that sends nothing is closed in time.
fn silent_peers(server: &mut Server) {
    let begun = Instant::now();
    let mut peer = server.connect();
    let mut reply = String::new();
    peer.read_write().0.read_to_string(&mut reply).expect("the end");
    assert!(begun.elapsed() >= HEAD_TIMEOUT, "{:?}", begun.elapsed());
    assert!(begun.elapsed() < HEAD_TIMEOUT + Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// A body that stops is answered in time.
fn stopped_bodies(server: &mut Server) {
    let begun = Instant::now();
    let mut peer = server.connect();
    let whole = request("/echo", b"hello");
    peer.read_write().1.write_all(&whole[..whole.len() - 3]).expect("sent");
    let mut response = String::new();
    peer.read_write().0.read_to_string(&mut response).expect("the end");
    assert!(response.starts_with("Status: 408 "), "{response}");
    assert!(begun.elapsed() >= BODY_TIMEOUT, "{:?}", begun.elapsed());
    assert!(begun.elapsed() < BODY_TIMEOUT + Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// What `serve` promises also holds for programs with an accept loop of their own.
#[test]
fn promises_hold_on_every_path() {
    std::thread::scope(|scope| {
        for (runtime, app) in [
            ("tokio", support::tokio::app_by as fn(Way) -> App),
            ("async-std", support::async_std::app_by),
            ("smol", support::smol::app_by),
            ("threads", support::blocking::app_by),
        ] {
            for way in [Way::ServeConnection, Way::Connection] {
                println!("{runtime}, {way:?}");
                let app = app(way);
                for unix in [false, true] {
                    let mut server = Server { app: app.clone(), unix, cases: 0 };
                    scope.spawn(move || {
                        malformed(&mut server);
                        if let Way::ServeConnection = way {
                            cut(&mut server);
                            early_reply(&mut server);
                            early_failures(&mut server);
                        }
                        late_failures(&mut server);
                        silent_peers(&mut server);
                        stopped_bodies(&mut server);
                    });
                }
            }
        }
    });
}

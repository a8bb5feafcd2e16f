//! The harness itself: every front server and every foreign SCGI server starts, answers and goes away again.
//!
//! Nothing of the library under test is used here, so that a failure elsewhere is not blamed on the harness.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;

use scgi_tests::backend_peer::{Peer, PeerAddress};
use scgi_tests::front::Front;
use scgi_tests::http::{Browser, Piece};
use scgi_tests::process::{required, scratch_dir};
use tempfile::TempDir;
use ureq::http::Request;

/// The smallest SCGI server there is: on TCP and on a Unix socket, always the same answer.
struct Responder {
    addr: SocketAddr,
    socket: PathBuf,
    _dir: TempDir,
}

impl Responder {
    fn start() -> io::Result<Self> {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let addr = tcp.local_addr()?;
        let dir = scratch_dir()?;
        let socket = dir.path().join("responder.sock");
        let unix = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, Permissions::from_mode(0o777))?;
        // The threads end with the test program; none of them holds anything that must be given back.
        thread::spawn(move || tcp.incoming().flatten().for_each(answer));
        thread::spawn(move || unix.incoming().flatten().for_each(answer));
        Ok(Self { addr, socket, _dir: dir })
    }

    fn behind(&self, start: fn(SocketAddr, &Path) -> io::Result<Front>) -> Front {
        start(self.addr, &self.socket).expect("the front server starts")
    }
}

/// Answers one connection; one that sends no request, or goes away, gets nothing.
fn answer(mut stream: impl Read + Write) {
    if read_netstring(&mut stream).is_ok() {
        let _ = stream.write_all(b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello");
    }
}

fn read_netstring(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = 0;
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        match byte[0] {
            digit @ b'0'..=b'9' => len = len * 10 + usize::from(digit - b'0'),
            _ => break,
        }
    }
    let mut block = vec![0; len + 1];
    stream.read_exact(&mut block)?;
    Ok(block)
}

fn check_front(program: &str, start: fn(SocketAddr, &Path) -> io::Result<Front>) {
    if !required(program) {
        return;
    }
    let responder = Responder::start().expect("the responder starts");
    let front = responder.behind(start);
    let browser = Browser::new();
    for path in ["/", "/some/page?x=1", "/unix/", "/unix/page", "/nobuf/"] {
        let reply = browser.get(&format!("{}{path}", front.url())).expect("an answer");
        assert_eq!((reply.status, reply.text().as_str()), (200, "hello"), "{program}{path}");
        assert_eq!(reply.header("content-type"), Some("text/plain"), "{program}{path}");
    }
    assert_many_headers_pass(&browser, &front);
    assert_goes_away(front);
}

/// 32 KiB of header lines: more than the front servers take by default, and than a small client buffer holds.
fn assert_many_headers_pass(browser: &Browser, front: &Front) {
    let mut request = Request::get(front.url());
    for n in 0..64 {
        request = request.header(format!("X-Test-{n}"), "v".repeat(512));
    }
    let reply = browser.send(request.body(()).expect("a request")).expect("an answer");
    assert_eq!(reply.status, 200);
}

fn assert_goes_away(front: Front) {
    let port = front.port();
    drop(front);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "no server listens any more");
}

#[test]
fn nginx_answers_and_goes_away() {
    check_front("nginx", Front::nginx);
}

#[test]
fn apache_answers_and_goes_away() {
    check_front("apache2", Front::apache);
}

#[test]
fn lighttpd_answers_and_goes_away() {
    check_front("lighttpd", Front::lighttpd);
}

#[test]
fn a_failed_backend_gets_into_the_log() {
    if !required("nginx") {
        return;
    }
    let nowhere = scratch_dir().expect("a folder").path().join("nobody.sock");
    let front = Front::nginx(([127, 0, 0, 1], 1).into(), &nowhere).expect("nginx starts");
    let reply = Browser::new().get(&format!("{}/unix/", front.url())).expect("an answer");
    assert_eq!(reply.status, 502);
    assert!(front.log().contains("nobody.sock"), "the log: {}", front.log());
}

#[test]
fn a_socket_path_that_needs_quoting_is_refused() {
    let error =
        Front::nginx(([127, 0, 0, 1], 1).into(), Path::new("/a b;c")).expect_err("no start");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

/// An uploaded body reaches nginx in each of the browser's ways, and a streamed one comes back in pieces.
#[test]
fn the_browser_uploads_and_streams() {
    if !required("nginx") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("its address");
    thread::spawn(move || listener.incoming().flatten().for_each(echo_slowly));
    let front = Front::nginx(addr, Path::new("/nobody.sock")).expect("nginx starts");
    let browser = Browser::new();

    let body = vec![b'x'; 3_000_000];
    let length = browser.post(&front.url(), &body).expect("an answer").text();
    assert_eq!(length, "CONTENT_LENGTH=3000000 .. end");
    let length = browser.post_chunked(&front.url(), body.as_slice()).expect("an answer").text();
    assert_eq!(length, "CONTENT_LENGTH=3000000 .. end");

    let request = Request::get(format!("{}/nobuf/", front.url())).body(()).expect("a request");
    let stream = browser.open(request).expect("a head");
    assert_eq!(stream.status, 200);
    let pieces: Vec<_> = stream.map(|piece| piece.expect("a piece")).collect();
    let text =
        |pieces: &[Piece]| String::from_utf8(pieces.iter().flat_map(|p| p.bytes.clone()).collect());
    let pause = pieces[0].after + Duration::from_millis(250);
    let (early, late) = pieces.split_at(pieces.partition_point(|piece| piece.after < pause));
    assert_eq!(text(early).as_deref(), Ok("CONTENT_LENGTH=0 .."), "{pieces:?}");
    assert_eq!(text(late).as_deref(), Ok(" end"), "{pieces:?}");
}

/// Tells the announced length at once and ` end` a little later, after the whole request has come.
fn echo_slowly(mut stream: TcpStream) {
    let Ok(block) = read_netstring(&mut stream) else { return };
    let value = block
        .split(|&b| b == 0)
        .nth(1)
        .map(String::from_utf8_lossy)
        .unwrap_or_default()
        .into_owned();
    let len = value.parse().unwrap_or(0);
    let _ = io::copy(&mut (&stream).take(len), &mut io::sink());
    let _ = write!(stream, "Status: 200 OK\r\n\r\nCONTENT_LENGTH={value} ..");
    thread::sleep(Duration::from_millis(500));
    let _ = stream.write_all(b" end");
}

fn check_peer(program: &str, start: fn() -> io::Result<Peer>, request: &[u8], expected: &str) {
    if !required(program) {
        return;
    }
    let peer = start().expect("the server starts");
    let response = peer.exchange(request).expect("a response");
    let text = String::from_utf8_lossy(&response);
    assert!(text.contains(expected), "{program} answered {text:?}, and printed {}", peer.log());
    let address = peer.address().clone();
    drop(peer);
    match address {
        PeerAddress::Tcp(addr) => {
            assert!(TcpStream::connect(addr).is_err());
        }
        PeerAddress::Unix(path) => assert!(!path.exists()),
    }
}

#[test]
fn rtorrent_answers_on_tcp() {
    check_peer("rtorrent", Peer::rtorrent_tcp, RTORRENT, "<methodResponse>");
}

#[test]
fn rtorrent_answers_on_a_unix_socket() {
    check_peer("rtorrent", Peer::rtorrent_unix, RTORRENT, "<methodResponse>");
}

#[test]
fn uwsgi_answers_on_tcp() {
    check_peer("uwsgi-core", Peer::uwsgi_tcp, UWSGI, "GET /x len=0\n");
}

#[test]
fn uwsgi_answers_on_a_unix_socket() {
    check_peer("uwsgi-core", Peer::uwsgi_unix, UWSGI, "GET /x len=0\n");
}

#[test]
fn perl_answers() {
    check_peer("perl SCGI", Peer::perl_tcp, PERL, "hello /x 0\n");
}

#[test]
fn python_scgi_answers() {
    check_peer("python scgi", Peer::python_scgi_tcp, PYTHON_SCGI, "REQUEST_URI: '/x'");
}

#[test]
fn flup_answers() {
    check_peer("python flup", Peer::flup_tcp, FLUP, "GET /x len=0\n");
}

const RTORRENT: &[u8] = include_bytes!("../vectors/peers/rtorrent-request-ok.scgi");
const UWSGI: &[u8] = include_bytes!("../vectors/peers/uwsgi-request-ok.scgi");
const PERL: &[u8] = include_bytes!("../vectors/peers/perl-scgi-request-ok.scgi");
const PYTHON_SCGI: &[u8] = include_bytes!("../vectors/peers/python-scgi-request-ok.scgi");
const FLUP: &[u8] = include_bytes!("../vectors/peers/flup-request-ok.scgi");

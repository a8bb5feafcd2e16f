//! The same axum Router behind nginx, Apache and lighttpd, once over SCGI and once over HTTP with
//! `axum::serve` (`proxy_pass` and its like): status, headers and bodies are equal.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request as AxumRequest};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use futures_util::stream;
use scgi_tests::front::Front;
use scgi_tests::http::{Browser, Reply};
use scgi_tests::process::{required, scratch_dir};
use scgi_tokio::{Address, Listener, serve};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use ureq::http::Request;

/// Streams that still run.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

struct Running(Arc<()>);

impl Running {
    fn new() -> Self {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self(Arc::default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        assert_eq!(Arc::strong_count(&self.0), 1);
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Shows what the app was asked, in a form that does not depend on the front server.
async fn show(request: AxumRequest) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    let header = |name: &str| {
        let values: Vec<_> =
            parts.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        String::from_utf8_lossy(&values.join(&b"|"[..])).into_owned()
    };
    let (path, query) = (parts.uri.path(), parts.uri.query());
    let named: Vec<_> = ["cookie", "content-type", "x-test", "x-empty", "range", "authorization"]
        .map(|name| format!("{name}={}", header(name)))
        .into();
    let count = parts.headers.keys().filter(|name| name.as_str().starts_with("x-many-")).count();
    let hash = Sha256::digest(&body);
    let text =
        format!("{} {path} {query:?} {named:?} {count} {} {hash:x}", parts.method, body.len());
    ([("x-app", "yes")], text).into_response()
}

fn app() -> Router {
    let cookies = || async { ([(header::SET_COOKIE, "a=1")], "one") };
    let two = || async {
        let mut response = "two".into_response();
        response.headers_mut().append(header::SET_COOKIE, "a=1".parse().expect("a value"));
        response.headers_mut().append(header::SET_COOKIE, "b=2".parse().expect("a value"));
        response
    };
    let tagged = async |headers: HeaderMap| {
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"v1\"");
        let status = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let body = if known { "" } else { "version 1" };
        (status, [(header::ETAG, "\"v1\"")], body)
    };
    let few = || async {
        let events =
            ["one", "two", "three"].map(|text| Ok::<_, Infallible>(Event::default().data(text)));
        Sse::new(stream::iter(events))
    };
    let big = || async { Bytes::from(vec![b'z'; 16 << 20]) };
    let events = || async {
        let running = Running::new();
        Sse::new(stream::unfold((0, running), async |(count, running)| {
            if count > 0 {
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            let event = Event::default().data(count.to_string());
            Some((Ok::<_, Infallible>(event), (count + 1, running)))
        }))
    };
    Router::new()
        .route("/cookie", get(cookies))
        .route("/cookies", get(two))
        .route("/nothing", any(|| async { StatusCode::NO_CONTENT }))
        .route("/tagged", get(tagged))
        .route("/there", get(|| async { Redirect::to("https://example.org/") }))
        .route("/near", get(|| async { Redirect::permanent("/show/near") }))
        .route("/big", get(big))
        .route("/few-events", get(few))
        .route("/hints", get(|| async { StatusCode::EARLY_HINTS }))
        .route("/panic", get(|| async { panic!("as it should") as StatusCode }))
        .route("/error", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/teapot", get(|| async { (StatusCode::IM_A_TEAPOT, "short and stout") }))
        .route("/large", any(|| async { (StatusCode::PAYLOAD_TOO_LARGE, "too large") }))
        .route("/empty", get(|| async { ([("x-empty", "")], "") }))
        .route(
            "/stream",
            get(|| async {
                Body::from_stream(stream::iter(["a", "b", "c"].map(Ok::<_, Infallible>)))
            }),
        )
        .route("/nobuf/events", get(events))
        .route("/get", get(|| async { "only GET" }))
        .route("/show/{*rest}", any(show))
        .layer(DefaultBodyLimit::disable())
}

/// The Router over HTTP, over SCGI on TCP, and over SCGI on a Unix socket.
struct Servers {
    http: SocketAddr,
    tcp: SocketAddr,
    unix: PathBuf,
    _folder: TempDir,
}

fn start() -> Servers {
    let folder = scratch_dir().expect("a folder");
    let unix = folder.path().join("app.sock");
    let (sender, receiver) = std::sync::mpsc::channel();
    let path = unix.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let bind = || tokio::net::TcpListener::bind("127.0.0.1:0");
            let (http, tcp) = (bind().await.expect("bound"), bind().await.expect("bound"));
            let unix = Listener::bind(&Address::Unix(path)).await.expect("bound");
            let addresses = (http.local_addr(), tcp.local_addr());
            tokio::spawn(axum::serve(http, app()).into_future());
            tokio::spawn(serve(unix, app()).into_future());
            sender
                .send((addresses.0.expect("bound"), addresses.1.expect("bound")))
                .expect("a test");
            let _ = serve(tcp, app()).await;
        });
    });
    let (http, tcp) = receiver.recv().expect("the servers start");
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&unix, rights).expect("rights of the socket");
    Servers { http, tcp, unix, _folder: folder }
}

type Row = (&'static str, String, Vec<(String, String)>, Vec<u8>);

fn rows() -> Vec<Row> {
    let row = |method, path: &str| (method, path.to_owned(), Vec::new(), Vec::new());
    let with = |method, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        (method, path.to_owned(), headers, body.to_vec())
    };
    let mut rows = vec![
        row("GET", "/show/a"),
        row("GET", "/show/a?b=c"),
        row("GET", "/show/a?b=c&d=%20e+f"),
        row("GET", "/show/a?"),
        row("GET", "/show/a%20b"),
        row("GET", "/show/%C3%A9"),
        row("GET", "/show/%E9"),
        row("GET", "/show/a;b=c/d,e"),
        row("GET", "/show/~tilde/@at/(paren)"),
        row("GET", "/show/a?q=%E9"),
        row("GET", "/show/a?q=a/b?c"),
        row("HEAD", "/show/a"),
        row("HEAD", "/get"),
        row("DELETE", "/show/a"),
        row("OPTIONS", "/show/a"),
        row("POST", "/get"),
        row("GET", "/missing"),
        row("POST", "/missing"),
        row("GET", "/nothing"),
        row("DELETE", "/nothing"),
        row("GET", "/tagged"),
        with("GET", "/tagged?known", &[("if-none-match", "\"v1\"")], b""),
        row("GET", "/few-events"),
        with("GET", "/show/a", &[("cookie", "a=1"), ("cookie", "b=2")], b""),
        with("GET", "/show/a", &[("authorization", "Basic YTpi")], b""),
        with("POST", "/show/chunked", &[("transfer-encoding", "chunked")], b"in chunks"),
        row("GET", "/there"),
        row("GET", "/near"),
        row("GET", "/error"),
        row("GET", "/teapot"),
        row("GET", "/cookie"),
        row("GET", "/cookies"),
        row("GET", "/empty"),
        row("GET", "/stream"),
        row("GET", "/big"),
        with("POST", "/show/a", &[("content-type", "text/plain")], b"hello"),
        with("PUT", "/show/a", &[("content-type", "application/json")], b"{}"),
        with("PATCH", "/show/a", &[], b"patch"),
        with("POST", "/show/a", &[("content-type", "multipart/form-data; boundary=x")], b"--x--"),
        with("GET", "/show/a", &[("cookie", "a=1; b=2")], b""),
        with("GET", "/show/a", &[("x-test", "v\u{e9}")], b""),
        with("GET", "/show/a", &[("x-test", "one two  three")], b""),
        with("GET", "/show/range", &[("range", "bytes=0-1")], b""),
        with("POST", "/large", &[], b"not so large"),
        with("POST", "/show/up", &[], &vec![b'y'; 16 << 20]),
    ];
    let many: Vec<_> = (0..60).map(|n| (format!("x-many-{n}"), n.to_string())).collect();
    rows.push(("GET", "/show/many".into(), many, Vec::new()));
    rows
}

fn ask(browser: &Browser, base: &str, row: &Row) -> Reply {
    let (method, path, headers, body) = row;
    let mut request = Request::builder().method(*method).uri(format!("{base}{path}"));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let has_body = matches!(*method, "POST" | "PUT" | "PATCH");
    let reply = if has_body {
        browser.send(request.body(&body[..]).expect("a request"))
    } else {
        browser.send(request.body(()).expect("a request"))
    };
    reply.unwrap_or_else(|error| panic!("{method} {path} at {base}: {error}"))
}

/// Status, headers in their order, and the body or its hash.
pub(super) type Compared = (u16, Vec<(String, Vec<u8>)>, String);

/// Status, headers and body, without the headers that need not be equal. The date is the moment's.
pub(super) fn compared(
    reply: &Reply,
    not_compared: &[&str],
) -> (u16, Vec<(String, Vec<u8>)>, String) {
    let headers = reply
        .headers
        .iter()
        .filter(|(name, _)| *name != "date" && !not_compared.contains(&name.as_str()));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    headers.sort();
    let body = match reply.body.len() {
        0..=2000 => reply.text(),
        len => format!("{len} {:x}", Sha256::digest(&reply.body)),
    };
    (reply.status, headers, body)
}

/// Where a front server itself treats SCGI and HTTP differently.
struct Own {
    headers: &'static [&'static str],
    rows: &'static [(&'static str, &'static str)],
}

/// One front server, over SCGI and over HTTP.
fn check(
    program: &str,
    start_scgi: fn(&Servers) -> Front,
    start_http: fn(SocketAddr) -> std::io::Result<Front>,
    own: &Own,
) {
    if !required(program) {
        return;
    }
    let servers = start();
    let over_scgi = start_scgi(&servers);
    let over_http = start_http(servers.http).expect("the front server starts");
    let browser = Browser::new();
    let mut count = 0;
    for row in rows() {
        if own.rows.contains(&(row.0, row.1.as_str())) {
            continue;
        }
        let expected = compared(&ask(&browser, &over_http.url(), &row), own.headers);
        let reply = compared(&ask(&browser, &over_scgi.url(), &row), own.headers);
        assert_eq!(reply, expected, "{program}: {} {}", row.0, row.1);
        count += 1;
    }
    println!("{program}: {count} rows are equal");
    assert!(count >= 40, "{count} rows");
    // An early reply with most of the body unread: over HTTP it may be lost to a reset (502).
    let row = ("POST", "/large".to_owned(), Vec::new(), vec![b'x'; 1_000_000]);
    assert_eq!(ask(&browser, &over_scgi.url(), &row).status, 413, "{program}");
    // A panic of the app is a 500; over HTTP it is whatever the front server makes of a
    // connection that ends: 502, or for Apache the end of the browser's connection too.
    let row = ("GET", "/panic".to_owned(), Vec::new(), Vec::new());
    assert_eq!(ask(&browser, &over_scgi.url(), &row).status, 500, "{program}");
    // An informational status is not a response; only the text of the 500 differs.
    let row = ("GET", "/hints".to_owned(), Vec::new(), Vec::new());
    assert_eq!(ask(&browser, &over_scgi.url(), &row).status, 500, "{program}");
    assert_eq!(ask(&browser, &over_http.url(), &row).status, 500, "{program}");
}

const NONE: Own = Own { headers: &[], rows: &[] };

#[test]
fn nginx() {
    check(
        "nginx",
        |s| Front::nginx(s.tcp, &s.unix).expect("nginx starts"),
        Front::nginx_http,
        &NONE,
    );
}

#[test]
fn apache() {
    let own = Own {
        // It does not pass on the length of an SCGI response, and sends it in chunks.
        headers: &["content-length", "transfer-encoding"],
        rows: &[
            // It refuses an upload without a length (411), and over HTTP only, cuts ranges by
            // itself and passes on the type of a 304.
            ("POST", "/show/chunked"),
            ("GET", "/show/range"),
            ("GET", "/tagged?known"),
        ],
    };
    check(
        "apache2",
        |s| Front::apache(s.tcp, &s.unix).expect("Apache starts"),
        Front::apache_http,
        &own,
    );
}

#[test]
fn lighttpd() {
    check(
        "lighttpd",
        |s| Front::lighttpd(s.tcp, &s.unix).expect("lighttpd starts"),
        Front::lighttpd_http,
        &NONE,
    );
}

#[test]
fn events_come_one_by_one_and_end_with_the_reader() {
    if !required("nginx") {
        return;
    }
    let servers = start();
    let front = Front::nginx(servers.tcp, &servers.unix).expect("nginx starts");
    let request = Request::get(format!("{}/nobuf/events", front.url())).body(());
    let stream = Browser::new().open(request.expect("a request")).expect("a reply");
    let pieces: Vec<_> = stream.take(4).map(|piece| piece.expect("a piece")).collect();
    for pair in pieces.windows(2) {
        let pause = pair[1].after - pair[0].after;
        assert!(pause > Duration::from_millis(75), "{pause:?}");
    }
    let gone = Instant::now();
    while RUNNING.load(Ordering::SeqCst) > 0 {
        assert!(gone.elapsed() < Duration::from_secs(5), "the stream runs on");
        thread::sleep(Duration::from_millis(10));
    }
    println!("the stream ended {:?} after its reader", gone.elapsed());
}

//! Everything that `axum::serve` takes: each form runs over `axum::serve` and over ours, with the
//! same expression, and answers the same.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::handler::{Handler as _, HandlerWithoutStateExt as _};
use axum::http::Uri;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use axum::{Router, ServiceExt as _};
use scgi_tokio::{Address, Client, IncomingRequest, RequestHead};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::util::{BoxCloneService, MapRequestLayer};
use tower::{Layer as _, ServiceExt as _};
use tower_http::normalize_path::NormalizePathLayer;

/// Status and body.
type Answer = (u16, String);

/// The answer over HTTP/1.1.
async fn ask_http(address: SocketAddr, uri: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("a server");
    let request = format!("GET {uri} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("room");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("a response");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, body.to_owned())
}

/// The answer over SCGI to a request of the same browser.
async fn ask_scgi(address: &Address, uri: &str) -> Answer {
    let head = RequestHead::builder("GET", uri)
        .param("HTTP_HOST", "localhost")
        .param("REMOTE_ADDR", "127.0.0.1")
        .param("REMOTE_PORT", "50000")
        .build();
    let client = Client::connect(address).await.expect("a server");
    let response = client.request(scgi_tokio::Request::new(head, "")).await.expect("a response");
    let status = response.status().code();
    let body = response.into_body().collect(1 << 20).await.expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

/// Serves an expression over both, and compares the answers with each other and with what is
/// expected.
macro_rules! over_both {
    ($app:expr, $(($uri:literal, $status:literal, $body:literal)),+) => {{
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let http = listener.local_addr().expect("an address");
        tokio::spawn(axum::serve(listener, $app).into_future());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = scgi_tokio::serve(listener, $app);
        let scgi = server.local_addr().expect("an address");
        tokio::spawn(server.into_future());
        for (uri, status, body) in [$(($uri, $status, $body)),+] {
            let expected = (status, body.to_owned());
            assert_eq!(ask_http(http, uri).await, expected, "HTTP {uri}");
            assert_eq!(ask_scgi(&scgi, uri).await, expected, "SCGI {uri}");
        }
    }};
}

async fn path(uri: Uri) -> String {
    uri.path().to_owned()
}

fn app() -> Router {
    Router::new().route("/a", get(path)).route("/b/{id}", get(path))
}

#[tokio::test]
async fn routers() {
    over_both!(app(), ("/a", 200, "/a"), ("/b/7", 200, "/b/7"), ("/c", 404, ""));
    over_both!(app().into_make_service(), ("/a", 200, "/a"), ("/c", 404, ""));
    over_both!(Router::new().nest("/n", app()), ("/n/a", 200, "/a"), ("/a", 404, ""));
}

#[tokio::test]
async fn method_routers_and_handlers() {
    async fn state(State(number): State<u32>) -> String {
        number.to_string()
    }
    over_both!(get(path), ("/a", 200, "/a"));
    over_both!(get(path).into_make_service(), ("/a", 200, "/a"));
    over_both!(path.into_make_service(), ("/a", 200, "/a"));
    over_both!(path.into_service(), ("/a", 200, "/a"));
    over_both!(state.with_state(7), ("/a", 200, "7"));
    over_both!(get(state).with_state(7), ("/a", 200, "7"));
    over_both!(Router::new().route("/", get(state)).with_state(7), ("/", 200, "7"));
}

/// What a program wants to know of a connection, or over SCGI of a request.
#[derive(Clone)]
struct Caller {
    is_local: bool,
}

impl Connected<IncomingStream<'_, TcpListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { is_local: stream.remote_addr().ip().is_loopback() }
    }
}

impl Connected<IncomingRequest> for Caller {
    fn connect_info(request: IncomingRequest) -> Self {
        let client = request.client();
        Self { is_local: client.is_some_and(|client| client.ip().is_loopback()) }
    }
}

#[tokio::test]
async fn connect_infos() {
    async fn address(ConnectInfo(address): ConnectInfo<SocketAddr>) -> String {
        format!("{} {}", address.ip(), address.port() > 0)
    }
    async fn caller(ConnectInfo(caller): ConnectInfo<Caller>) -> String {
        caller.is_local.to_string()
    }
    let app = || Router::new().route("/", get(address));
    over_both!(
        app().into_make_service_with_connect_info::<SocketAddr>(),
        ("/", 200, "127.0.0.1 true")
    );
    over_both!(
        get(address).into_make_service_with_connect_info::<SocketAddr>(),
        ("/", 200, "127.0.0.1 true")
    );
    over_both!(
        address.into_make_service_with_connect_info::<SocketAddr>(),
        ("/", 200, "127.0.0.1 true")
    );
    let app = || Router::new().route("/", get(caller));
    over_both!(app().into_make_service_with_connect_info::<Caller>(), ("/", 200, "true"));
}

async fn around(request: Request, next: Next) -> Response {
    if request.uri().path() == "/forbidden" {
        return (axum::http::StatusCode::FORBIDDEN, "no").into_response();
    }
    next.run(request).await
}

/// Before routing, so that `/old/a` is `/a`.
fn rewrite(mut request: Request) -> Request {
    if let Some(rest) = request.uri().path().strip_prefix("/old") {
        *request.uri_mut() = rest.parse().expect("a path");
    }
    request
}

#[tokio::test]
async fn layers_around_the_router() {
    let from_fn = || from_fn(around).layer(app());
    over_both!(from_fn().into_make_service(), ("/a", 200, "/a"), ("/forbidden", 403, "no"));
    let rewritten = || MapRequestLayer::new(rewrite).layer(app());
    over_both!(rewritten().into_make_service(), ("/old/a", 200, "/a"), ("/a", 200, "/a"));
    let normalized = || NormalizePathLayer::trim_trailing_slash().layer(app());
    over_both!(
        axum::ServiceExt::<Request>::into_make_service(normalized()),
        ("/a/", 200, "/a"),
        ("/a", 200, "/a")
    );
    let mounted = || scgi_tokio::Mounted::new("/m", app());
    over_both!(
        axum::ServiceExt::<Request>::into_make_service(mounted()),
        ("/m/a", 200, "/a"),
        ("/a", 404, "the path lies outside the mount point\n")
    );
    // A layer of the router itself, as documented.
    over_both!(app().layer(axum::middleware::from_fn(around)), ("/a", 200, "/a"));
}

/// Which `axum::serve` takes only as a make service.
#[tokio::test]
async fn services_themselves() {
    let serve = async |address: Address, uri: &str| ask_scgi(&address, uri).await;
    macro_rules! over_scgi {
        ($app:expr, $uri:literal, $body:literal) => {{
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let server = scgi_tokio::serve(listener, $app);
            let address = server.local_addr().expect("an address");
            tokio::spawn(server.into_future());
            assert_eq!(serve(address, $uri).await, (200, $body.to_owned()), "{}", $uri);
        }};
    }
    over_scgi!(from_fn(around).layer(app()), "/a", "/a");
    over_scgi!(MapRequestLayer::new(rewrite).layer(app()), "/old/a", "/a");
    over_scgi!(NormalizePathLayer::trim_trailing_slash().layer(app()), "/a/", "/a");
    over_scgi!(boxed(), "/a", "/a");
    over_scgi!(app().into_service::<axum::body::Body>(), "/a", "/a");
}

/// Neither `Sync` nor nameable.
fn boxed() -> BoxCloneService<Request, Response, Infallible> {
    MapRequestLayer::new(rewrite).layer(app()).boxed_clone()
}

#[tokio::test]
async fn services_that_are_not_sync() {
    over_both!(boxed().into_make_service(), ("/old/a", 200, "/a"), ("/c", 404, ""));
    over_both!(tower::make::Shared::new(boxed()), ("/old/a", 200, "/a"));
}

/// One listener for both servers.
struct Counted {
    listener: TcpListener,
    accepted: u16,
}

impl axum::serve::Listener for Counted {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        axum::serve::Listener::accept(&mut self.listener).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl scgi_tokio::Accept for Counted {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, scgi_tokio::Peer)> {
        self.accepted += 1;
        if self.accepted % 2 == 1 {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let (stream, peer) = self.listener.accept().await?;
        Ok((stream, scgi_tokio::Peer::Tcp(peer)))
    }

    fn local_address(&self) -> Option<Address> {
        self.listener.local_addr().ok().map(Address::from)
    }
}

/// As `over_both`, with what both servers count of their streams.
#[tokio::test]
async fn listeners_of_the_program() {
    use axum::serve::ListenerExt;
    use scgi_tokio::Accept;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let bind = async || Counted {
        listener: TcpListener::bind("127.0.0.1:0").await.expect("a port"),
        accepted: 0,
    };
    let tapped: Arc<AtomicUsize> = Arc::default();
    let tap = || {
        let tapped = Arc::clone(&tapped);
        move |stream: &mut TcpStream| {
            stream.set_nodelay(true).expect("a socket");
            tapped.fetch_add(1, Ordering::SeqCst);
        }
    };
    let listener = ListenerExt::tap_io(bind().await, tap());
    let server = axum::serve(listener, app());
    let http = server.local_addr().expect("an address");
    tokio::spawn(server.into_future());
    let server = scgi_tokio::serve(Accept::tap_io(bind().await, tap()), app());
    let scgi = server.local_addr().expect("an address");
    tokio::spawn(server.into_future());
    for _ in 0..3 {
        assert_eq!(ask_http(http, "/a").await, (200, "/a".to_owned()));
        assert_eq!(ask_scgi(&scgi, "/a").await, (200, "/a".to_owned()));
    }
    assert_eq!(tapped.load(Ordering::SeqCst), 6);
    // The peer of a listener of the program's own is what the listener says.
    let listener = bind().await;
    let address = listener.local_address().expect("an address");
    let who = async |scgi_tokio::extract::FrontServer(peer): _| format!("{peer}");
    tokio::spawn(scgi_tokio::serve(listener, get(who)).into_future());
    let (status, peer) = ask_scgi(&address, "/").await;
    assert!(status == 200 && peer.starts_with("127.0.0.1:"), "{status} {peer}");
}

#[tokio::test]
async fn our_listener_shows_its_streams_too() {
    let (sender, mut peers) = tokio::sync::mpsc::unbounded_channel();
    let listener = scgi_tokio::Listener::bind("127.0.0.1:0").await.expect("a port");
    let listener = listener.tap_io(move |stream| sender.send(stream.peer()).expect("a test"));
    let server = scgi_tokio::serve(listener, app());
    let address = server.local_addr().expect("an address");
    tokio::spawn(server.into_future());
    assert_eq!(ask_scgi(&address, "/a").await, (200, "/a".to_owned()));
    let peer = peers.recv().await.expect("a stream").expect("a peer");
    assert!(matches!(peer, scgi_tokio::Peer::Tcp(peer) if peer.ip().is_loopback()), "{peer}");
}

#[tokio::test]
async fn a_graceful_shutdown() {
    macro_rules! stops {
        ($serve:path, $ask:expr) => {{
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let server = $serve(listener, app());
            let address = server.local_addr().expect("an address");
            let server = tokio::spawn(
                server.with_graceful_shutdown(async move { _ = stopped.await }).into_future(),
            );
            assert_eq!($ask(&address, "/a").await, (200, "/a".to_owned()));
            stop.send(()).expect("the server runs");
            server.await.expect("no panic").expect("no error");
        }};
    }
    stops!(axum::serve, async |address: &SocketAddr, uri| ask_http(*address, uri).await);
    stops!(scgi_tokio::serve, ask_scgi);
}

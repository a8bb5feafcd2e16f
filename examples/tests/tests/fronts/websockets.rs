//! WebSockets of an axum app over SCGI, behind front servers: clients written by others, and the
//! page of the example `counter` in Chromium.

#![cfg(unix)]

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::chromium::Browser;
use crate::scgi_proxy::Proxy;
use crate::tool::EchoServer;
use crate::websocket_app::App;
use crate::websocket_client;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use futures_util::{SinkExt as _, StreamExt as _};
use scgi_tests::front::Front;
use scgi_tests::http::Browser as HttpBrowser;
use scgi_tests::process::required;
use scgi_tests::websocket;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use ureq::http::Request;

/// Open at the same time.
const CONNECTIONS: usize = 1000;

/// The URLs of a front server: TCP and Unix, and `http` or `ws`.
fn urls(front: &Front, scheme: &str) -> [String; 2] {
    let base = front.url().replace("http://", &format!("{scheme}://"));
    [format!("{base}/"), format!("{base}/unix/")]
}

#[tokio::test(flavor = "multi_thread")]
async fn python_through_nginx() {
    if !["nginx", "python websockets"].into_iter().all(required) {
        return;
    }
    let app = App::start().await;
    let front = Front::nginx(app.tcp, app.unix()).expect("nginx starts");
    for url in urls(&front, "ws") {
        let before = app.upgraded();
        let client = spawn_blocking(move || websocket::python(&format!("{url}echo"), CONNECTIONS));
        println!("{}", client.await.expect("no panic").expect("all of it holds"));
        assert_eq!(app.upgraded() - before, CONNECTIONS as u64 + 2);
        app.wait_until_idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn node_through_nginx() {
    if !required("nginx") {
        return;
    }
    if !websocket::has_node() {
        // Not `eprintln!`, which the test runner swallows.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no Node with a WebSocket of its own is installed"
        );
        return;
    }
    let app = App::start().await;
    let front = Front::nginx(app.tcp, app.unix()).expect("nginx starts");
    for url in urls(&front, "ws") {
        let client = spawn_blocking(move || websocket::node(&format!("{url}echo")));
        println!("{}", client.await.expect("no panic").expect("all of it holds"));
        app.wait_until_idle().await;
    }
    assert_eq!(app.upgraded(), 4);
}

/// A lighttpd that can carry upgrades, before the app. Debian 12 has an older one.
fn new_lighttpd(app: &App) -> Front {
    let backend = |place: String| {
        format!(
            "(( {place}, \"check-local\" => \"disable\", \"fix-root-scriptname\" => \"enable\", \
             \"upgrade\" => \"enable\" ))"
        )
    };
    let tcp = backend(format!("\"host\" => \"{}\", \"port\" => {}", app.tcp.ip(), app.tcp.port()));
    let unix = backend(format!("\"socket\" => \"{}\"", app.unix().display()));
    let site = format!(
        "server.max-fds = 8192\nserver.max-connections = 2048\n\
         scgi.server = ( \"/unix/\" => {unix}, \"/\" => {tcp} )\n"
    );
    Front::new_lighttpd_site(&site).expect("lighttpd starts")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs lighttpd 1.4.74 or later, which `.ci/heavy lighttpd` gets"]
async fn python_through_lighttpd() {
    if !required("python websockets") {
        return;
    }
    let app = App::start().await;
    let front = new_lighttpd(&app);
    for url in urls(&front, "ws") {
        let before = app.upgraded();
        let client = spawn_blocking(move || websocket::python(&format!("{url}echo"), CONNECTIONS));
        println!("{}", client.await.expect("no panic").expect("all of it holds"));
        assert_eq!(app.upgraded() - before, CONNECTIONS as u64 + 2);
        app.wait_until_idle().await;
    }
}

/// lighttpd passes on what the client sends before the 101.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs lighttpd 1.4.74 or later, which `.ci/heavy lighttpd` gets"]
async fn early_bytes_and_attacks_through_lighttpd() {
    let app = App::start().await;
    let front = new_lighttpd(&app);
    // A text and a close, masked with zeros.
    let mut early = websocket_client::HTTP.as_bytes().to_vec();
    early.extend(b"\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0");
    let reply = talk_bytes(&front, &early).await;
    let text = String::from_utf8_lossy(&reply);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert!(reply.ends_with(b"\r\n\r\n\x81\x02hi\x88\x00"), "{text}");
    assert_eq!(app.upgraded(), 1);
    app.wait_until_idle().await;
    // A request behind an accepted upgrade is never answered.
    let reply = talk(&front, format!("{}{LAST}", websocket_client::HTTP)).await;
    assert!(reply.starts_with("HTTP/1.1 101 "), "{reply}");
    assert!(!reply.contains("hello") && reply.matches("HTTP/1.1 ").count() == 1, "{reply}");
    // Refused upgrades: the next request on the connection gets its own answer.
    let request = websocket_client::HTTP.replace("Sec-WebSocket-Key", "X-Key");
    let reply = talk(&front, format!("{request}{LAST}")).await;
    assert!(reply.starts_with("HTTP/1.1 400 ") && reply.ends_with("hello"), "{reply}");
    assert_eq!(app.upgraded(), 2);
    app.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counter_in_chromium() {
    if !["nginx", "chromium", "chromedriver"].into_iter().all(required) {
        return;
    }
    let app = App::start().await;
    let front = Front::nginx(app.tcp, app.unix()).expect("nginx starts");
    let browser = Browser::start().await;
    for url in urls(&front, "http") {
        count_in_two_tabs(&browser, &url).await;
    }
    assert_eq!(app.upgraded(), 4);
    browser.client.close().await.expect("the browser ends");
    app.wait_until_idle().await;
}

/// The gateway, which speaks HTTP itself, in front of the app.
#[tokio::test(flavor = "multi_thread")]
async fn the_counter_in_chromium_through_the_gateway() {
    if !["chromium", "chromedriver"].into_iter().all(required) {
        return;
    }
    let app = App::start().await;
    let browser = Browser::start().await;
    for (server, uri) in
        [(app.tcp.to_string(), "/"), (format!("unix:{}", app.unix().display()), "/unix/")]
    {
        let mut command = std::process::Command::new(scgi_tests::programs::scgi());
        command.args(["gateway", "127.0.0.1:0", &server]);
        // It says where it listens as `scgi echo` does.
        let gateway = EchoServer::start_command(command);
        let url = format!("http://{}{uri}", gateway.address.trim_start_matches("http://"));
        count_in_two_tabs(&browser, &url).await;
        assert_eq!(gateway.said(), "");
    }
    assert_eq!(app.upgraded(), 4);
    browser.client.close().await.expect("the browser ends");
    app.wait_until_idle().await;
}

/// `scgi proxy` between nginx and the app: it shows the handshakes and passes the tunnels on.
#[tokio::test(flavor = "multi_thread")]
async fn through_the_proxy() {
    if !["nginx", "chromium", "chromedriver", "python websockets"].into_iter().all(required) {
        return;
    }
    let app = App::start().await;
    let folder = scgi_tests::process::scratch_dir().expect("a folder");
    let path = folder.path().join("proxy.sock");
    let tcp = Proxy::tcp(app.tcp);
    let unix = Proxy::start(
        path.to_str().expect("a path"),
        &format!("unix:{}", app.unix().display()),
        &["--mode", "666"],
    );
    let front = Front::nginx(tcp.socket_address(), &path).expect("nginx starts");
    let browser = Browser::start().await;
    for url in urls(&front, "http") {
        count_in_two_tabs(&browser, &url).await;
    }
    browser.client.close().await.expect("the browser ends");
    for url in urls(&front, "ws") {
        // Text, binary, 10 MB, pings, closes from both sides, and many at the same time.
        let client = spawn_blocking(move || websocket::python(&format!("{url}echo"), 100));
        println!("{}", client.await.expect("no panic").expect("all of it holds"));
    }
    app.wait_until_idle().await;
    for proxy in [tcp, unix] {
        let (shown, tunnels) = wait_for_tunnels(&proxy, 104).await;
        assert_eq!(shown.matches(", with an upgrade to websocket\n").count(), 104, "{shown}");
        assert!(shown.contains("< 101 Switching Protocols after "), "{shown}");
        // The client sends 10 MB, and gets it back.
        let largest = tunnels.into_iter().max().expect("a tunnel");
        assert!(largest.0 > 10_000_000 && largest.1 > 10_000_000, "{largest:?}");
        // A tab that is closed silently looks like a time-out of nginx.
        let mut odd = shown.lines().filter(|line| line.contains("] ! "));
        assert!(odd.all(|line| line.contains("or the browser left; pings")), "{shown}");
    }
}

/// What a proxy has shown once so many tunnels have ended, and the bytes of each in both directions.
async fn wait_for_tunnels(proxy: &Proxy, count: usize) -> (String, Vec<(u64, u64)>) {
    let begun = Instant::now();
    loop {
        let shown = proxy.shown();
        let tunnels: Vec<_> = shown.lines().filter_map(tunnel).collect();
        if tunnels.len() == count {
            return (shown, tunnels);
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{} tunnels: {shown}", tunnels.len());
        sleep(Duration::from_millis(20)).await;
    }
}

/// The bytes of `1 and 2 of them through a tunnel`.
fn tunnel(line: &str) -> Option<(u64, u64)> {
    let (figures, _) = line.split_once(" of them through a tunnel that was open for ")?;
    let (sent, received) = figures.rsplit_once(", ")?.1.split_once(" and ")?;
    Some((sent.parse().ok()?, received.parse().ok()?))
}

/// Both pages show each new number.
async fn count_in_two_tabs(browser: &Browser, url: &str) {
    browser.client.goto(url).await.expect("the page");
    let first = browser.wait_for("number", |text| text.parse::<u64>().is_ok()).await;
    let first: u64 = first.parse().expect("a number");
    let tab = browser.client.window().await.expect("the tab");
    let other = browser.client.new_window(true).await.expect("another tab");
    browser.client.switch_to_window(other.handle).await.expect("the other tab");
    browser.client.goto(url).await.expect("the page");
    browser.wait_for("state", |text| text == "connected").await;
    browser.wait_for("number", |text| text == first.to_string()).await;
    for number in 1..=3 {
        browser.click("#add").await;
        browser.wait_for("number", |text| text == (first + number).to_string()).await;
    }
    browser.client.switch_to_window(tab).await.expect("the first tab");
    browser.wait_for("number", |text| text == (first + 3).to_string()).await;
}

/// What a client of the handshake gets, as status and body.
fn handshake(url: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let request = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let request = request
        .iter()
        .chain(headers)
        .fold(Request::get(url), |request, (name, value)| request.header(*name, *value));
    let reply = HttpBrowser::new().send(request.body(()).expect("a request")).expect("a reply");
    (reply.status, reply.text())
}

/// Apache would answer the client with the 101, and then read its frames as requests.
#[tokio::test(flavor = "multi_thread")]
async fn apache_never_gets_a_101() {
    if !required("apache2") {
        return;
    }
    let app = App::start().await;
    // The second hides its name; there is only the param that Apache always sends.
    let hidden = format!(
        "LoadModule env_module /usr/lib/apache2/modules/mod_env.so\nSetEnv SERVER_SOFTWARE front\n\
         ProxyPass / scgi://{}/\n",
        app.tcp
    );
    let fronts = [Front::apache(app.tcp, app.unix()), Front::apache_site(&hidden)];
    for front in fronts {
        let front = front.expect("Apache starts");
        let url = front.url();
        let answers = spawn_blocking(move || {
            let upgrade = handshake(&format!("{url}/echo"), &[]);
            let next = HttpBrowser::new().get(&format!("{url}/hello")).expect("a reply");
            (upgrade, next.text())
        });
        let ((status, text), next) = answers.await.expect("no panic");
        // axum's answer to a request without an upgrade.
        assert_eq!(status, 400, "{text}");
        assert_eq!(next, "hello");
    }
    assert_eq!(app.upgraded(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_is_refused() {
    if !required("nginx") {
        return;
    }
    let app = App::start().await;
    let front = Front::nginx(app.tcp, app.unix()).expect("nginx starts");
    let url = format!("{}/counter", front.url());
    let answer = spawn_blocking(move || handshake(&url, &[("Origin", "https://evil.example")]));
    assert_eq!(answer.await.expect("no panic").0, 403);
    assert_eq!(app.upgraded(), 0);
}

/// nginx closes a tunnel without traffic; pings keep it open.
#[tokio::test(flavor = "multi_thread")]
async fn idle_tunnel_behind_nginx() {
    if !required("nginx") {
        return;
    }
    let app = App::start().await;
    let location = format!("include scgi_params; scgi_read_timeout 1s; scgi_pass {};", app.tcp);
    let front = Front::nginx_site(&format!("location / {{ {location} }}")).expect("nginx starts");
    let address = ([127, 0, 0, 1], front.port()).into();
    let mut silent = websocket_client::open(address, websocket_client::HTTP).await;
    let mut pinging = websocket_client::open(address, websocket_client::HTTP).await;
    let until_closed = async {
        let begun = Instant::now();
        while let Some(Ok(_)) = silent.next().await {}
        begun.elapsed()
    };
    let ping = async {
        loop {
            pinging.send(Message::Ping("".into())).await.expect("still open");
            assert!(pinging.next().await.expect("still open").expect("an answer").is_pong());
            sleep(Duration::from_millis(100)).await;
        }
    };
    let closed = tokio::select! {
        closed = timeout(Duration::from_secs(20), until_closed) => closed.expect("nginx closes it"),
        () = ping => unreachable!("it has no end"),
    };
    assert!(closed > Duration::from_millis(500), "{closed:?}");
    drop((silent, pinging));
    app.wait_until_idle().await;
}

/// Sends bytes to a front server and returns all that comes until it closes.
async fn talk(front: &Front, request: String) -> String {
    String::from_utf8_lossy(&talk_bytes(front, request.as_bytes()).await).into_owned()
}

async fn talk_bytes(front: &Front, request: &[u8]) -> Vec<u8> {
    let stream = TcpStream::connect(("127.0.0.1", front.port())).await.expect("a connection");
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(request).await.expect("sent");
    let mut reply = Vec::new();
    let read = timeout(Duration::from_secs(20), reader.read_to_end(&mut reply)).await;
    // A reset is an end, too.
    let _ = read.expect("the front server closes");
    reply
}

/// The last request on a connection that is kept alive.
const LAST: &str = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_behind_each_other() {
    if !required("nginx") {
        return;
    }
    let app = App::start().await;
    let front = Front::nginx(app.tcp, app.unix()).expect("nginx starts");
    // Refused upgrades: the next request on the connection gets its own answer.
    for (what, other) in [
        ("Sec-WebSocket-Key", "X-Key"),
        ("Connection: Upgrade", "X-Connection: x"),
        ("Upgrade: websocket", "Upgrade: h2c"),
    ] {
        let request = websocket_client::HTTP.replace(what, other);
        let reply = talk(&front, format!("{request}{LAST}")).await;
        assert!(reply.starts_with("HTTP/1.1 400 "), "{other}: {reply}");
        assert_eq!(reply.matches("HTTP/1.1 ").count(), 2, "{other}: {reply}");
        assert!(reply.contains("HTTP/1.1 200 OK") && reply.ends_with("hello"), "{other}: {reply}");
    }
    assert_eq!(app.upgraded(), 0);
    // An accepted one: what follows is for the WebSocket, and is never answered as a request.
    let reply = talk(&front, format!("{}{LAST}", websocket_client::HTTP)).await;
    assert!(reply.starts_with("HTTP/1.1 101 "), "{reply}");
    assert!(!reply.contains("hello") && reply.matches("HTTP/1.1 ").count() == 1, "{reply}");
    assert_eq!(app.upgraded(), 1);
    app.wait_until_idle().await;
}

/// nginx would forward it, and the client would read what follows as its next response.
#[tokio::test(flavor = "multi_thread")]
async fn a_101_that_was_not_asked_for() {
    if !required("nginx") {
        return;
    }
    let switch = async || (StatusCode::SWITCHING_PROTOCOLS, [("upgrade", "evil")]);
    let app = Router::new().route("/evil", get(switch)).route("/hello", get(async || "hello"));
    let app = App::serve(app).await;
    let front = Front::nginx(app.tcp, app.unix()).expect("nginx starts");
    let evil = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    let reply = talk(&front, format!("{evil}{LAST}")).await;
    assert!(reply.starts_with("HTTP/1.1 500 "), "{reply}");
    assert!(reply.contains("HTTP/1.1 200 OK") && reply.ends_with("hello"), "{reply}");
    // Asked for, but the program does not take the connection: it is closed, without a byte.
    let upgrade = websocket_client::HTTP.replace("/echo", "/evil");
    let reply = talk(&front, upgrade).await;
    assert!(reply.starts_with("HTTP/1.1 101 ") && reply.ends_with("\r\n\r\n"), "{reply}");
    app.wait_until_idle().await;
}

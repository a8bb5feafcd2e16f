//! Programs behind front servers that change the path of a request, and browsers whose address has a
//! zone: nginx with `rewrite ... break` and `error_page`, Apache with a local redirect and on a
//! link-local address.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use scgi_tests::front::Front;
use scgi_tests::http::Browser;
use scgi_tests::process::{free_port, required};
use scgi_tokio::{
    Address, Body, ConnectionConfig, Handler, Listener, PathSource, Policy, Request, Response,
    ResponseHead, Status, serve,
};

/// A server with this handler that runs as long as the test; gives its port.
fn start<M: 'static, H: Handler<M>>(handler: H, source: PathSource) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let address: Address = "127.0.0.1:0".parse().expect("an address");
    let listener = runtime.block_on(Listener::bind(&address)).expect("a port");
    let local = listener.local_address().expect("an address").to_string();
    let config =
        ConnectionConfig::default().with_policy(Policy::default().with_path_source(source));
    thread::spawn(move || {
        runtime.block_on(async { serve(listener, handler).with_config(config).await })
    });
    local.parse::<SocketAddr>().expect("host and port").port()
}

/// A program that works on params: `/old` is `/new` now, which it lets the front server fetch.
async fn program(request: Request) -> Response {
    let head = request.head();
    let path = head.path().unwrap_or_default();
    if &*path == b"/old" {
        return Response::from_parts(ResponseHead::local_redirect("/new?y=1"), Body::empty());
    }
    let query = head.query_string().unwrap_or_default();
    let text = [&path[..], b" ", query].concat();
    Response::new(text).with_status(Status::OK).with_field("Content-Type", "text/plain")
}

/// An app: `/nothing` is not there, anything else shows its URI.
fn app() -> Router {
    let address = async |ConnectInfo(address): ConnectInfo<SocketAddr>| address.ip().to_string();
    Router::new()
        .route("/nothing", get(|| async { (StatusCode::NOT_FOUND, "the program's own page") }))
        .route("/address", get(address))
        .fallback(async |uri: Uri| uri.to_string())
}

/// Status and text of the response behind a front server.
fn get_page(front: &Front, path: &str) -> (u16, String) {
    let reply = Browser::new().get(&format!("{}{path}", front.url())).expect("a reply");
    (reply.status, reply.text())
}

fn expect_page(front: &Front, path: &str, status: u16, text: &str) {
    assert_eq!(get_page(front, path), (status, text.to_owned()), "{path}");
}

#[test]
fn a_local_redirect_behind_apache() {
    if !required("apache2") {
        return;
    }
    for (source, expected) in [
        (PathSource::Mapped, Some("/new y=1")),
        // The program sees `/old` again and again, until Apache has had enough.
        (PathSource::RequestUri, None),
    ] {
        let port = start(program, source);
        let site = format!("ProxyPass / scgi://127.0.0.1:{port}/ retry=0");
        let apache = Front::apache_site(&site).expect("apache starts");
        expect_page(&apache, "/a%20b?x=1", 200, "/a%20b x=1");
        match expected {
            Some(text) => expect_page(&apache, "/old?x=1", 200, text),
            None => assert_eq!(get_page(&apache, "/old?x=1").0, 500),
        }
    }
}

#[test]
fn rewrites_and_error_pages_behind_nginx() {
    if !required("nginx") {
        return;
    }
    for (source, rewritten, error_page) in [
        (PathSource::Mapped, "/new/a%20b?y=1&x=1", "/errors/404"),
        (PathSource::RequestUri, "/old/a%20b?x=1", "/nothing"),
    ] {
        let port = start(app(), source);
        let site = format!(
            "include scgi_params;
             location /old/ {{
                 rewrite ^/old/(.*)$ /new/$1?y=1 break;
                 scgi_pass 127.0.0.1:{port};
             }}
             location / {{
                 scgi_intercept_errors on;
                 error_page 404 =404 /errors/404;
                 scgi_pass 127.0.0.1:{port};
             }}
             location /errors/ {{
                 internal;
                 scgi_pass 127.0.0.1:{port};
             }}"
        );
        let nginx = Front::nginx_site(&site).expect("nginx starts");
        expect_page(&nginx, "/a%20b?x=1", 200, "/a%20b?x=1");
        expect_page(&nginx, "/old/a%20b?x=1", 200, rewritten);
        let (status, text) = get_page(&nginx, "/nothing");
        // By the browser's path, the program answers its 404 again.
        let expected = if error_page == "/nothing" { "the program's own page" } else { error_page };
        assert_eq!((status, &*text), (404, expected));
    }
}

#[test]
fn a_rewrite_behind_lighttpd() {
    if !required("lighttpd") {
        return;
    }
    for (source, expected) in
        [(PathSource::Mapped, "/new/a%20b?x=1"), (PathSource::RequestUri, "/old/a%20b?x=1")]
    {
        let port = start(app(), source);
        let site = format!(
            r#"server.modules += ("mod_rewrite")
               url.rewrite-once = ("^/old/(.*)$" => "/new/$1")
               scgi.server = ("/" => (("host" => "127.0.0.1", "port" => {port},
                   "check-local" => "disable", "fix-root-scriptname" => "enable")))"#
        );
        let lighttpd = Front::lighttpd_site(&site).expect("lighttpd starts");
        expect_page(&lighttpd, "/a%20b?x=1", 200, "/a%20b?x=1");
        expect_page(&lighttpd, "/old/a%20b?x=1", 200, expected);
    }
}

#[test]
fn an_error_page_of_the_program_passes_apache() {
    if !required("apache2") {
        return;
    }
    let port = start(app(), PathSource::Mapped);
    let site = format!(
        "ProxyErrorOverride On\nErrorDocument 404 /errors/404\n\
         ProxyPass / scgi://127.0.0.1:{port}/ retry=0"
    );
    let apache = Front::apache_site(&site).expect("apache starts");
    expect_page(&apache, "/nothing", 404, "the program's own page");
}

#[test]
fn dot_segments_behind_nginx() {
    if !required("nginx") {
        return;
    }
    let admin = Router::new()
        .route("/app/admin/{*rest}", get(|| async { "the admin's" }))
        .fallback(async |uri: Uri| uri.to_string());
    let port = start(admin, PathSource::RequestUri);
    let site = format!(
        "include scgi_params;
         location /app/ {{ scgi_pass 127.0.0.1:{port}; }}
         location /app/admin/ {{ deny all; }}"
    );
    let nginx = Front::nginx_site(&site).expect("nginx starts");
    for (path, status) in [
        ("/app/hello", "200"),
        ("/app/admin/x", "403"),
        // nginx takes all of these for `/app/hello`.
        ("/app/admin/x/../../hello", "400"),
        ("/app/admin/%2e%2e/hello", "400"),
        ("/app/admin%2f..%2fhello", "400"),
    ] {
        let reply = exchange(SocketAddr::from(([127, 0, 0, 1], nginx.port())), path);
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {reply}");
        assert!(!reply.contains("the admin's"), "{path}: {reply}");
    }
}

/// The whole response to GET `path`, which is sent as it is.
fn exchange(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply
}

/// A link-local address of this machine, its interface's number and name.
fn link_local() -> Option<(Ipv6Addr, u32, String)> {
    let text = fs::read_to_string("/proc/net/if_inet6").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [address, index, _, _, _, name] = fields[..] else { return None };
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        let index = u32::from_str_radix(index, 16).ok()?;
        address.is_unicast_link_local().then(|| (address, index, name.to_owned()))
    })
}

#[test]
fn a_browser_on_a_link_local_address_of_apache() {
    if !required("apache2") {
        return;
    }
    let Some((ip, scope, interface)) = link_local() else {
        eprintln!("SKIPPED: this machine has no link-local address");
        return;
    };
    let port = start(app(), PathSource::RequestUri);
    let listen = free_port().expect("a port");
    let site =
        format!("Listen [{ip}%{interface}]:{listen}\nProxyPass / scgi://127.0.0.1:{port}/ retry=0");
    let _apache = Front::apache_site(&site).expect("apache starts");
    let address = SocketAddrV6::new(ip, listen, 0, scope).into();
    let reply = exchange(address, "/address");
    assert!(reply.starts_with("HTTP/1.1 200 ") && reply.contains(&ip.to_string()), "{reply}");
}

#[test]
fn browsers_whose_address_has_a_zone_or_is_none_behind_nginx() {
    if !required("nginx") {
        return;
    }
    let port = start(app(), PathSource::RequestUri);
    for (sent, status, expected) in [
        ("fe80::1%eth0", 200, "fe80::1"),
        ("fe80::1%3", 200, "fe80::1"),
        ("192.0.2.7", 200, "192.0.2.7"),
        ("unix:", 500, "Missing request extension"),
    ] {
        let params = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/front/scgi_params"));
        let params = params.expect("the params");
        let params: String = params
            .lines()
            .filter(|line| !line.contains("REMOTE_ADDR"))
            .map(|line| format!("{line}\n"))
            .collect();
        let site = format!(
            "{params}\nscgi_param REMOTE_ADDR {sent};\nlocation / {{ scgi_pass 127.0.0.1:{port}; }}"
        );
        let nginx = Front::nginx_site(&site).expect("nginx starts");
        let (found, text) = get_page(&nginx, "/address");
        assert!(found == status && text.starts_with(expected), "{sent}: {found} {text}");
    }
}

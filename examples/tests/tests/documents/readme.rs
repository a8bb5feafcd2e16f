//! The configurations of the README and of the guide `front_servers` work: real front servers run them
//! as they are written there.
//!
//! Its Rust is compiled by the doc tests, and its commands are run by `.ci/readme`.

#![cfg(unix)]

use std::io;
use std::net::SocketAddr;
use std::thread;

use scgi_blocking::{Request, Response};
use scgi_tests::front::Front;
use scgi_tests::http::{Browser, Reply};
use scgi_tests::process::required;
use ureq::http::Request as HttpRequest;

const README: &str = include_str!("../../../../README.md");
const GUIDE: &str = include_str!("../../../../scgi-proto/src/guide/front_servers.md");

/// The one block of a page in this language.
fn block(page: &'static str, language: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let (_, rest) = page.split_once(&fence).expect("a block");
    let (block, rest) = rest.split_once("\n```").expect("its end");
    assert!(!rest.contains(&fence), "two blocks in {language}");
    block
}

/// A program as the README's, which also prints what it sees of a login.
fn program() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let answer = |mut request: Request| -> Result<Response, scgi_blocking::Error> {
        let body = std::mem::take(request.body_mut()).collect(1 << 20)?;
        let params = request.head().params();
        let get = |name| String::from_utf8_lossy(params.get(name).unwrap_or_default());
        let [uri, path, login] = ["REQUEST_URI", "PATH_INFO", "HTTP_AUTHORIZATION"].map(get);
        Ok(Response::new(format!("{uri} {path} {login} {}", body.len())))
    };
    // It ends with the test program.
    thread::spawn(move || scgi_blocking::serve(listener, answer).run());
    address
}

fn get(front: &Front, body: &[u8]) -> Reply {
    let url = format!("{}/a%20b/c?d=e", front.url());
    let request = HttpRequest::post(url).header("Authorization", "Basic YTpi").body(body);
    let reply = Browser::new().send(request.expect("a request")).expect("a reply");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

/// The block with the program's address instead of the page's.
fn site(page: &'static str, language: &str, from: &str, to: &str) -> String {
    let block = block(page, language);
    assert!(block.contains(from), "{block}");
    block.replace(from, to)
}

fn start(name: &str, front: impl FnOnce() -> io::Result<Front>) -> Option<Front> {
    required(name).then(|| front().expect("the front server starts"))
}

#[test]
fn nginx() {
    assert_eq!(block(README, "nginx"), block(GUIDE, "nginx"));
    let site = site(README, "nginx", "127.0.0.1:4000", &program().to_string());
    let Some(front) = start("nginx", || Front::nginx_site(&site)) else { return };
    let reply = get(&front, &[7; 100_000]);
    assert_eq!(reply.text(), "/a%20b/c?d=e /a b/c Basic YTpi 100000");
}

#[test]
fn apache() {
    let site = site(GUIDE, "apache", "127.0.0.1:4000", &program().to_string());
    let Some(front) = start("apache2", || Front::apache_site(&site)) else { return };
    let reply = get(&front, &[7; 100_000]);
    assert_eq!(reply.text(), "/a%20b/c?d=e  Basic YTpi 100000");
}

#[test]
fn lighttpd() {
    let site = site(GUIDE, "lighttpd", "4000", &program().port().to_string());
    let Some(front) = start("lighttpd", || Front::lighttpd_site(&site)) else { return };
    let reply = get(&front, &[7; 100_000]);
    assert_eq!(reply.text(), "/a%20b/c?d=e /a b/c Basic YTpi 100000");
}

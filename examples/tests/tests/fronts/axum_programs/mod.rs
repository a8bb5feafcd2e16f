//! Programs as axum's users write them, in the manner of axum's own examples: each runs over
//! `axum::serve` behind `proxy_pass` and over ours behind `scgi_pass`, and status, headers and
//! bodies are equal.

mod layered;
mod plain;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;

use axum::Router;
use scgi_tests::front::Front;
use scgi_tests::http::{Browser, Reply};
use scgi_tests::process::{required, scratch_dir};
use tokio::net::TcpListener;
use ureq::http::Request;

use super::axum_fronts::{Compared, compared};

/// One program, and what a browser asks it, in this order.
struct Program {
    name: &'static str,
    /// Each server has its own; the folder is the same.
    app: fn(&Path) -> Router,
    asks: Vec<Ask>,
}

/// A request of the browser.
#[derive(Debug, Clone)]
struct Ask {
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<Vec<u8>>,
}

fn ask(method: &'static str, path: &'static str) -> Ask {
    let body = matches!(method, "POST" | "PUT" | "PATCH").then(Vec::new);
    Ask { method, path, headers: Vec::new(), body }
}

fn get(path: &'static str) -> Ask {
    ask("GET", path)
}

/// A POST of a body of this type.
fn post(path: &'static str, kind: &'static str, body: impl Into<Vec<u8>>) -> Ask {
    Ask { body: Some(body.into()), ..ask("POST", path).with("content-type", kind) }
}

impl Ask {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn send(&self, browser: &Browser, base: &str) -> Reply {
        let mut request =
            Request::builder().method(self.method).uri(format!("{base}{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let reply = match &self.body {
            Some(body) => browser.send(request.body(&body[..]).expect("a request")),
            None => browser.send(request.body(()).expect("a request")),
        };
        reply.unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }
}

fn programs() -> Vec<Program> {
    plain::programs().into_iter().chain(layered::programs()).collect()
}

/// Starts every program over HTTP and over SCGI, and returns where they listen.
fn start(programs: &[Program], folder: &Path) -> Vec<[SocketAddr; 2]> {
    let (sender, receiver) = channel();
    let apps: Vec<_> =
        programs.iter().map(|program| [(program.app)(folder), (program.app)(folder)]).collect();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            for [http_app, scgi_app] in apps {
                let bind = || TcpListener::bind("127.0.0.1:0");
                let (http, scgi) = (bind().await.expect("a port"), bind().await.expect("a port"));
                let addresses = [&http, &scgi].map(|l| l.local_addr().expect("an address"));
                tokio::spawn(axum::serve(http, http_app).into_future());
                tokio::spawn(scgi_tokio::serve(scgi, scgi_app).into_future());
                sender.send(addresses).expect("a test");
            }
            drop(sender);
            std::future::pending::<()>().await;
        });
    });
    receiver.iter().collect()
}

/// Status, headers and the beginning of the body.
fn shown((status, headers, body): &Compared) -> String {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect();
    let body: String = body.chars().take(100).collect();
    format!("{status} {headers:?} {body:?}")
}

/// Where a front server itself treats SCGI and HTTP differently.
struct Own {
    headers: &'static [&'static str],
    /// Program, method and path.
    asks: &'static [(&'static str, &'static str, &'static str)],
}

/// Every program behind one front server.
fn check(
    server: &str,
    over_scgi: fn(SocketAddr, &Path) -> std::io::Result<Front>,
    over_http: fn(SocketAddr) -> std::io::Result<Front>,
    own: &Own,
) {
    if !required(server) {
        return;
    }
    let folder = scratch_dir().expect("a folder");
    plain::write_files(folder.path());
    let programs = programs();
    let addresses = start(&programs, folder.path());
    assert_eq!(addresses.len(), programs.len());
    let no_socket = folder.path().join("none.sock");
    let (mut count, mut differences) = (0, Vec::new());
    for (program, [http, scgi]) in programs.iter().zip(addresses) {
        let over_http = over_http(http).expect("the front server starts");
        let over_scgi = over_scgi(scgi, &no_socket).expect("the front server starts");
        let browser = Browser::new();
        for ask in &program.asks {
            let expected = ask.send(&browser, &over_http.url());
            let reply = ask.send(&browser, &over_scgi.url());
            if own.asks.contains(&(program.name, ask.method, ask.path)) {
                continue;
            }
            let [expected, reply] = [expected, reply].map(|reply| compared(&reply, own.headers));
            if reply != expected {
                let Ask { method, path, headers, .. } = ask;
                differences.push(format!(
                    "{}: {method} {path} {headers:?}\nHTTP {}\nSCGI {}",
                    program.name,
                    shown(&expected),
                    shown(&reply),
                ));
            }
            count += 1;
        }
    }
    println!("{server}: {} programs, {count} requests are equal", programs.len());
    assert!(differences.is_empty(), "{server}: {}", differences.join("\n\n"));
    assert!(programs.len() >= 12 && count >= 60, "{} {count}", programs.len());
}

const NONE: Own = Own { headers: &[], asks: &[] };

/// Apache and lighttpd make one slash of several, but leave REQUEST_URI as it came.
const MERGED: &[(&str, &str, &str)] = &[("routing", "GET", "//double//slash")];

#[test]
fn behind_nginx() {
    check("nginx", Front::nginx, Front::nginx_http, &NONE);
}

#[test]
fn behind_apache() {
    let own = Own {
        // It does not pass on the length of an SCGI response, and sends it in chunks.
        headers: &["content-length", "transfer-encoding"],
        asks: MERGED,
    };
    check("apache2", Front::apache, Front::apache_http, &own);
}

#[test]
fn behind_lighttpd() {
    check("lighttpd", Front::lighttpd, Front::lighttpd_http, &Own { headers: &[], asks: MERGED });
}

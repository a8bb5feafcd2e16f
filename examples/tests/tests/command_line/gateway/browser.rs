//! Pages in a real browser: what those of another site can do, and those of our own behind nginx.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use scgi_tests::front::Front;
use scgi_tests::process::{required, scratch_dir};

use super::{authority, gateway};

/// The requests that reached a server, as `METHOD URI`.
type Seen = Arc<Mutex<Vec<String>>>;

/// The value of a param in an SCGI head.
fn param(head: &str, name: &str) -> String {
    let begin = head.find(&format!("\0{name}\0")).expect("the param") + name.len() + 2;
    head[begin..].split('\0').next().unwrap_or_default().to_owned()
}

/// An SCGI server that answers with `page`, and what it saw.
fn scgi_server(page: &'static str) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("its address").to_string();
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, log) = (stream.expect("a connection"), Arc::clone(&log));
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut buf = [0; 4096];
                while !head.ends_with(b",") && !head.windows(2).any(|part| part == b"\0,") {
                    match stream.read(&mut buf) {
                        Ok(count @ 1..) => head.extend_from_slice(&buf[..count]),
                        _ => return,
                    }
                }
                let head = String::from_utf8_lossy(&head);
                let request =
                    format!("{} {}", param(&head, "REQUEST_METHOD"), param(&head, "REQUEST_URI"));
                log.lock().expect("no panic").push(request);
                let reply = format!("Status: 200 OK\r\nContent-Type: text/html\r\n\r\n{page}");
                let _ = stream.write_all(reply.as_bytes());
            });
        }
    });
    (address, seen)
}

/// An HTTP server of another site that answers each request with `page`.
fn other_site(page: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.expect("a connection");
            let page = page.clone();
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 8192]);
                let len = page.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len}\r\n\
                     Connection: close\r\n\r\n{page}"
                );
            });
        }
    });
    port
}

/// What Chromium makes of a page after some time.
fn visit(url: &str) -> String {
    let folder = scratch_dir().expect("a folder");
    let mut command = Command::new("chromium");
    command.env("HOME", folder.path()).args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--virtual-time-budget=5000",
        "--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP app.test 127.0.0.1",
        "--dump-dom",
    ]);
    command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    let output = command.arg(url).output().expect("Chromium runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_page_of_another_site_reaches_nothing() {
    if !required("chromium") {
        return;
    }
    let (backend, seen) = scgi_server("secret");
    let gateway = gateway(&backend, &[]);
    let target = &gateway.address;
    let socket = target.replace("http://", "ws://");
    let page = format!(
        "<body><iframe name=f></iframe><form id=form action={target}/form method=post target=f \
         enctype=text/plain><input name=a value=b></form><script>
         const said = [];
         document.getElementById('form').submit();
         const post = fetch('{target}/fetch', {{method: 'POST', mode: 'no-cors', body: 'x'}})
             .then(() => said.push('posted'), () => said.push('post failed'));
         const read = fetch('{target}/read').then(r => r.text())
             .then(t => said.push('read ' + t), () => said.push('read failed'));
         const chat = new Promise(end => {{
             const chat = new WebSocket('{socket}/chat');
             chat.onopen = () => {{ said.push('chat open'); end(); }};
             chat.onerror = () => {{ said.push('chat failed'); end(); }};
         }});
         Promise.all([post, read, chat]).then(() => document.body.append(said.sort().join(';')));
         </script>"
    );
    let port = other_site(page);
    let shown = visit(&format!("http://evil.localhost:{port}/"));
    assert!(shown.contains("chat failed;posted;read failed"), "{shown}");
    // A GET may be sent, though its answer cannot be read; nothing else reached the server.
    let seen = seen.lock().expect("no panic").clone();
    assert!(seen.iter().all(|request| request == "GET /read"), "{seen:?}");
    let said = gateway.said();
    for refused in ["POST /form: 403", "POST /fetch: 403", "GET /chat: 403"] {
        assert!(said.contains(refused), "{refused}: {said}");
    }
}

#[test]
fn a_name_that_was_made_to_resolve_to_this_machine_reads_nothing() {
    if !required("chromium") {
        return;
    }
    let (backend, seen) = scgi_server("secret");
    let gateway = gateway(&backend, &[]);
    let port = authority(&gateway).rsplit_once(':').expect("a port").1;
    let shown = visit(&format!("http://rebound.example:{port}/"));
    assert!(shown.contains("403 Forbidden") && !shown.contains("secret"), "{shown}");
    assert!(seen.lock().expect("no panic").is_empty());
}

/// The page of the app itself, behind nginx that replaces Host (its default) or passes it on, as
/// Caddy does.
#[test]
fn a_page_of_our_own_behind_nginx_can_post() {
    if !["chromium", "nginx"].into_iter().all(required) {
        return;
    }
    let page = "<body><script>fetch('/post', {method: 'POST', body: 'x'}).then(r => \
        document.body.append('status ' + r.status))</script>";
    for (host, more, expected) in [
        ("", &[][..], "status 200"),
        ("proxy_set_header Host $http_host;", &[], "403 Forbidden"),
        ("proxy_set_header Host $http_host;", &["--host", "app.test"], "status 200"),
    ] {
        let (backend, seen) = scgi_server(page);
        let gateway = gateway(&backend, more);
        let site = format!("location / {{ proxy_pass {}; {host} }}", gateway.address);
        let nginx = Front::nginx_site(&site).expect("nginx starts");
        let name = if host.is_empty() { "127.0.0.1" } else { "app.test" };
        let shown = visit(&format!("http://{name}:{}/", nginx.port()));
        assert!(shown.contains(expected), "{host}: {shown}");
        let posted = seen.lock().expect("no panic").iter().any(|request| request == "POST /post");
        assert_eq!(posted, expected == "status 200", "{host}");
    }
}

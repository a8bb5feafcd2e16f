//! A large response to a large upload that the program does not read, through the real front
//! servers: Apache writes first, the others collect or pass on.

#![cfg(target_os = "linux")]

use std::fs::{Permissions, set_permissions};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use scgi_proto::ConnectionConfig;
use scgi_tests::front::Front;
use scgi_tests::http::Browser;
use scgi_tests::process::required;

use crate::servers::{Program, RUNTIMES, Server};

type Start = fn(SocketAddr, &Path) -> io::Result<Front>;

const FRONTS: [(&str, Start); 3] =
    [("nginx", Front::nginx), ("apache2", Front::apache), ("lighttpd", Front::lighttpd)];

/// Checks each runtime behind a front server, over TCP and over a Unix socket.
fn behind(start: Start, program: Program, check: impl Fn(&Browser, &str)) {
    for runtime in RUNTIMES {
        let server = |unix| Server::start(runtime, unix, program, ConnectionConfig::default(), 100);
        let (tcp, unix) = (server(false), server(true));
        let path = unix.path().expect("a Unix socket");
        // Apache's workers have a user of their own.
        set_permissions(path, Permissions::from_mode(0o777)).expect("rights of the socket");
        let front = start(tcp.address().expect("a port"), path).expect("it starts");
        let browser = Browser::new();
        for path in ["/", "/unix/", "/nobuf/"] {
            check(&browser, &format!("{}{path}", front.url().trim_end_matches('/')));
        }
    }
}

/// Sends a body and reads the response at the same time, as browsers do: nginx passes a response on
/// before it has read the body, if it buffers neither. Returns the status line and the length of
/// the response's body, which HTTP/1.0 does not cut in chunks.
fn post(url: &str, body: usize) -> (String, usize) {
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("an option");
    let mut upload = stream.try_clone().expect("a handle");
    let head = format!(
        "POST /{path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {body}\r\n\r\n"
    );
    let writer = thread::spawn(move || {
        // The server may close before it has read all.
        let _ = upload.write_all(head.as_bytes());
        let _ = upload.write_all(&vec![b'b'; body]);
    });
    let mut response = Vec::new();
    // What follows a whole response is not of interest.
    let end = stream.read_to_end(&mut response);
    writer.join().expect("no panic");
    let at = response.windows(4).position(|end| end == b"\r\n\r\n");
    let at = at.unwrap_or_else(|| panic!("{url}: {end:?}, no head"));
    let line = response.split(|byte| *byte == b'\r').next().unwrap_or_default();
    (String::from_utf8_lossy(line).into_owned(), response.len() - at - 4)
}

#[test]
fn a_large_response_to_an_upload_that_is_not_read() {
    for (name, start) in FRONTS {
        if !required(name) {
            continue;
        }
        behind(start, Program::Answers(10_000_000), |_, url| {
            let (line, len) = post(url, 8 << 20);
            assert!(line.ends_with(" 200 OK"), "{name}, {url}: {line}");
            assert_eq!(len, 10_000_000, "{name}, {url}");
        });
    }
}

#[test]
fn an_upload_goes_on_while_the_program_works() {
    if !required("nginx") {
        return;
    }
    behind(Front::nginx, Program::Waits(Duration::from_secs(1)), |browser, url| {
        let reply = browser.post(url, &vec![b'b'; 60 << 20]).expect("a reply");
        assert_eq!((reply.status, reply.text().as_str()), (200, "waited"), "{url}");
    });
}

#[test]
#[ignore = "takes long: .ci/heavy flow"]
fn an_upload_of_400_mb_goes_on_while_the_program_works() {
    if !required("nginx") {
        return;
    }
    let upload = vec![b'b'; 400_000_000];
    behind(Front::nginx, Program::Waits(Duration::from_secs(6)), |browser, url| {
        // The others buffer the body in a file.
        if !url.ends_with("/nobuf/") {
            return;
        }
        let reply = browser.post(url, &upload).expect("a reply");
        assert_eq!((reply.status, reply.text().as_str()), (200, "waited"), "{url}");
    });
}

//! Answers that come before the upload is read, and answers that are cut.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{connect, gateway, send, status};
use crate::tool::EchoServer;

const MIB: usize = 1 << 20;

/// A server that answers each request with so many bytes when it has its head, and does not read
/// the body; then it closes its write side and reads on only if it `drains`.
fn early_server(answer: usize, drains: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || -> io::Result<()> {
                let _ = stream.read(&mut [0; 512])?;
                write!(stream, "Status: 200 OK\r\nContent-Length: {answer}\r\n\r\n")?;
                let chunk = [b'a'; 64 * 1024];
                for _ in 0..answer / chunk.len() {
                    stream.write_all(&chunk)?;
                }
                stream.write_all(&chunk[..answer % chunk.len()])?;
                stream.shutdown(Shutdown::Write)?;
                if drains {
                    while stream.read(&mut [0; 4096])? > 0 {}
                } else {
                    thread::sleep(Duration::from_secs(30));
                }
                Ok(())
            });
        }
    });
    address
}

/// A browser that reads nothing before all of its upload is sent.
fn upload(gateway: &EchoServer, len: usize, more: &str) -> io::Result<Vec<u8>> {
    let mut stream = connect(gateway);
    write!(stream, "POST / HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {len}\r\n\r\n")?;
    let chunk = vec![b'u'; MIB];
    for _ in 0..len / MIB {
        stream.write_all(&chunk)?;
    }
    stream.write_all(&chunk[..len % MIB])?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(reply)
}

fn body_len(reply: &[u8]) -> usize {
    let end = reply.windows(4).position(|part| part == b"\r\n\r\n").expect("a head");
    reply.len() - end - 4
}

/// The example of a 10 MB answer to a 100 MB upload was cut in 18 of 20 tries.
#[test]
fn an_early_answer_to_a_large_upload_arrives_whole() {
    for drains in [true, false] {
        let gateway = gateway(&early_server(10 * MIB, drains), &[]);
        for _ in 0..3 {
            let begun = Instant::now();
            let reply = upload(&gateway, 100 * MIB, "Connection: close\r\n").expect("a reply");
            assert_eq!(body_len(&reply), 10 * MIB);
            println!("server drains: {drains}: {:?}", begun.elapsed());
        }
        assert_eq!(gateway.said(), "");
    }
}

/// Small answers were lost now and then: the close with unread bytes is a reset.
#[test]
fn an_answer_of_the_gateway_itself_is_never_lost() {
    let backend = EchoServer::json("tokio");
    let gateway = gateway(&backend.address, &["--max-body", "10"]);
    for _ in 0..20 {
        for more in ["", "Connection: close\r\n"] {
            let more = format!("{more}X: y\r\n");
            let mut stream = connect(&gateway);
            write!(
                stream,
                "POST / HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {MIB}\r\n\r\n"
            )
            .expect("it is sent");
            stream.write_all(&vec![b'u'; MIB]).expect("it is drained");
            let mut start = [0; 12];
            stream.read_exact(&mut start).expect("a reply");
            assert_eq!(&start, b"HTTP/1.1 413");
        }
    }
}

#[test]
fn a_connection_is_used_again_behind_a_drained_upload() {
    let gateway = gateway(&early_server(5, true), &[]);
    let mut stream = connect(&gateway);
    for _ in 0..3 {
        write!(stream, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 2 * MIB)
            .expect("it is sent");
        stream.write_all(&vec![b'u'; 2 * MIB]).expect("it is drained");
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n\r\naaaaa") {
            let mut part = [0; 1];
            stream.read_exact(&mut part).expect("a reply");
            reply.push(part[0]);
        }
    }
}

/// A server whose response ends before its time.
fn cutting_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"Status: 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        }
    });
    address
}

#[test]
fn a_response_that_is_cut_does_not_look_complete() {
    let address = cutting_server();
    let gateway = gateway(&address, &[]);
    let reply = send(&gateway, "GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(status(&reply) == 200 && reply.contains("content-length: 100\r\n"), "{reply}");
    // It is said when the connection is gone.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !gateway.said().contains("was cut") && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    let said = gateway.said();
    for part in ["GET /a?b: ", "was cut after 4 bytes: ", &address] {
        assert!(said.contains(part), "{said}");
    }
    // In HTTP/1.0 the close ends a response: it must not be a clean one.
    let mut stream: TcpStream = connect(&gateway);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it is sent");
    let end = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
    assert_eq!(end, Err(io::ErrorKind::ConnectionReset));
}

//! Bodies that no one reads, or another thread, while the response waits for its peer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use scgi_blocking::{
    Body, ConnectionConfig, Error, Handler, Request, Response, Stream, serve_connection,
};

/// More than the buffers of a socket hold.
const UPLOAD: usize = 8 << 20;
const DOWNLOAD: usize = 10 << 20;

/// Far beyond what a busy machine takes, and below the write timeout.
const LONG: Duration = Duration::from_secs(30);

fn pairs() -> Vec<(Stream, Stream)> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let near = listener.accept().expect("accepted").0;
    let mut pairs = vec![(Stream::from(near), Stream::from(far))];
    #[cfg(unix)]
    {
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        pairs.push((near.into(), far.into()));
    }
    pairs
}

fn head(len: usize) -> Vec<u8> {
    let block = format!("CONTENT_LENGTH\0{len}\0SCGI\x001\0");
    format!("{}:{block},", block.len()).into_bytes()
}

/// Serves a peer that sends its whole request before it reads. Returns what it got.
fn send_then_read<M: 'static>(
    handler: &(impl Handler<M> + Clone),
) -> Vec<(Vec<u8>, Result<(), Error>)> {
    let mut results = Vec::new();
    for (near, mut far) in pairs() {
        let handler = handler.clone();
        let server =
            thread::spawn(move || serve_connection(near, handler, &ConnectionConfig::default()));
        let begun = Instant::now();
        far.write_all(&head(UPLOAD)).expect("sent");
        far.write_all(&vec![b'x'; UPLOAD]).expect("sent");
        let mut response = Vec::new();
        far.read_to_end(&mut response).expect("a response");
        drop(far);
        results.push((response, server.join().expect("no panic")));
        assert!(begun.elapsed() < LONG, "it waited for a deadline");
    }
    results
}

fn assert_whole(results: Vec<(Vec<u8>, Result<(), Error>)>) {
    for (response, result) in results {
        assert!(result.is_ok(), "{result:?}");
        let body = response.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
        assert_eq!(response.len() - body, DOWNLOAD);
    }
}

fn download() -> Body {
    Body::from(vec![b'y'; DOWNLOAD])
}

#[test]
fn unread_body_is_drained_while_the_response_waits() {
    assert_whole(send_then_read(&|_: Request| Response::new(download())));
    // As chunks and by a function, each written before the next.
    assert_whole(send_then_read(&|_: Request| {
        let chunks = (0..DOWNLOAD / 65536).map(|_| Ok::<_, Error>(vec![b'y'; 65536].into()));
        Response::new(Body::from_chunks(chunks))
    }));
    assert_whole(send_then_read(&|_: Request| {
        Response::new(Body::from_writer(|out| out.write_all(&vec![b'y'; DOWNLOAD])))
    }));
}

#[test]
fn body_flows_to_another_thread_while_the_response_waits() {
    let (sender, receiver) = mpsc::channel();
    let handler = move |request: Request| {
        let sender = sender.clone();
        let mut body = request.into_body();
        thread::spawn(move || {
            let mut read = 0;
            while let Some(chunk) = body.chunk().expect("a body") {
                read += chunk.len();
            }
            sender.send(read).expect("someone listens");
        });
        // Its first write waits before the other thread reads.
        Response::new(download())
    };
    assert_whole(send_then_read(&handler));
    for _ in pairs() {
        assert_eq!(receiver.recv_timeout(LONG), Ok(UPLOAD));
    }
}

#[test]
fn body_that_another_thread_drops_is_drained_from_then_on() {
    let handler = |request: Request| {
        let body = request.into_body();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            drop(body);
        });
        Response::new(download())
    };
    assert_whole(send_then_read(&handler));
}

#[test]
fn reader_that_waits_on_another_thread_learns_that_the_response_is_sent() {
    for (near, mut far) in pairs() {
        let (sender, receiver) = mpsc::channel();
        let handler = move |request: Request| {
            let (sender, mut body) = (sender.clone(), request.into_body());
            thread::spawn(move || sender.send(body.chunk()).expect("someone listens"));
            // It waits by then, as a rule; it must not matter.
            thread::sleep(Duration::from_millis(50));
            Response::new("early")
        };
        let server =
            thread::spawn(move || serve_connection(near, handler, &ConnectionConfig::default()));
        far.write_all(&head(100)).expect("sent");
        let mut response = String::new();
        far.read_to_string(&mut response).expect("a response");
        assert!(response.ends_with("early"), "{response}");
        drop(far);
        assert!(server.join().expect("no panic").is_ok());
        let read = receiver.recv_timeout(LONG).expect("it has ended");
        assert!(read.is_err(), "a cut body is not whole: {read:?}");
    }
}

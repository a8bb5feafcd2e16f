//! What a client has after a 101, and a server that works with `Connection`.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;

use scgi_proto::{DecodeError, RequestHead};

use super::{SWITCHING, each, expect, upgrade};
use crate::peers::Peer;

pub(super) fn head(path: &str) -> RequestHead {
    RequestHead::builder("GET", path)
        .param("HTTP_CONNECTION", "Upgrade")
        .param("HTTP_UPGRADE", "echo")
        .build()
}

/// A client of an asynchronous crate: they have the same names.
macro_rules! echoes {
    ($krate:ident, $io:ident, $close:ident, $address:expr, $name:expr) => {{
        use $io::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let client = $krate::Client::connect($address).await.expect($name);
        let request = $krate::Request::new(head("/slow"), "");
        let response = client.request(request).await.expect($name);
        assert_eq!(response.status(), $krate::Status::SWITCHING_PROTOCOLS, "{}", $name);
        let mut io: $krate::Upgraded = response.into_upgraded().expect($name);
        for message in ["one", "two"] {
            io.write_all(message.as_bytes()).await.expect($name);
            io.flush().await.expect($name);
            let mut got = [0; 3];
            io.read_exact(&mut got).await.expect($name);
            assert_eq!(&got, message.as_bytes(), "{}", $name);
        }
        // The other direction is still open.
        io.write_all(b"last").await.expect($name);
        io.$close().await.expect($name);
        let mut rest = Vec::new();
        io.read_to_end(&mut rest).await.expect($name);
        assert_eq!(rest, b"last", "{}", $name);
    }};
}

/// The same on a thread.
fn echoes_on_thread(address: impl scgi_proto::ToAddress, name: &str) {
    use scgi_blocking::{Client, Request, Status, Upgraded};
    let client = Client::connect(address).expect(name);
    let response = client.request(Request::new(head("/slow"), "")).expect(name);
    assert_eq!(response.status(), Status::SWITCHING_PROTOCOLS, "{name}");
    let mut io: Upgraded = response.into_upgraded().expect(name);
    for message in ["one", "two"] {
        io.write_all(message.as_bytes()).expect(name);
        io.flush().expect(name);
        let mut got = [0; 3];
        io.read_exact(&mut got).expect(name);
        assert_eq!(&got, message.as_bytes(), "{name}");
    }
    io.write_all(b"last").expect(name);
    io.shutdown_write().expect(name);
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).expect(name);
    assert_eq!(rest, b"last", "{name}");
}

#[test]
fn clients_have_the_stream_behind_a_101() {
    each(|server| {
        let name = &server.name;
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        macro_rules! all {
            ($address:expr) => {{
                let address = $address;
                runtime.block_on(async { echoes!(scgi_tokio, tokio, shutdown, address, name) });
                async_std::task::block_on(async {
                    echoes!(scgi_async_std, smol, close, address, name);
                });
                smol::block_on(async { echoes!(scgi_async_std, smol, close, address, name) });
                echoes_on_thread(address, name);
            }};
        }
        match (server.address(), server.path()) {
            (Some(address), _) => all!(address),
            (None, Some(path)) => all!(path),
            (None, None) => unreachable!("it is on one of them"),
        }
        server.assert_free_after(4);
    });
}

#[test]
fn a_101_that_a_client_has_not_asked_for_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let server = thread::spawn(move || {
        for _ in 0..4 {
            let (stream, _) = listener.accept().expect("a connection");
            let mut peer = Peer::Tcp(stream).with_patience();
            peer.write_all(SWITCHING).expect("it is taken");
            peer.read_raw();
        }
    });
    let plain = || RequestHead::builder("GET", "/").build();
    let is_refused = |result: Result<(), scgi_proto::Error>| {
        let is_invalid = |error: &DecodeError| matches!(error, DecodeError::InvalidStatus { .. });
        assert!(matches!(&result, Err(scgi_proto::Error::Decode(error)) if is_invalid(error)));
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = scgi_tokio::Client::connect(address).await.expect("it listens");
        is_refused(client.request(scgi_tokio::Request::new(plain(), "")).await.map(drop));
    });
    let on_futures = async || {
        let client = scgi_async_std::Client::connect(address).await.expect("it listens");
        is_refused(client.request(scgi_async_std::Request::new(plain(), "")).await.map(drop));
    };
    async_std::task::block_on(on_futures());
    smol::block_on(on_futures());
    let client = scgi_blocking::Client::connect(address).expect("it listens");
    is_refused(client.request(scgi_blocking::Request::new(plain(), "")).map(drop));
    server.join().expect("no panic");
}

/// A pair of connected sockets, one of them for a runtime.
fn pair(unix: bool) -> (Peer, Socket) {
    if unix {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        (Peer::Unix(ours).with_patience(), Socket::Unix(theirs))
    } else {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let theirs = TcpStream::connect(listener.local_addr().expect("its address"));
        let (ours, _) = listener.accept().expect("a connection");
        (Peer::Tcp(ours).with_patience(), Socket::Tcp(theirs.expect("a connection")))
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn set_nonblocking(&self) {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(true),
            Self::Unix(stream) => stream.set_nonblocking(true),
        }
        .expect("a mode");
    }
}

/// What a front server sends to a program that works with `Connection`, and gets.
fn front(mut peer: Peer, name: &str) {
    peer.write_all(&[&upgrade("/")[..], b"early"].concat()).expect(name);
    expect(&mut peer, SWITCHING, name);
    expect(&mut peer, b"early", name);
    peer.write_all(b"later").expect(name);
    peer.shutdown(Shutdown::Write);
    assert_eq!(peer.read_all(), b"later", "{name}");
}

/// Answers with a 101, and then sends back what comes. A request without an upgrade has none.
macro_rules! connection {
    ($krate:ident, $io:ident, $close:ident, $stream:expr) => {{
        use $io::io::{AsyncReadExt as _, AsyncWriteExt as _};
        use $krate::{Connection, RequestEvent, ResponseEvent, ResponseHead, Status};
        let mut connection = Connection::new($stream, &$krate::ConnectionConfig::default());
        while !matches!(connection.next_event().await?, Some(RequestEvent::End) | None) {}
        let mut connection = connection.into_upgraded().expect_err("nothing is sent");
        let head = ResponseHead::new(Status::SWITCHING_PROTOCOLS).with_field("Upgrade", "echo");
        connection.send(ResponseEvent::Head(head)).await?;
        connection.flush().await?;
        let mut io: $krate::Upgraded = connection.into_upgraded().expect("it is upgraded");
        let mut buf = [0; 64];
        loop {
            let count = io.read(&mut buf).await?;
            if count == 0 {
                break;
            }
            io.write_all(&buf[..count]).await?;
        }
        io.$close().await
    }};
}

fn connection_on_thread<IO>(stream: IO) -> io::Result<()>
where
    IO: io::Read + io::Write + Send + 'static,
{
    use scgi_blocking::{
        Connection, ConnectionConfig, RequestEvent, ResponseEvent, ResponseHead, Status,
    };
    let mut connection = Connection::new(stream, &ConnectionConfig::default());
    while !matches!(connection.next_event()?, Some(RequestEvent::End) | None) {}
    let Err(mut connection) = connection.into_upgraded() else { panic!("nothing is sent") };
    let head = ResponseHead::new(Status::SWITCHING_PROTOCOLS).with_field("Upgrade", "echo");
    connection.send(ResponseEvent::Head(head))?;
    connection.flush()?;
    let Ok(io) = connection.into_upgraded() else { panic!("it is not upgraded") };
    io::copy(&mut &io, &mut &io)?;
    io.shutdown_write()
}

#[test]
fn a_connection_becomes_its_stream_after_a_101() {
    type Run = fn(Socket) -> io::Result<()>;
    fn on_tokio(socket: Socket) -> io::Result<()> {
        socket.set_nonblocking();
        tokio::runtime::Runtime::new()?.block_on(async {
            match socket {
                Socket::Tcp(stream) => {
                    let stream = tokio::net::TcpStream::from_std(stream)?;
                    connection!(scgi_tokio, tokio, shutdown, stream)
                }
                Socket::Unix(stream) => {
                    let stream = tokio::net::UnixStream::from_std(stream)?;
                    connection!(scgi_tokio, tokio, shutdown, stream)
                }
            }
        })
    }
    fn on_async_std(socket: Socket) -> io::Result<()> {
        async_std::task::block_on(async {
            match socket {
                Socket::Tcp(stream) => {
                    let stream = async_std::net::TcpStream::from(stream);
                    connection!(scgi_async_std, smol, close, stream)
                }
                Socket::Unix(stream) => {
                    let stream = async_std::os::unix::net::UnixStream::from(stream);
                    connection!(scgi_async_std, smol, close, stream)
                }
            }
        })
    }
    fn on_smol(socket: Socket) -> io::Result<()> {
        smol::block_on(async {
            match socket {
                Socket::Tcp(stream) => {
                    connection!(scgi_async_std, smol, close, smol::Async::new(stream)?)
                }
                Socket::Unix(stream) => {
                    connection!(scgi_async_std, smol, close, smol::Async::new(stream)?)
                }
            }
        })
    }
    fn on_thread(socket: Socket) -> io::Result<()> {
        match socket {
            Socket::Tcp(stream) => connection_on_thread(stream),
            Socket::Unix(stream) => connection_on_thread(stream),
        }
    }
    let runs: [(&str, Run); 4] = [
        ("tokio", on_tokio),
        ("async-std", on_async_std),
        ("smol", on_smol),
        ("threads", on_thread),
    ];
    for (runtime, run) in runs {
        for unix in [false, true] {
            let name = format!("{runtime}, {}", if unix { "Unix" } else { "TCP" });
            let (peer, socket) = pair(unix);
            thread::scope(|scope| {
                let running = scope.spawn(|| run(socket));
                front(peer, &name);
                running.join().expect("no panic").expect(&name);
            });
        }
    }
}

/// A thread that reads has nothing to wait for once the other one has failed.
#[test]
fn a_server_that_never_reads_ends_both_threads_of_a_client() {
    use scgi_blocking::{Client, ClientConfig, Request, Upgraded};
    let (peer, socket) = pair(false);
    let Socket::Tcp(stream) = socket else { unreachable!("it is TCP") };
    let config = ClientConfig::default().with_write_timeout(std::time::Duration::from_secs(1));
    let answering = thread::spawn(move || {
        let mut peer = peer;
        let mut netstring = vec![0; upgrade("/").len()];
        let _ = peer.read(&mut netstring).expect("a request");
        peer.write_all(SWITCHING).expect("it is taken");
        peer
    });
    let response = Client::new(stream, &config).request(Request::new(head("/"), "")).expect("101");
    let _peer = answering.join().expect("no panic");
    let io: Upgraded = response.into_upgraded().expect("it is upgraded");
    thread::scope(|scope| {
        let reading = scope.spawn(|| (&io).read(&mut [0; 9]));
        let error = loop {
            if let Err(error) = (&io).write_all(&[b'x'; 100_000]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(matches!(reading.join().expect("no panic"), Ok(0) | Err(_)));
    });
    assert!((&io).read(&mut [0; 9]).is_err());
}

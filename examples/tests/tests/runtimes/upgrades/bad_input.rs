//! Input that is large, early or in pieces, and programs that change their mind.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::clients::head;
use super::server::{LONG, LONG_VALUE};
use super::{SWITCHING, answer, each, expect, open, upgrade};
use crate::peers::Peer;

/// The peer takes the head bit by bit.
#[test]
fn a_101_that_the_system_takes_in_pieces_is_complete() {
    each(|server| {
        let name = &server.name;
        let mut peer = server.connect();
        peer.shrink();
        peer.write_all(&[&upgrade("/long")[..], b"hello"].concat()).expect(name);
        thread::sleep(Duration::from_millis(100));
        let lines = format!("X-Long: {LONG_VALUE}\r\n").repeat(LONG);
        let head = format!("Status: 101 Switching Protocols\r\nUpgrade: echo\r\n{lines}\r\n");
        let mut got = vec![0; head.len() + 5];
        for piece in got.chunks_mut(100_000) {
            peer.read_exact(piece).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(got.starts_with(head.as_bytes()), "{name}");
        assert!(got.ends_with(b"hello"), "{name}");
        drop(peer);
        server.assert_free_after(1);
    });
}

/// More than is kept while the program decides: the rest waits at the peer, and nothing is lost.
#[test]
fn a_flood_of_early_bytes_is_kept_in_order() {
    const FLOOD: usize = 8_000_000;
    each(|server| {
        let name = &server.name;
        let mut writer = server.connect();
        let mut reader = writer.another();
        let flood: Vec<u8> = (0..FLOOD).map(|index| (index % 251) as u8).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&upgrade("/slow")).expect(name);
                writer.write_all(&flood).expect(name);
                writer.shutdown(std::net::Shutdown::Write);
            });
            expect(&mut reader, SWITCHING, name);
            assert!(reader.read_all() == flood, "{name}");
        });
        server.assert_free_after(1);
    });
}

#[test]
fn a_program_that_takes_the_upgrade_and_answers_200_is_dropped() {
    each(|server| {
        let name = &server.name;
        let told = answer(&server, &[&upgrade("/changed")[..], b"early"].concat());
        assert!(told.starts_with("Status: 200 OK\r\n"), "{name}: {told}");
        server.assert_free_after(0);
        server.wait_until("the program is not dropped", || {
            server.seen.ended.load(Ordering::SeqCst) == 1
        });
        // Its place is free for an upgrade.
        drop(open(&server, "/echo"));
        server.assert_free_after(1);
    });
}

/// Each client gets a 101 byte by byte, and then what the server has sent together with its end.
#[test]
fn a_101_in_pieces_reaches_the_clients() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let server = thread::spawn(move || {
        for _ in 0..4 {
            let (stream, _) = listener.accept().expect("a connection");
            stream.set_nodelay(true).expect("an option");
            let mut peer = Peer::Tcp(stream).with_patience();
            let mut request = vec![0; 1];
            peer.read_exact(&mut request).expect("a request");
            let (last, first) = SWITCHING.split_last().expect("it is not empty");
            for byte in first {
                peer.write_all(&[*byte]).expect("it is taken");
                thread::sleep(Duration::from_millis(1));
            }
            peer.write_all(&[*last, b'h', b'i']).expect("it is taken");
            peer.shutdown(std::net::Shutdown::Write);
            peer.read_raw();
        }
    });
    macro_rules! client {
        ($krate:ident, $io:ident) => {
            async {
                use $io::io::AsyncReadExt as _;
                let client = $krate::Client::connect(address).await.expect("it listens");
                let response = client.request($krate::Request::new(head("/"), "")).await;
                let mut io = response.expect("a 101").into_upgraded().expect("the stream");
                let mut all = Vec::new();
                io.read_to_end(&mut all).await.expect("an end");
                assert_eq!(all, b"hi");
            }
        };
    }
    tokio::runtime::Runtime::new().expect("a runtime").block_on(client!(scgi_tokio, tokio));
    async_std::task::block_on(client!(scgi_async_std, smol));
    smol::block_on(client!(scgi_async_std, smol));
    let client = scgi_blocking::Client::connect(address).expect("it listens");
    let response = client.request(scgi_blocking::Request::new(head("/"), "")).expect("a 101");
    let mut all = Vec::new();
    response.into_upgraded().expect("the stream").read_to_end(&mut all).expect("an end");
    assert_eq!(all, b"hi");
    server.join().expect("no panic");
}

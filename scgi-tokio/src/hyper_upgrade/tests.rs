//! Pins what hyper does inside, with whichever version is built: `.ci/heavy minimal` runs these tests with the lowest
//! that Cargo.toml allows.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use hyper_util::rt::TokioIo;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};

use super::{LateStream, PendingUpgrade};

/// A pending upgrade, its future, and the two ends of the socket that it gets later.
fn start()
-> (Box<PendingUpgrade<DuplexStream>>, hyper::upgrade::OnUpgrade, DuplexStream, DuplexStream) {
    let (pending, on_upgrade) = PendingUpgrade::new().expect("hyper makes an upgrade");
    let (socket, peer) = tokio::io::duplex(64);
    (pending, on_upgrade, socket, peer)
}

fn poll_now<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn the_program_gets_the_socket_and_the_peer_no_head() {
    let (pending, mut on_upgrade, socket, mut peer) = start();
    // Bytes that the peer sent before.
    peer.write_all(b"early").await.expect("written");
    assert!(poll_now(&mut on_upgrade).is_pending(), "no socket yet");
    pending.complete(socket).expect("handed over");
    let Poll::Ready(upgraded) = poll_now(&mut on_upgrade) else {
        panic!("complete() hands the socket over before it returns")
    };
    let mut stream = TokioIo::new(upgraded.expect("an upgrade"));

    let mut early = [0; 5];
    stream.read_exact(&mut early).await.expect("read");
    assert_eq!(&early, b"early");
    stream.write_all(b"from the program").await.expect("written");
    stream.flush().await.expect("flushed");
    let mut first = [0; 16];
    peer.read_exact(&mut first).await.expect("read");
    assert_eq!(&first, b"from the program", "nothing of hyper's head came before it");

    // A half-close each way.
    stream.shutdown().await.expect("shut down");
    assert_eq!(peer.read(&mut first).await.expect("read"), 0);
    peer.write_all(b"last").await.expect("written");
    drop(peer);
    let mut last = Vec::new();
    stream.read_to_end(&mut last).await.expect("read");
    assert_eq!(last, b"last");
}

/// The program holds the socket itself, so nothing is copied on the way.
#[tokio::test]
async fn the_upgraded_stream_is_the_socket() {
    let (pending, on_upgrade, socket, _peer) = start();
    pending.complete(socket).expect("handed over");
    let upgraded = on_upgrade.await.expect("an upgrade");
    let parts = upgraded.downcast::<TokioIo<LateStream<DuplexStream>>>();
    let parts = parts.expect("the stream that hyper was given");
    assert!(parts.read_buf.is_empty());
    assert!(matches!(parts.io.into_inner(), LateStream::Open { has_written: false, .. }));
}

#[tokio::test]
async fn an_upgrade_that_was_refused_fails() {
    let (pending, on_upgrade, ..) = start();
    drop(pending);
    let error = on_upgrade.await.expect_err("no upgrade");
    assert!(error.is_canceled(), "{error:?}");
}

#[tokio::test]
async fn an_upgrade_that_nobody_takes_closes_the_socket() {
    let (pending, on_upgrade, socket, mut peer) = start();
    drop(on_upgrade);
    pending.complete(socket).expect("hyper does not care");
    assert_eq!(peer.read(&mut [0; 8]).await.expect("read"), 0, "closed, and no byte before");
}

#[tokio::test]
async fn a_task_that_waits_is_woken() {
    let (pending, on_upgrade, socket, mut peer) = start();
    let task = tokio::spawn(async move {
        let mut stream = TokioIo::new(on_upgrade.await.expect("an upgrade"));
        stream.write_all(b"hello").await.expect("written");
    });
    tokio::task::yield_now().await;
    pending.complete(socket).expect("handed over");
    let mut text = String::new();
    peer.read_to_string(&mut text).await.expect("read");
    assert_eq!(text, "hello");
    task.await.expect("no panic");
}

/// Never ready: neither for what hyper writes, nor for its flush.
struct Stuck;

impl AsyncRead for Stuck {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_socket_that_takes_nothing_is_handed_over_all_the_same() {
    let (pending, on_upgrade) = PendingUpgrade::new().expect("hyper makes an upgrade");
    pending.complete(Stuck).expect("handed over");
    let mut stream = TokioIo::new(on_upgrade.await.expect("an upgrade"));
    assert!(poll_now(&mut pin!(stream.write_all(b"x"))).is_pending());
    assert!(poll_now(&mut pin!(stream.flush())).is_pending(), "the program's flush reaches it");
}

/// Many threads take streams at the moment when hyper hands them over.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn another_thread_never_finds_a_stream_without_its_socket() {
    for round in 0..2000_u32 {
        let (pending, on_upgrade, socket, mut peer) = start();
        let task = tokio::spawn(async move {
            let mut stream = TokioIo::new(on_upgrade.await.expect("an upgrade"));
            stream.write_u32(round).await.expect("written");
            stream.read_u32().await.expect("read")
        });
        pending.complete(socket).expect("handed over");
        assert_eq!(peer.read_u32().await.expect("read"), round);
        peer.write_u32(round + 1).await.expect("written");
        assert_eq!(task.await.expect("no panic"), round + 1);
    }
}

//! Upgrades: a program takes the connection after a 101.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use scgi_proto::driver::{Advice, Body, Upgraded};
use scgi_proto::{BoxError, Error, IntoResponse, Request, Response, Status};

use super::connection;
use crate::script::{Done, Read, Script, finish, poll};

const UPGRADE: Read = Read::Bytes(
    b"91:CONTENT_LENGTH\x000\x00SCGI\x001\x00SERVER_PROTOCOL\x00HTTP/1.1\x00\
      HTTP_CONNECTION\x00Upgrade\x00HTTP_UPGRADE\x00echo\x00,",
);
const SWITCHING: &str = "Status: 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n";

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

async fn read(io: &mut Upgraded, buf: &mut [u8]) -> io::Result<usize> {
    std::future::poll_fn(|cx| io.poll_read(cx, buf)).await
}

async fn write(io: &mut Upgraded, bytes: &[u8]) -> io::Result<usize> {
    std::future::poll_fn(|cx| io.poll_write(cx, bytes, &[])).await
}

/// Sends back each piece in capitals, until the end.
async fn echo(request: Request<Body>) -> Response<Body> {
    assert!(request.upgrade().is_some_and(|offer| offer.offers("echo")));
    Response::switching_protocols("echo").with_upgrade(async |mut io: Upgraded| {
        let mut buf = [0; 16];
        loop {
            let count = read(&mut io, &mut buf).await?;
            if count == 0 {
                return io::Result::Ok(());
            }
            write(&mut io, &buf[..count].to_ascii_uppercase()).await?;
        }
    })
}

async fn panics_at_once(_: Upgraded) {
    panic!("the program runs");
}

/// Answers, and runs the program of the upgrade.
async fn answer_upgraded<F>(
    script: &Script,
    call: impl FnOnce(Request<Body>) -> F,
) -> Result<(), Error>
where
    F: Future<Output: IntoResponse<Body>>,
{
    let mut connection = connection(script);
    if let Some(program) = connection.answer(call).await? {
        program.run_on(connection).await;
    }
    Ok(())
}

/// The connection after the 101.
fn upgraded(script: &Script) -> Upgraded {
    let mut connection = connection(script);
    let takes = |_: Request<Body>| async {
        Response::switching_protocols("echo").with_upgrade(async |_: Upgraded| ())
    };
    assert!(matches!(finish(connection.answer(takes)), Ok(Some(_))));
    connection.into_upgraded().expect("it is upgraded")
}

#[test]
fn the_program_gets_what_came_before_and_after_the_101() {
    let script = Script::new([UPGRADE, Read::Bytes(b"before"), Read::Wait]);
    let mut answer = pin!(answer_upgraded(&script, async |request| {
        // The bytes that come while the program decides are kept.
        let mut first = true;
        std::future::poll_fn(|_| match std::mem::take(&mut first) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
        echo(request).await
    }));
    assert!(poll(answer.as_mut()).is_pending());
    assert_eq!(script.written(), "");
    assert!(poll(answer.as_mut()).is_pending());
    assert_eq!(script.written(), format!("{SWITCHING}BEFORE"));
    script.then([Read::Bytes(b"after"), Read::Fails(io::ErrorKind::Interrupted), Read::End]);
    assert!(matches!(poll(answer.as_mut()), Poll::Ready(Ok(()))));
    assert_eq!(script.written(), format!("{SWITCHING}BEFOREAFTER"));
    assert!(script.is_dropped() || !script.was_advised(Advice::ResetOnClose));
}

#[test]
fn a_flood_before_the_101_is_read_up_to_16_kib() {
    const FLOOD: Read = Read::Bytes(&[b'x'; 40_000]);
    let script = Script::new([UPGRADE, FLOOD]);
    let mut connection = connection(&script);
    let mut answer = pin!(connection.answer(async |_: Request<Body>| {
        std::future::pending::<()>().await;
        Response::<Body>::new("")
    }));
    assert!(poll(answer.as_mut()).is_pending());
    assert_eq!(script.reads_left(), 1, "the rest waits");
    assert!(script.read_room() <= 16 * 1024);
}

#[test]
fn a_101_in_pieces_and_to_a_peer_that_does_not_take_it() {
    let script = Script::new([UPGRADE]);
    script.take_at_most(Some(7));
    let mut answer = pin!(answer_upgraded(&script, echo));
    assert!(poll(answer.as_mut()).is_pending());
    assert_eq!(script.written(), SWITCHING);

    let script = Script::new([UPGRADE]);
    script.take_at_most(None);
    let mut answer = pin!(answer_upgraded(&script, echo));
    assert!(poll(answer.as_mut()).is_pending());
    script.pass(60);
    assert!(matches!(poll(answer.as_mut()), Poll::Ready(Err(Error::Timeout(_)))));
    assert_eq!(script.written(), "");
}

#[test]
fn a_101_that_cannot_be_sent_is_answered_with_500() {
    const GET: Read = Read::Bytes(b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,");
    let takes = |_: Request<Body>| async {
        Response::switching_protocols("echo").with_upgrade(panics_at_once)
    };
    let takes_not = |_: Request<Body>| async { Response::<Body>::switching_protocols("echo") };
    let script = Script::new([GET]);
    assert!(matches!(finish(connection(&script).answer(takes)), Ok(None)));
    assert!(script.written().starts_with("Status: 500"), "{}", script.written());
    let script = Script::new([GET]);
    assert!(matches!(finish(connection(&script).answer(takes_not)), Ok(None)));
    assert!(script.written().starts_with("Status: 500"), "no one asked for it");
    let script = Script::new([UPGRADE]);
    assert!(matches!(finish(connection(&script).answer(takes_not)), Ok(None)));
    assert!(script.written().starts_with("Status: 500"), "no program takes it");
}

#[test]
fn a_program_of_another_response_is_dropped() {
    let script = Script::new([UPGRADE, Read::Bytes(b"behind"), Read::Wait, Read::End]);
    let declines = |_: Request<Body>| async {
        Response::switching_protocols("echo").with_upgrade(panics_at_once).with_status(Status::OK)
    };
    assert!(matches!(finish(connection(&script).answer(declines)), Ok(None)));
    let text = script.written();
    // Only a 101 and a 426 may have Upgrade.
    assert!(text.starts_with("Status: 500"), "{text}");
    let script = Script::new([UPGRADE]);
    let declines =
        |_: Request<Body>| async { Response::<Body>::new("no").with_upgrade(panics_at_once) };
    assert!(matches!(finish(connection(&script).answer(declines)), Ok(None)));
    assert_eq!(script.written(), "Status: 200 OK\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a_program_that_panics_or_fails_closes_the_connection() {
    let panics = async |_: Request<Body>| {
        Response::<Body>::switching_protocols("echo").with_upgrade(|_: Upgraded| {
            assert!(std::env::args().count() == 0, "before its future");
            async {}
        })
    };
    let panics_late = async |_: Request<Body>| {
        Response::<Body>::switching_protocols("echo").with_upgrade(panics_at_once)
    };
    let fails = async |_: Request<Body>| {
        Response::<Body>::switching_protocols("echo")
            .with_upgrade(async |_: Upgraded| Err::<(), BoxError>("no".into()))
    };
    let script = Script::new([UPGRADE]);
    assert!(finish(answer_upgraded(&script, panics)).is_ok());
    assert!(script.is_dropped() && script.written() == SWITCHING);
    let script = Script::new([UPGRADE]);
    assert!(finish(answer_upgraded(&script, panics_late)).is_ok());
    assert!(script.is_dropped() && script.written() == SWITCHING);
    let script = Script::new([UPGRADE]);
    assert!(finish(answer_upgraded(&script, fails)).is_ok());
    assert!(script.is_dropped() && script.written() == SWITCHING);
}

#[test]
fn a_client_that_leaves_before_the_101_cancels_the_handler() {
    let script = Script::new([UPGRADE, Read::Wait, Read::End]);
    let mut connection = connection(&script);
    let never = async |_: Request<Body>| std::future::pending::<Response<Body>>().await;
    assert!(matches!(finish(connection.answer(never)), Err(Error::Closed)));
    assert!(connection.into_upgraded().is_err());
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_peer_that_never_reads_ends_both_directions_after_the_write_timeout() {
    let script = Script::new([UPGRADE]);
    let mut io = upgraded(&script);
    script.take_at_most(None);
    let woken = Arc::new(Count::default());
    let reader = Waker::from(Arc::clone(&woken));
    assert!(io.poll_read(&mut Context::from_waker(&reader), &mut [0; 9]).is_pending());
    assert!(io.poll_write(&mut cx(), b"x", b"").is_pending());
    script.pass(59);
    assert!(io.poll_write(&mut cx(), b"x", b"").is_pending());
    assert_eq!(woken.0.load(Relaxed), 0);
    script.pass(1);
    let late = io.poll_write(&mut cx(), b"x", b"");
    let is_late = |kind| kind == io::ErrorKind::TimedOut;
    assert!(matches!(late, Poll::Ready(Err(error)) if is_late(error.kind())));
    assert_eq!(woken.0.load(Relaxed), 1, "the reader has nothing to wait for");
    assert!(matches!(io.poll_read(&mut cx(), &mut [0; 9]), Poll::Ready(Err(_))));
    assert!(matches!(io.poll_flush(&mut cx()), Poll::Ready(Err(_))));
    drop(io);
    assert!(script.was_advised(Advice::ResetOnClose));
}

#[test]
fn a_write_that_gets_on_renews_its_deadline_and_reading_has_none() {
    let script = Script::new([UPGRADE]);
    let mut io = upgraded(&script);
    for _ in 0..3 {
        script.take_at_most(None);
        assert!(io.poll_write(&mut cx(), b"x", b"").is_pending());
        script.pass(59);
        script.take_at_most(Some(1));
        assert!(matches!(io.poll_write(&mut cx(), b"", b"xy"), Poll::Ready(Ok(1))));
    }
    script.pass(100_000);
    assert!(io.poll_read(&mut cx(), &mut [0; 9]).is_pending());
    assert!(matches!(io.poll_write(&mut cx(), b"", b""), Poll::Ready(Ok(0))));
    assert!(matches!(io.poll_read(&mut cx(), &mut []), Poll::Ready(Ok(0))));
    script.let_flush_wait(true);
    assert!(io.poll_flush(&mut cx()).is_pending());
    script.pass(60);
    assert!(matches!(io.poll_flush(&mut cx()), Poll::Ready(Err(_))), "a flush that waits");
}

#[test]
fn a_half_close_is_passed_on_and_the_other_direction_stays() {
    let script = Script::new([UPGRADE]);
    let mut io = upgraded(&script);
    assert!(matches!(io.poll_shutdown(&mut cx()), Poll::Ready(Ok(()))));
    assert_eq!(script.done().last(), Some(&Done::ShutDown));
    script.then([Read::Bytes(b"more"), Read::End]);
    let mut buf = [0; 9];
    assert!(matches!(io.poll_read(&mut cx(), &mut buf), Poll::Ready(Ok(4))));
    assert!(matches!(io.poll_read(&mut cx(), &mut buf), Poll::Ready(Ok(0))));
    drop(io);
    assert!(script.is_dropped());
    assert!(!script.was_advised(Advice::ResetOnClose), "it has ended as it should");
}

#[test]
fn errors_of_the_stream_reach_the_program() {
    let script = Script::new([UPGRADE]);
    let mut io = upgraded(&script);
    script.then([Read::Fails(io::ErrorKind::ConnectionReset)]);
    assert!(matches!(io.poll_read(&mut cx(), &mut [0; 9]), Poll::Ready(Err(_))));
    script.fail_next_write(io::ErrorKind::BrokenPipe);
    assert!(matches!(io.poll_write(&mut cx(), b"x", b""), Poll::Ready(Err(_))));
}

//! Flow and time on the client's side: turns, early and cut responses, and deadlines.

use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use scgi_proto::driver::{Body, Client, Source, connect_first, connect_in_time};
use scgi_proto::{
    ClientConfig, DecodeError, Error, Request, RequestEvent, RequestHead, ResponseEvent, Timeout,
};

use crate::script::{Read, Script, finish, poll};

const OK: Read = Read::Bytes(b"Status: 200 OK\r\n\r\n");

fn client(script: &Script) -> Client<Script, Script> {
    Client::new(script.clone(), script.clone(), &ClientConfig::default())
}

fn request(body: impl Into<Body>) -> Request<Body> {
    Request::new(RequestHead::builder("POST", "/").build(), body)
}

/// Notes whether it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls once; returns the result, and whether the future wants to be polled again at once.
fn poll_once<F: Future>(future: Pin<&mut F>) -> (Poll<F::Output>, bool) {
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let polled = future.poll(&mut Context::from_waker(&waker));
    (polled, flag.0.load(Ordering::SeqCst))
}

/// A source that always has a chunk.
struct Endless {
    chunk: Bytes,
    taken: Arc<AtomicUsize>,
    blocks: bool,
}

impl Source for Endless {
    fn poll_chunk(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        self.taken.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(self.chunk.clone())))
    }

    fn blocks(&self) -> bool {
        self.blocks
    }
}

fn endless(len: usize, blocks: bool) -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::<AtomicUsize>::default();
    let source = Endless { chunk: vec![b'x'; len].into(), taken: Arc::clone(&taken), blocks };
    (Body::from_source(source, Some(u64::MAX / 2)), taken)
}

#[test]
fn a_source_that_never_waits_leaves_its_turn_to_the_response_and_the_runtime() {
    for (len, blocks, chunks_of_a_turn) in
        [(16 * 1024, false, 32), (10, false, 32), (0, false, 16), (16 * 1024, true, 1)]
    {
        let (body, taken) = endless(len, blocks);
        let script = Script::new([Read::Wait, Read::Wait, OK]);
        let mut call = pin!(client(&script).request(request(body), script.clone()));
        for turn in 1..=2 {
            let (polled, is_woken) = poll_once(call.as_mut());
            assert!(polled.is_pending() && is_woken, "{len}, turn {turn}");
            assert_eq!(script.reads_left(), 3 - turn, "the response was looked for");
            let taken = taken.load(Ordering::SeqCst);
            assert!(taken <= turn * chunks_of_a_turn, "{len}, turn {turn}: {taken} chunks");
        }
        let (polled, _) = poll_once(call.as_mut());
        assert!(matches!(polled, Poll::Ready(Ok(_))), "{len}: the early response");
    }
}

#[test]
fn a_chunk_that_is_large_leaves_its_turn() {
    let script = Script::new([Read::Wait, OK]);
    script.take_at_most(Some(64 * 1024));
    let mut call = pin!(client(&script).request(request(vec![b'x'; 4 << 20]), script.clone()));
    let (polled, is_woken) = poll_once(call.as_mut());
    assert!(polled.is_pending() && is_woken);
    let written = script.written().len();
    assert!((512 * 1024..600 * 1024).contains(&written), "{written}");
    assert!(poll_once(call.as_mut()).0.is_ready(), "the early response");
}

#[test]
fn a_chunk_leaves_before_a_source_that_blocks_is_asked_again() {
    let (body, taken) = endless(10, true);
    let script = Script::new([]);
    let mut call = pin!(client(&script).request(request(body), script.clone()));
    for turn in 1..=3 {
        assert!(poll_once(call.as_mut()).1, "its turn is over");
        assert_eq!(taken.load(Ordering::SeqCst), turn);
        let chunks = script.written().matches("xxxxxxxxxx").count();
        assert_eq!(chunks, turn, "it has left");
    }
}

/// The chunks of the response to `request`, and how they end.
fn chunks(script: &Script, is_unix: bool) -> (Vec<u8>, Result<(), Error>) {
    let mut client = client(script);
    if is_unix {
        client = client.over_unix_socket();
    }
    let (body, _) = endless(10_000, false);
    let mut came = Vec::new();
    let result = finish(async {
        let response = client.request(request(body), script.clone()).await?;
        let mut body: Body = response.into_body();
        while let Some(chunk) = poll_fn(|cx| body.poll_chunk(cx)).await {
            came.extend_from_slice(&chunk?);
        }
        Ok(())
    });
    (came, result)
}

#[test]
fn what_came_is_handed_out_before_a_cut_response_is_an_error() {
    let reset = Read::Fails(ErrorKind::ConnectionReset);
    let cut =
        |result: &Result<(), Error>| matches!(result, Err(Error::Decode(DecodeError::ResponseCut)));
    // How writing failed, how reading ends, whether it is a Unix socket; whether that is a cut.
    let linux = cfg!(target_os = "linux");
    for (write, end, is_unix, is_cut) in [
        (None, Read::End, false, false),
        (None, reset, false, true),
        // A failed write has used up the reset.
        (Some(ErrorKind::ConnectionReset), Read::End, false, true),
        // The end came before the reset.
        (Some(ErrorKind::BrokenPipe), Read::End, false, !linux),
        (Some(ErrorKind::TimedOut), Read::End, false, true),
        (Some(ErrorKind::WriteZero), Read::End, false, true),
        // There a reset says only that some of the request was not read.
        (None, reset, true, false),
        (Some(ErrorKind::BrokenPipe), reset, true, false),
        (Some(ErrorKind::ConnectionReset), Read::End, true, false),
    ] {
        let script = Script::new([OK, Read::Bytes(b"some"), end]);
        if let Some(kind) = write {
            script.fail_next_write(kind);
        }
        let (came, result) = chunks(&script, is_unix);
        let case = format!("{write:?}, {end:?}, unix {is_unix}: {result:?}");
        assert_eq!(came, b"some", "{case}");
        assert_eq!(cut(&result), is_cut, "{case}");
        assert_eq!(result.is_ok(), !is_cut, "{case}");
    }
    // With a Content-Length it is complete, whatever follows.
    let head = Read::Bytes(b"Content-Length: 4\r\n\r\n");
    let script = Script::new([head, Read::Bytes(b"some"), reset]);
    script.fail_next_write(ErrorKind::ConnectionReset);
    let (came, result) = chunks(&script, false);
    assert!(came == b"some" && result.is_ok(), "{result:?}");
    // Another failure of the stream is named.
    let script = Script::new([OK, Read::Bytes(b"some"), Read::Fails(ErrorKind::HostUnreachable)]);
    let (came, result) = chunks(&script, false);
    assert_eq!(came, b"some");
    assert!(matches!(result, Err(Error::Io(error)) if error.kind() == ErrorKind::HostUnreachable));
}

#[test]
fn a_failed_source_ends_the_call_and_closes_the_connection() {
    struct Failing(u8);
    impl Source for Failing {
        fn poll_chunk(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Bytes, Error>>> {
            self.0 += 1;
            match self.0 {
                1 => Poll::Ready(Some(Ok("x".into()))),
                2 => Poll::Pending,
                _ => Poll::Ready(Some(Err(Error::Body("broken".into())))),
            }
        }
    }
    let script = Script::new([OK, Read::Bytes(b"some"), Read::Wait]);
    let body = Body::from_source(Failing(0), Some(10));
    let response = finish(client(&script).request(request(body), script.clone()));
    let mut body: Body = response.expect("an early response").into_body();
    let mut chunk = || poll(pin!(poll_fn(|cx| body.poll_chunk(cx))));
    assert!(matches!(chunk(), Poll::Ready(Some(Err(Error::Body(_))))));
    assert!(script.is_dropped(), "the connection is closed");
    for _ in 0..2 {
        assert!(matches!(chunk(), Poll::Ready(Some(Err(Error::Closed)))));
    }
}

#[test]
fn a_piece_that_waits_reads_ahead_up_to_a_bound() {
    static LARGE: [u8; 200_000] = [b'a'; 200_000];
    let script = Script::new([OK, Read::Bytes(&LARGE), Read::End]);
    script.take_at_most(None);
    let mut client = client(&script);
    let flush = |client: &mut Client<Script, Script>| finish(poll_fn(|cx| client.poll_flush(cx)));
    let head = RequestHead::builder("POST", "/").content_length(6).build();
    client.send(RequestEvent::Head(head)).expect("a head");
    client.send(RequestEvent::Body("hello!".into())).expect("the body");
    for _ in 0..2 {
        assert!(matches!(flush(&mut client), Err(Error::ResponseUnread)));
    }
    let next = |client: &mut Client<Script, Script>| {
        finish(poll_fn(|cx| client.poll_next_event(cx))).expect("legal")
    };
    assert!(matches!(next(&mut client), Some(ResponseEvent::Head(_))));
    let mut came = 0;
    while came < 100_000 {
        let Some(ResponseEvent::Body(chunk)) = next(&mut client) else { panic!("a chunk") };
        assert!(came > 0 || (64 * 1024..80 * 1024).contains(&chunk.len()), "{}", chunk.len());
        came += chunk.len();
    }
    assert_eq!(script.written(), "", "nothing was taken yet");
    script.take_at_most(Some(usize::MAX));
    flush(&mut client).expect("it is taken");
    assert!(script.written().ends_with(",hello!"), "nothing is lost");
    client.send(RequestEvent::End).expect("all of it");
    loop {
        match next(&mut client) {
            Some(ResponseEvent::Body(chunk)) => came += chunk.len(),
            end => {
                assert_eq!((end, came), (Some(ResponseEvent::End), LARGE.len()));
                break;
            }
        }
    }
}

#[test]
fn each_wait_has_its_deadline_and_its_error() {
    let late = |script: &Script, body: Body, passes: u64| {
        let mut call = pin!(async {
            let response = client(script).request(request(body), script.clone()).await?;
            response.into_body().collect(1000).await
        });
        assert!(poll(call.as_mut()).is_pending());
        script.pass(passes - 1);
        assert!(poll(call.as_mut()).is_pending(), "it has a second more");
        script.pass(1);
        match poll(call.as_mut()) {
            Poll::Ready(Err(Error::Timeout(timeout))) => timeout,
            other => panic!("{other:?}"),
        }
    };
    let script = Script::new([]);
    script.take_at_most(None);
    assert_eq!(late(&script, "hello".into(), 60), Timeout::RequestWrite);
    assert_eq!(late(&Script::new([]), "hello".into(), 60), Timeout::ResponseHead);
    let body = Script::new([Read::Bytes(b"Content-Length: 100\r\n\r\nfour")]);
    assert_eq!(late(&body, "hello".into(), 60), Timeout::ResponseBody);
    let held_back = Script::new([]);
    held_back.let_flush_wait(true);
    assert_eq!(late(&held_back, "hello".into(), 60), Timeout::RequestWrite);
}

/// A source that has a byte whenever the flag is set, and keeps the waker of anyone who waits for it.
struct Slow(Arc<Mutex<(bool, Option<Waker>)>>);

impl Source for Slow {
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let (has_byte, waker) = &mut *self.0.lock().expect("no panic");
        if std::mem::take(has_byte) {
            return Poll::Ready(Some(Ok("x".into())));
        }
        *waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[test]
fn an_upload_may_take_as_long_as_its_source() {
    let script = Script::new([]);
    let slow = Arc::<Mutex<(bool, Option<Waker>)>>::default();
    let body = Body::from_source(Slow(Arc::clone(&slow)), Some(1000));
    let mut call = pin!(client(&script).request(request(body), script.clone()));
    for _ in 0..10 {
        assert!(poll(call.as_mut()).is_pending());
        script.pass(1000);
        let mut slow = slow.lock().expect("no panic");
        slow.0 = true;
        slow.1.take().expect("it is waited for").wake();
    }
    // The server takes no more.
    script.take_at_most(None);
    assert!(poll(call.as_mut()).is_pending());
    script.pass(60);
    let late = poll(call.as_mut());
    assert!(matches!(late, Poll::Ready(Err(Error::Timeout(Timeout::RequestWrite)))));
}

#[test]
fn the_whole_call_ends_although_bytes_flow() {
    let config = ClientConfig::default().with_call_timeout(Duration::from_secs(100));
    let script = Script::new([OK]);
    let client = Client::new(script.clone(), script.clone(), &config);
    let response = finish(client.request(request("hi"), script.clone())).expect("a response");
    let mut body: Body = response.into_body();
    for second in 0..=100 {
        script.then([Read::Bytes(b"x")]);
        match poll(pin!(poll_fn(|cx| body.poll_chunk(cx)))) {
            Poll::Ready(Some(Ok(_))) => assert!(second < 100),
            Poll::Ready(Some(Err(Error::Timeout(Timeout::Call)))) => assert_eq!(second, 100),
            other => panic!("{other:?}"),
        }
        script.pass(1);
    }
    assert!(script.is_dropped());
}

#[test]
fn connecting_has_its_deadline() {
    let seconds = Duration::from_secs;
    let config = ClientConfig::default();
    for (config, passes, timeout) in [
        (config, 10, Timeout::Connect),
        (config.with_connect_timeout(seconds(3)), 3, Timeout::Connect),
        (config.with_call_timeout(seconds(2)), 2, Timeout::Call),
    ] {
        let clock = Script::new([]);
        let mut connecting =
            pin!(connect_in_time(clock.clone(), &config, pending::<std::io::Result<()>>()));
        assert!(poll_once(connecting.as_mut()).1, "the runtime may have it already");
        clock.pass(passes - 1);
        assert!(poll(connecting.as_mut()).is_pending());
        clock.pass(1);
        match poll(connecting.as_mut()) {
            Poll::Ready(Err(Error::Timeout(found))) => assert_eq!(found, timeout),
            other => panic!("{other:?}"),
        }
    }
    let clock = Script::new([]);
    let refused =
        connect_in_time(clock, &config, ready(Err::<(), _>(ErrorKind::ConnectionRefused.into())));
    assert!(matches!(finish(refused), Err(Error::Io(_))));
}

#[test]
fn addresses_of_a_name_are_tried_one_beside_the_other() {
    let address = |n: u8| SocketAddr::from(([127, 0, 0, n], 1));
    // What becomes of an attempt: it never ends, fails, or succeeds.
    for (fates, connected, began) in [
        ("w+", Ok(2), 2),
        ("ww+", Ok(3), 3),
        ("-+", Ok(2), 2),
        ("+w", Ok(1), 1),
        ("--", Err(ErrorKind::ConnectionRefused), 2),
    ] {
        let begun = Cell::new(0);
        let connect = |to: SocketAddr| {
            begun.set(begun.get() + 1);
            let SocketAddr::V4(to) = to else { panic!("{to}") };
            let number = to.ip().octets()[3];
            let fate = fates.as_bytes()[usize::from(number) - 1];
            async move {
                match fate {
                    b'w' => pending().await,
                    b'-' => Err(ErrorKind::ConnectionRefused.into()),
                    _ => Ok(number),
                }
            }
        };
        let delays = Cell::new(Duration::ZERO);
        let delay = |time| {
            delays.set(delays.get() + time);
            ready(())
        };
        let addresses: Vec<_> = (1..=fates.len() as u8).map(address).collect();
        let result = finish(connect_first(addresses, connect, delay));
        assert_eq!(result.map_err(|error| error.kind()), connected, "{fates}");
        assert_eq!(begun.get(), began, "{fates}");
        assert_eq!(delays.get().as_millis() % 250, 0, "{fates}");
    }
    let none = finish(connect_first([], |_| pending::<std::io::Result<()>>(), |_| ready(())));
    assert_eq!(none.map_err(|error| error.kind()), Err(ErrorKind::NotFound));
}

//! The smaller machines: the client's call, the body pipe, and the counters.

#![cfg(feature = "std")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use scgi_proto::driver::{Clock, Demand, Registry, body_pipe};
use scgi_proto::{
    ClientConfig, ClientExchange, ConnectionConfig, Credentials, EncodeError, Error, Peer,
    RequestEvent, RequestHead, ResponseEvent, ServerExchange, Status,
};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn waker() -> (Arc<Count>, Waker) {
    let count = Arc::<Count>::default();
    (Arc::clone(&count), count.into())
}

fn woken(count: &Count) -> usize {
    count.0.load(Ordering::SeqCst)
}

fn post(len: u64) -> RequestEvent {
    RequestEvent::Head(RequestHead::builder("POST", "/").build().with_content_length(len))
}

fn write(call: &mut ClientExchange, at_most: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while call.wants_write() {
        let (first, second) = call.pending();
        let some = if first.is_empty() { second } else { first };
        let some = some[..some.len().min(at_most)].to_vec();
        call.handle_written(some.len());
        all.extend(some);
    }
    all
}

#[test]
fn a_call() {
    for chunk in [1_usize, 4096, 4097, 5000] {
        let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
        call.send(post(chunk as u64 * 3)).expect("queued");
        assert!(!call.wants_write(), "the head waits for the first chunk");
        for byte in [b'a', b'b', b'c'] {
            call.send(RequestEvent::Body(vec![byte; chunk].into())).expect("queued");
        }
        call.send(RequestEvent::End).expect("queued");
        let all = write(&mut call, 700);
        let body = [vec![b'a'; chunk], vec![b'b'; chunk], vec![b'c'; chunk]].concat();
        assert!(all.ends_with(&[b",", &body[..]].concat()), "{chunk}");
    }
}

#[test]
fn a_large_chunk_of_a_call_is_not_copied() {
    for (len, copied) in [(4096, true), (4097, false)] {
        let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
        call.send(post(len)).expect("queued");
        call.send(RequestEvent::Body(vec![b'x'; len as usize].into())).expect("queued");
        assert_eq!(call.pending().1.is_empty(), copied, "{len}");
    }
}

/// A call whose request is written, and what has come of its response.
fn answered(request: RequestHead, response: &[u8]) -> ClientExchange {
    let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
    call.send(RequestEvent::Head(request)).expect("queued");
    call.send(RequestEvent::End).expect("queued");
    write(&mut call, 1000);
    call.buffer_mut().extend_from_slice(response);
    call.handle_read(response.len());
    call
}

#[test]
fn a_body_that_has_come_with_the_head_is_taken_whole() {
    let whole = |method, response: &[u8]| {
        let mut call = answered(RequestHead::builder(method, "/").build(), response);
        assert_eq!((call.take_whole_body(), call.body_remaining()), (None, None), "no head yet");
        assert!(matches!(call.next_event(), Ok(Some(ResponseEvent::Head(_)))));
        let (remaining, body) = (call.body_remaining(), call.take_whole_body());
        if body.is_none() {
            // Nothing has happened: what has come is there.
            assert_eq!(call.body_remaining(), remaining);
            let Ok(Some(ResponseEvent::Body(rest))) = call.next_event() else { panic!("lost") };
            assert!(response.ends_with(&rest));
        }
        (remaining, body.map(|body| String::from_utf8_lossy(&body).into_owned()))
    };
    assert_eq!(whole("GET", b"Content-Length: 3\n\nabc"), (Some(3), Some("abc".into())));
    assert_eq!(whole("GET", b"Content-Length: 3\n\nabcd"), (Some(3), Some("abc".into())));
    assert_eq!(whole("GET", b"Content-Length: 3\n\nab"), (Some(3), None));
    assert_eq!(whole("GET", b"Content-Length: 0\n\n"), (Some(0), Some(String::new())));
    assert_eq!(whole("GET", b"Status: 204 No Content\n\n"), (Some(0), Some(String::new())));
    assert_eq!(whole("HEAD", b"Content-Length: 3\n\n"), (Some(0), Some(String::new())));
    assert_eq!(whole("GET", b"Status: 200 OK\n\nabc"), (None, None), "more may come");
}

#[test]
fn a_call_that_is_not_written_goes_on_although_the_response_is_there() {
    let respond = |call: &mut ClientExchange| {
        call.buffer_mut().extend_from_slice(b"Content-Length: 2\n\nno");
        call.handle_read(21);
        assert!(matches!(call.next_event(), Ok(Some(ResponseEvent::Head(_)))));
    };
    let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
    call.send(post(4)).expect("queued");
    call.send(RequestEvent::Body("ab".into())).expect("queued");
    write(&mut call, 1000);
    respond(&mut call);
    assert_eq!(call.take_whole_body(), None, "the request has not ended");
    call.send(RequestEvent::Body("cd".into())).expect("queued");
    call.send(RequestEvent::End).expect("queued");
    assert_eq!(call.take_whole_body(), None, "its end is not written");
    write(&mut call, 1000);
    assert_eq!(call.take_whole_body().as_deref(), Some(&b"no"[..]));
    // Of one that no one takes, nothing is left to write.
    let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
    call.send(post(4)).expect("queued");
    call.handle_write_failed();
    respond(&mut call);
    assert_eq!(call.take_whole_body().as_deref(), Some(&b"no"[..]));
}

#[test]
fn a_response_that_comes_in_two_reads() {
    let mut call = answered(RequestHead::builder("GET", "/").build(), b"Content-Le");
    assert_eq!(call.next_event(), Ok(None));
    call.unfilled()[..11].copy_from_slice(b"ngth: 2\n\nno");
    call.handle_read(11);
    assert!(matches!(call.next_event(), Ok(Some(ResponseEvent::Head(_)))));
    assert_eq!(call.take_whole_body().as_deref(), Some(&b"no"[..]));
}

#[test]
fn a_response_is_over_at_its_last_byte() {
    let mut call = answered(RequestHead::builder("GET", "/").build(), b"Content-Length: 2\n\nn");
    while call.next_event().expect("legal").is_some() {}
    assert!(!call.is_response_over());
    call.buffer_mut().extend_from_slice(b"o");
    call.handle_read(1);
    while call.next_event().expect("legal").is_some() {}
    assert!(call.is_response_over());
}

#[test]
fn a_call_that_is_flushed() {
    let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
    call.send(post(1)).expect("queued");
    call.flush();
    assert!(write(&mut call, 10).ends_with(b","));
    assert!(call.send(post(1)).is_err());
    let too_long = call.send(RequestEvent::Body("ab".into()));
    assert_eq!(too_long, Err(EncodeError::BodyTooLong { excess: 1 }));
    assert_eq!(call.send(RequestEvent::End), Err(EncodeError::BodyTooShort { missing: 1 }));
}

#[test]
fn a_server_that_answers_before_it_has_read() {
    let mut call = ClientExchange::new(&ClientConfig::default(), Duration::ZERO);
    call.send(post(10)).expect("queued");
    // Room for a read is never what is still to be written.
    assert!(call.buffer_mut().is_empty() && call.pending().0.ends_with(b","));
    call.send(RequestEvent::Body("hello".into())).expect("queued");
    call.handle_write_failed();
    assert!(!call.wants_write() && call.pending() == (&b""[..], &b""[..]));
    // What follows is taken and goes nowhere.
    call.send(RequestEvent::Body("world".into())).expect("taken");
    call.send(RequestEvent::End).expect("taken");
    assert!(!call.wants_write());
    call.buffer_mut().extend_from_slice(b"Status: 413 No\r\n\r\n");
    call.handle_read(18);
    let Ok(Some(ResponseEvent::Head(head))) = call.next_event() else { panic!("no head") };
    assert_eq!(head.status(), Status::CONTENT_TOO_LARGE);
    assert_eq!(call.next_event(), Ok(None));
    call.handle_read(0);
    assert_eq!(call.next_event(), Ok(Some(ResponseEvent::End)));
}

#[test]
fn a_pipe_moves_one_chunk_at_a_time() {
    let (reader_count, reader_waker) = waker();
    let (writer_count, writer_waker) = waker();
    let mut read = Context::from_waker(&reader_waker);
    let mut write = Context::from_waker(&writer_waker);
    let (mut writer, mut reader) = body_pipe();
    assert!(writer.poll_demand(&mut write).is_pending(), "nobody has asked");
    assert!(reader.poll_chunk(&mut read).is_pending());
    assert!(reader.poll_chunk(&mut read).is_pending());
    assert_eq!((woken(&writer_count), woken(&reader_count)), (1, 0), "asked once");
    assert_eq!(writer.poll_demand(&mut write), Poll::Ready(Demand::Chunk));
    writer.send(Bytes::from_static(b"one"));
    assert_eq!(woken(&reader_count), 1);
    assert!(writer.poll_demand(&mut write).is_pending(), "the chunk was not taken");
    assert!(matches!(reader.poll_chunk(&mut read), Poll::Ready(Some(Ok(chunk))) if chunk == "one"));
    assert!(writer.poll_demand(&mut write).is_pending(), "no more was asked for");
    assert!(reader.poll_chunk(&mut read).is_pending());
    writer.end(Ok(()));
    writer.end(Err(Error::Closed));
    assert!(writer.poll_demand(&mut write).is_pending());
    assert!(matches!(reader.poll_chunk(&mut read), Poll::Ready(None)));
    assert!(matches!(reader.poll_chunk(&mut read), Poll::Ready(None)));
    drop(reader);
    assert_eq!(writer.poll_demand(&mut write), Poll::Ready(Demand::Nothing));
}

#[test]
fn a_pipe_in_one_task_wakes_nobody() {
    let (count, waker) = waker();
    let mut cx = Context::from_waker(&waker);
    let (mut writer, mut reader) = body_pipe();
    assert!(writer.poll_demand(&mut cx).is_pending());
    for _ in 0..2 {
        assert!(reader.poll_chunk(&mut cx).is_pending());
        assert_eq!(writer.poll_demand(&mut cx), Poll::Ready(Demand::Chunk));
        writer.send(Bytes::from_static(b"one"));
        assert!(matches!(reader.poll_chunk(&mut cx), Poll::Ready(Some(Ok(_)))));
    }
    assert_eq!(woken(&count), 0);
    drop(reader);
    assert_eq!(woken(&count), 1);
}

/// A task that no executor runs any more: to wake it, or to drop its waker, is to drop what it holds.
struct Dropped<T>(Mutex<Option<T>>);

impl<T: Send> Wake for Dropped<T> {
    fn wake(self: Arc<Self>) {
        let held = self.0.lock().expect("no panic").take();
        drop(held);
    }
}

impl<T> Dropped<T> {
    /// A waker of a task that will hold what is put into its place.
    fn waker() -> (Waker, Arc<Self>)
    where
        T: Send + 'static,
    {
        let task = Arc::new(Self(Mutex::new(None)));
        (Arc::clone(&task).into(), task)
    }
}

#[test]
fn an_end_of_a_pipe_may_be_dropped_with_the_waker_of_its_task() {
    within_seconds(|| {
        for how in ["send", "end", "drop"] {
            let (mut writer, mut reader) = body_pipe();
            let (waker, task) = Dropped::waker();
            assert!(reader.poll_chunk(&mut Context::from_waker(&waker)).is_pending());
            task.0.lock().expect("no panic").replace(reader);
            match how {
                "send" => writer.send(Bytes::new()),
                "end" => writer.end(Ok(())),
                _ => drop(writer),
            }
            assert!(task.0.lock().expect("no panic").is_none(), "{how}");
        }
        for how in ["ask", "drop"] {
            let (mut writer, mut reader) = body_pipe();
            let (waker, task) = Dropped::waker();
            assert!(writer.poll_demand(&mut Context::from_waker(&waker)).is_pending());
            task.0.lock().expect("no panic").replace(writer);
            match how {
                "ask" => {
                    let mut cx = Context::from_waker(Waker::noop());
                    assert!(reader.poll_chunk(&mut cx).is_pending());
                }
                _ => drop(reader),
            }
            assert!(task.0.lock().expect("no panic").is_none(), "{how}");
        }
    });
}

#[test]
fn an_end_of_a_pipe_may_be_dropped_as_another_waker_takes_the_place_of_its_own() {
    within_seconds(|| {
        let noop = &mut Context::from_waker(Waker::noop());
        let (mut writer, mut reader) = body_pipe();
        let (waker, task) = Dropped::waker();
        assert!(reader.poll_chunk(&mut Context::from_waker(&waker)).is_pending());
        task.0.lock().expect("no panic").replace(writer);
        drop((waker, task));
        // The waker held the last of the task, which held the writer.
        assert!(reader.poll_chunk(noop).is_pending());
        assert!(matches!(reader.poll_chunk(noop), Poll::Ready(Some(Err(Error::Closed)))));

        (writer, reader) = body_pipe();
        let (waker, task) = Dropped::waker();
        assert!(writer.poll_demand(&mut Context::from_waker(&waker)).is_pending());
        task.0.lock().expect("no panic").replace(reader);
        drop((waker, task));
        assert!(writer.poll_demand(noop).is_pending());
        assert_eq!(writer.poll_demand(noop), Poll::Ready(Demand::Nothing));
    });
}

/// Runs what would hang if it failed.
fn within_seconds(run: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        run();
        let _ = done.send(());
    });
    if is_done.recv_timeout(Duration::from_secs(10)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("it hangs");
    }
    thread.join().expect("no panic");
}

#[test]
fn a_pipe_whose_writer_is_gone() {
    let (count, waker) = waker();
    let mut cx = Context::from_waker(&waker);
    let (mut writer, mut reader) = body_pipe();
    assert!(reader.poll_chunk(&mut cx).is_pending());
    writer.end(Err(Error::BodyLimit(7)));
    assert_eq!(woken(&count), 1);
    drop(writer);
    let first = reader.poll_chunk(&mut cx);
    assert!(matches!(first, Poll::Ready(Some(Err(Error::BodyLimit(7))))), "told once");
    assert!(matches!(reader.poll_chunk(&mut cx), Poll::Ready(Some(Err(Error::Closed)))));
    let (writer, mut reader) = body_pipe();
    drop(writer);
    assert!(matches!(reader.poll_chunk(&mut cx), Poll::Ready(Some(Err(Error::Closed)))));
}

#[test]
fn counters() {
    let registry = Registry::default();
    let counters = registry.counters();
    let one = registry.accept();
    let two = registry.accept();
    assert_eq!((counters.accepted(), counters.active()), (2, 2));
    let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
    exchange.receive(b"GET / HTTP/1.1\r\n"[..].into());
    assert!(exchange.next_event().is_err());
    let sent = exchange.pending().0.len();
    exchange.handle_written(sent);
    one.finish(&exchange);
    drop((one, two));
    assert_eq!((counters.accepted(), counters.active()), (2, 0));
    assert_eq!((counters.received(), counters.sent()), (16, sent as u64));
    assert_eq!(counters.refused(Status::BAD_REQUEST), 1);
    assert_eq!(counters.refused(Status::CONTENT_TOO_LARGE), 0);
    assert_eq!(counters.refused(Status::OK), 0);
    registry.deny(&Peer::Unix(Some(Credentials { uid: 1, gid: 2, pid: None })));
    registry.deny(&Peer::Unix(None));
    assert_eq!((counters.denied(), counters.evicted()), (2, 0));
    assert!(format!("{:?}", registry.accept()).starts_with("ConnectionGuard"));
    let text = format!("{counters:?}");
    for part in ["accepted: 3", "denied: 2", "refused_400: 1", "received: 16"] {
        assert!(text.contains(part), "{text}");
    }
}

/// A clock on which waiting is sleeping.
#[derive(Default)]
struct Sleeper {
    slept: Duration,
}

impl Clock for Sleeper {
    fn now(&self) -> Duration {
        self.slept
    }

    fn poll_until(&mut self, _: &mut Context<'_>, at: Duration) -> Poll<()> {
        thread::sleep(at - self.slept);
        self.slept = at;
        Poll::Ready(())
    }
}

#[test]
fn the_oldest_without_a_head_makes_room() {
    let registry = Registry::default();
    let counters = registry.counters();
    let (server, server_waker) = waker();
    let mut full = Context::from_waker(&server_waker);
    assert!(registry.poll_evictable(&full).is_pending());
    assert!(registry.poll_evictable_at(&mut Sleeper::default(), &mut full).is_pending());
    assert!(!registry.evict_oldest());

    let (first_count, first_waker) = waker();
    let (second_count, second_waker) = waker();
    let (mut first, mut second, mut third) =
        (registry.accept(), registry.accept(), registry.accept());
    assert!(first.poll_evicted(&Context::from_waker(&first_waker)).is_pending());
    assert_eq!(woken(&server), 1, "the server waited for one");
    assert!(registry.poll_evictable(&full).is_pending(), "its head may be on the way");
    let mut clock = Sleeper::default();
    assert!(registry.poll_evictable_at(&mut clock, &mut full).is_ready());
    assert!(clock.slept <= Duration::from_millis(100), "{:?}", clock.slept);
    assert!(registry.poll_evictable(&full).is_ready());
    assert!(second.poll_evicted(&Context::from_waker(&second_waker)).is_pending());
    let noop = Context::from_waker(Waker::noop());
    assert!(third.poll_evicted(&noop).is_pending());
    // Asking again keeps the place.
    assert!(first.poll_evicted(&Context::from_waker(&first_waker)).is_pending());

    assert!(registry.evict_oldest());
    assert_eq!((woken(&first_count), woken(&second_count)), (1, 0));
    assert!(first.poll_evicted(&noop).is_ready() && second.poll_evicted(&noop).is_pending());
    second.keep();
    drop(third);
    assert!(registry.poll_evictable(&full).is_pending(), "nobody is left to evict");
    assert_eq!(counters.evicted(), 0, "it is not closed yet");
    drop(first);
    assert_eq!(counters.evicted(), 1);
    assert_eq!(woken(&server), 1);

    // One whose head came just then is not closed.
    let mut kept = registry.accept();
    assert!(kept.poll_evicted(&noop).is_pending());
    assert!(registry.evict_oldest());
    kept.keep();
    drop(kept);
    assert_eq!(counters.evicted(), 1);
}

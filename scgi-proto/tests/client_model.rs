//! Calls over random schedules of a server, a source and the time: the response is returned whole, or
//! the call ends with an error that names the cause; what is read ahead is bounded; nothing hangs.
//!
//! The call is polled only after a wake-up, as a runtime does it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use scgi_proto::driver::{Body, Client, Clock, Source, Transport};
use scgi_proto::{
    ClientConfig, DecodeError, Error, Request, RequestEvent, RequestHead, ResponseEvent, Timeout,
};

/// At most so many bytes are read that were not asked for: 64 KiB, one more read, and a head.
const READ_AHEAD: usize = (64 + 16 + 1) * 1024;

/// What happens next, while the call has nothing to do.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The server takes so many bytes of the request.
    Take(usize),
    /// So many bytes of the response arrive.
    Send(usize),
    /// The server ends its side, after so much of the response as has come.
    End,
    /// The connection is reset.
    Reset,
    /// The program's source has a chunk.
    Chunk(usize),
    /// It has this many small ones.
    Chunks(usize),
    /// It has this many chunks of no bytes.
    Empty(usize),
    /// It fails.
    SourceFails,
    /// Seconds pass.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..40_000_usize).prop_map(Step::Take),
        6 => (1..60_000_usize).prop_map(Step::Send),
        1 => Just(Step::End),
        1 => Just(Step::Reset),
        6 => (1..30_000_usize).prop_map(Step::Chunk),
        1 => (1..100_usize).prop_map(Step::Chunks),
        1 => (1..100_usize).prop_map(Step::Empty),
        1 => Just(Step::SourceFails),
        2 => (1..40_u64).prop_map(Step::Pass),
    ]
}

/// Where the body of the response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Length,
    Close,
    NoBody,
    /// Nowhere: the response is a 101.
    Upgrade,
}

const READ: usize = 0;
const WRITE: usize = 1;
const SOURCE: usize = 2;

#[derive(Debug, Default)]
struct State {
    response: Vec<u8>,
    /// Bytes of the response that have arrived, and those that were read.
    arrived: usize,
    read: usize,
    ended: bool,
    reset: bool,
    /// The error was returned, after which the stream has ended.
    reset_seen: bool,
    room: usize,
    written: usize,
    chunks: VecDeque<usize>,
    source_left: usize,
    source_fails: bool,
    now: Duration,
    /// Of whom waits to read, to write, and for the source.
    wakers: [Option<Waker>; 3],
    timer: Option<(Duration, Waker)>,
}

#[derive(Debug, Clone, Default)]
struct Net(Arc<Mutex<State>>);

impl Net {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    fn run(&self, step: Step) {
        let mut state = self.state();
        match step {
            Step::Take(count) => state.room += count,
            Step::Send(count) if !state.ended && !state.reset => {
                state.arrived = (state.arrived + count).min(state.response.len());
            }
            Step::Send(_) => {}
            Step::End => state.ended |= !state.reset,
            Step::Reset => state.reset |= !state.ended,
            Step::Chunk(len) => state.chunks.push_back(len),
            Step::Chunks(count) => state.chunks.extend(std::iter::repeat_n(100, count)),
            Step::Empty(count) => state.chunks.extend(std::iter::repeat_n(0, count)),
            Step::SourceFails => state.source_fails = true,
            Step::Pass(seconds) => state.now += Duration::from_secs(seconds),
        }
        let now = state.now;
        let timer = state.timer.take_if(|(at, _)| *at <= now).map(|(_, waker)| waker);
        // Only who waits for that: a wake-up that is missing elsewhere must not go unnoticed.
        let woken: &[usize] = match step {
            Step::Take(_) => &[WRITE],
            Step::Send(_) | Step::End => &[READ],
            Step::Reset => &[READ, WRITE],
            Step::Chunk(_) | Step::Chunks(_) | Step::Empty(_) | Step::SourceFails => &[SOURCE],
            Step::Pass(_) => &[],
        };
        let woken: Vec<_> = woken.iter().filter_map(|who| state.wakers[*who].take()).collect();
        drop(state);
        woken.into_iter().chain(timer).for_each(Waker::wake);
    }

    /// Time passes to the next deadline. `false` if there is none.
    fn pass_to_deadline(&self) -> bool {
        let Some((at, waker)) = self.state().timer.take() else { return false };
        let mut state = self.state();
        state.now = state.now.max(at);
        drop(state);
        waker.wake();
        true
    }
}

impl Transport for Net {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        let count = (state.arrived - state.read).min(buf.len());
        if count > 0 {
            let from = state.read;
            buf[..count].copy_from_slice(&state.response[from..from + count]);
            state.read += count;
            return Poll::Ready(Ok(count));
        }
        if state.reset && !state.reset_seen {
            state.reset_seen = true;
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if state.ended || state.reset {
            return Poll::Ready(Ok(0));
        }
        state.wakers[READ] = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.reset {
            // A failed write uses up the reset.
            let first = !std::mem::replace(&mut state.reset_seen, true);
            let kind = if first { ErrorKind::ConnectionReset } else { ErrorKind::BrokenPipe };
            return Poll::Ready(Err(kind.into()));
        }
        if state.room == 0 {
            state.wakers[WRITE] = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = state.room.min(first.len() + second.len());
        state.room -= count;
        state.written += count;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Clock for Net {
    fn now(&self) -> Duration {
        self.state().now
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Duration) -> Poll<()> {
        let mut state = self.state();
        if state.now >= at {
            return Poll::Ready(());
        }
        state.timer = Some((at, cx.waker().clone()));
        Poll::Pending
    }
}

impl Source for Net {
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let mut state = self.state();
        if state.source_fails {
            return Poll::Ready(Some(Err(Error::Body("the source".into()))));
        }
        if state.source_left == 0 {
            return Poll::Ready(None);
        }
        let Some(len) = state.chunks.pop_front() else {
            state.wakers[SOURCE] = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let len = len.min(state.source_left);
        state.source_left -= len;
        Poll::Ready(Some(Ok(vec![b'x'; len].into())))
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs a call to its end, with `steps` whenever it waits, and then the time alone.
fn run<F: Future>(net: &Net, steps: Vec<Step>, call: F) -> F::Output {
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut call = pin!(call);
    let mut steps = steps.into_iter();
    for _ in 0..20_000 {
        if flag.0.swap(false, Ordering::SeqCst) {
            let polled = call.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(output) = polled {
                return output;
            }
            continue;
        }
        match steps.next() {
            Some(step) => net.run(step),
            // The program's own source may take as long as it likes.
            None if net.pass_to_deadline() => {}
            None => net.run(Step::SourceFails),
        }
    }
    panic!("the call hangs, or is polled without end")
}

const SWITCHING: &str = "Status: 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n";

struct Case {
    net: Net,
    kind: Kind,
    body: usize,
    upload: usize,
}

impl Case {
    fn new(kind: Kind, body: usize, upload: usize) -> Self {
        let head = match kind {
            Kind::Length => format!("Status: 200 OK\r\nContent-Length: {body}\r\n\r\n"),
            Kind::Close => "Status: 200 OK\r\n\r\n".to_owned(),
            Kind::NoBody => "Status: 204 No Content\r\n\r\n".to_owned(),
            Kind::Upgrade => SWITCHING.to_owned(),
        };
        let mut response = head.into_bytes();
        let body = if kind == Kind::NoBody { 0 } else { body };
        response.extend((0..body).map(|n| (n % 251) as u8));
        let net = Net::default();
        net.state().response = response;
        net.state().source_left = upload;
        Self { net, kind, body, upload }
    }

    fn client(&self) -> Client<Net, Net> {
        Client::new(self.net.clone(), self.net.clone(), &ClientConfig::default())
    }

    /// What came is a part of the response, and the call ended as it had to.
    fn check(&self, head: bool, came: &[u8], result: &Result<(), Error>) {
        let state = self.net.state();
        let whole: Vec<u8> = (0..self.body).map(|n| (n % 251) as u8).collect();
        assert!(whole.starts_with(came), "bytes that were not sent");
        match result {
            Ok(()) => {
                assert!(head, "without a head");
                match self.kind {
                    Kind::Length => assert_eq!(came.len(), self.body),
                    Kind::NoBody => assert!(came.is_empty()),
                    // Complete as far as the client can know.
                    Kind::Close | Kind::Upgrade => {
                        assert!(state.ended && !state.reset, "a cut response looks complete");
                        assert_eq!(state.read, state.arrived);
                    }
                }
            }
            Err(Error::Timeout(_)) => assert!(!state.now.is_zero()),
            Err(Error::Body(_)) => assert!(state.source_fails),
            // It comes before the request has left.
            Err(Error::Decode(DecodeError::InvalidStatus { .. })) => {
                assert!(self.kind == Kind::Upgrade && !head && state.read > 0);
            }
            // Of raw bytes, each failure of the stream is one.
            Err(Error::Io(_)) if self.kind == Kind::Upgrade => assert!(state.reset),
            Err(Error::Io(error)) => {
                assert!(state.reset && !head || self.kind == Kind::Length, "{error}");
            }
            Err(Error::Decode(DecodeError::ResponseCut)) => {
                assert!(head && state.reset && self.kind == Kind::Close);
                assert_eq!(state.read, state.arrived, "all that came is handed out first");
            }
            Err(Error::Decode(DecodeError::NoResponse)) => assert!(state.read == 0 && state.ended),
            Err(Error::Decode(DecodeError::UnexpectedEnd { .. })) => {
                assert!(state.ended || state.reset);
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Length), Just(Kind::Close), Just(Kind::NoBody)]
}

/// How many schedules of each kind: `SCGI_MODEL_CASES` sets more, for a long run.
fn cases() -> u32 {
    std::env::var("SCGI_MODEL_CASES").map_or(300, |count| count.parse().expect("a number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_whole_request(
        kind in kind(),
        body in 0..150_000_usize,
        upload in 0..200_000_usize,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let case = Case::new(kind, body, upload);
        let head = RequestHead::builder("POST", "/").build();
        let source = Body::from_source(case.net.clone(), Some(upload as u64));
        let (mut came, mut has_head) = (Vec::new(), false);
        let result = run(&case.net, steps, async {
            let request: Request<Body> = Request::new(head, source);
            let response = case.client().request(request, case.net.clone()).await?;
            let mut body: Body = response.into_body();
            has_head = true;
            let result = loop {
                match poll_fn(|cx| body.poll_chunk(cx)).await {
                    Some(Ok(chunk)) => came.extend_from_slice(&chunk),
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                }
            };
            // The end, or the error, is there again.
            match poll_fn(|cx| body.poll_chunk(cx)).await {
                None => assert!(result.is_ok()),
                Some(again) => {
                    assert!(result.is_err() && matches!(again, Err(Error::Closed)));
                }
            }
            result
        });
        case.check(has_head, &came, &result);
    }

    #[test]
    fn piece_by_piece(
        kind in kind(),
        body in 0..150_000_usize,
        upload in 1..200_000_usize,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let case = Case::new(kind, body, upload);
        let (mut came, mut has_head) = (Vec::new(), false);
        let handed_out = Cell::new(0);
        let result = run(&case.net, steps, async {
            let mut client = case.client();
            let head = RequestHead::builder("POST", "/").content_length(upload as u64).build();
            let body = RequestEvent::Body(vec![b'x'; case.upload].into());
            let mut next = |event: &ResponseEvent| match event {
                ResponseEvent::Head(_) => has_head = true,
                ResponseEvent::Body(chunk) => {
                    handed_out.set(handed_out.get() + chunk.len());
                    came.extend_from_slice(chunk);
                }
                ResponseEvent::End => {}
            };
            for piece in [RequestEvent::Head(head), body, RequestEvent::End] {
                client.send(piece)?;
                match poll_fn(|cx| client.poll_flush(cx)).await {
                    Err(Error::ResponseUnread) => {
                        // The piece is queued. Some of the response makes room.
                        let event = poll_fn(|cx| client.poll_next_event(cx)).await?;
                        next(&event.expect("some of the response"));
                    }
                    flushed => flushed?,
                }
                let read = case.net.state().read;
                assert!(read <= handed_out.get() + READ_AHEAD, "{read} read");
            }
            while let Some(event) = poll_fn(|cx| client.poll_next_event(cx)).await? {
                next(&event);
            }
            Ok(())
        });
        case.check(has_head, &came, &result);
    }

    #[test]
    fn an_upgrade(
        body in 0..150_000_usize,
        upload in 0..200_000_usize,
        mut steps in prop::collection::vec(step(), 0..60),
    ) {
        let case = Case::new(Kind::Upgrade, body, 0);
        // Reading has no deadline: the server must end it.
        steps.extend([Step::Take(upload + 1000), Step::Send(body + 1000), Step::End]);
        let (mut came, mut has_head) = (Vec::new(), false);
        let result = run(&case.net, steps, async {
            let head = RequestHead::builder("GET", "/").param("HTTP_CONNECTION", "Upgrade");
            let request = Request::new(head.param("HTTP_UPGRADE", "echo").build(), "");
            let response = case.client().request::<Body>(request, case.net.clone()).await?;
            has_head = true;
            let mut io = response.into_upgraded().expect("it is a 101");
            let (mut left, mut buf) = (upload, vec![0; 5000]);
            let sent = vec![b'x'; 3000];
            poll_fn(|cx| {
                while left > 0 {
                    match io.poll_write(cx, &sent[..left.min(3000)], &[]) {
                        Poll::Ready(Ok(count)) => left -= count,
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(Error::from(error))),
                        Poll::Pending => break,
                    }
                }
                loop {
                    match io.poll_read(cx, &mut buf) {
                        Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                        Poll::Ready(Ok(count)) => came.extend_from_slice(&buf[..count]),
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(Error::from(error))),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            })
            .await
        });
        let result = result.map_err(own_error);
        case.check(has_head, &came, &result);
        if result.is_ok() {
            assert_eq!(came.len() + SWITCHING.len(), case.net.state().arrived);
        }
    }
}

/// The error of the client in an `io::Error`, if it is one.
fn own_error(error: Error) -> Error {
    match error {
        Error::Io(error) if error.kind() == ErrorKind::TimedOut => Timeout::Write.into(),
        error => error,
    }
}

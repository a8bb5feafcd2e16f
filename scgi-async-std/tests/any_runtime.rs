//! Without a runtime: a stream in memory, a timer of this file, and an executor that knows neither.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::future::{block_on, poll_once, zip};
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
use scgi_async_std::{
    Client, ClientConfig, Connection, ConnectionConfig, Error, Request, RequestEvent, RequestHead,
    Response, Sleep, Timeout, serve_connection_with_timer,
};

/// One direction of a stream: bytes, whether more can come, and who waits for them.
#[derive(Default)]
struct Direction {
    bytes: VecDeque<u8>,
    ended: bool,
    reader: Option<Waker>,
}

impl Direction {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// One side of a stream in memory.
struct Side {
    input: Arc<Mutex<Direction>>,
    output: Arc<Mutex<Direction>>,
}

fn pair() -> (Side, Side) {
    let (a, b) = <(Arc<Mutex<Direction>>, Arc<Mutex<Direction>>)>::default();
    (Side { input: Arc::clone(&a), output: Arc::clone(&b) }, Side { input: b, output: a })
}

impl AsyncRead for Side {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut input = self.input.lock().expect("no panic");
        if input.bytes.is_empty() && !input.ended {
            input.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(io::Read::read(&mut input.bytes, buf))
    }
}

impl AsyncWrite for Side {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut output = self.output.lock().expect("no panic");
        output.bytes.extend(buf);
        output.wake();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut output = self.output.lock().expect("no panic");
        output.ended = true;
        output.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let mut output = self.output.lock().expect("no panic");
        output.ended = true;
        output.wake();
    }
}

/// Waits on a thread of its own.
fn timer(at: Instant) -> Sleep {
    Box::pin(async move {
        let done = Arc::<AtomicBool>::default();
        let mut started = false;
        std::future::poll_fn(move |cx| {
            if done.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut started, true) {
                let (done, waker) = (Arc::clone(&done), cx.waker().clone());
                std::thread::spawn(move || {
                    std::thread::sleep(at.saturating_duration_since(Instant::now()));
                    done.store(true, Ordering::SeqCst);
                    waker.wake();
                });
            }
            Poll::Pending
        })
        .await;
    })
}

const SHORT: Duration = Duration::from_millis(50);

fn request(body: &'static str) -> Request {
    Request::new(RequestHead::builder("POST", "/").build(), body)
}

#[test]
fn a_connection_is_served_and_its_client_gets_the_response() {
    let (near, far) = pair();
    let echo = async |request: Request| Response::new(request.into_body());
    let config = ConnectionConfig::default();
    let serves = serve_connection_with_timer(far, echo, &config, timer);
    let calls = async {
        let client = Client::with_timer(near, &ClientConfig::default(), timer);
        client.request(request("hello")).await?.into_body().collect(10).await
    };
    let (served, body) = block_on(zip(serves, calls));
    served.expect("served");
    assert_eq!(body.expect("a response"), "hello");
}

#[test]
fn a_head_that_does_not_come_ends_with_its_timeout() {
    let (mut near, far) = pair();
    let config = ConnectionConfig::default().with_head_timeout(SHORT);
    let none = async |_: Request| Response::new("");
    let serves = serve_connection_with_timer(far, none, &config, timer);
    let sends = async {
        near.write_all(b"24:CONTENT_LENGTH").await.expect("it is taken");
        let mut response = String::new();
        near.read_to_string(&mut response).await.expect("a response");
        drop(near);
        response
    };
    let (served, response) = block_on(zip(serves, sends));
    assert!(matches!(served, Err(Error::Timeout(Timeout::Head))), "{served:?}");
    assert!(response.starts_with("Status: 408 Request Timeout\r\n"), "{response}");
}

#[test]
fn a_client_whose_server_is_silent_ends_with_its_timeout() {
    let (near, _far) = pair();
    let config = ClientConfig::default().with_head_timeout(SHORT);
    let call = Client::with_timer(near, &config, timer).request(request(""));
    let result = block_on(call);
    assert!(matches!(result, Err(Error::Timeout(Timeout::ResponseHead))), "{:?}", result.err());
}

#[test]
fn a_wait_that_is_dropped_loses_no_bytes() {
    let (mut near, far) = pair();
    let mut connection = Connection::with_timer(far, &ConnectionConfig::default(), timer);
    block_on(async {
        near.write_all(b"24:CONTENT_LENGTH\x002\x00SC").await.expect("it is taken");
        assert!(poll_once(connection.next_event()).await.is_none(), "the head is not complete");
        near.write_all(b"GI\x001\x00,hi").await.expect("it is taken");
        let head = connection.next_event().await.expect("no error");
        assert!(matches!(head, Some(RequestEvent::Head(_))), "{head:?}");
        let body = connection.next_event().await.expect("no error");
        assert_eq!(body, Some(RequestEvent::Body("hi".into())));
    });
}

#[test]
fn a_server_that_is_dropped_cancels_its_handler() {
    struct Cancelled(Arc<AtomicBool>);
    impl Drop for Cancelled {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (mut near, far) = pair();
    let cancelled = Arc::<AtomicBool>::default();
    let note = Arc::clone(&cancelled);
    let waits = move |_: Request| {
        let note = Cancelled(Arc::clone(&note));
        async move {
            let _note = note;
            pending::<Response>().await
        }
    };
    block_on(near.write_all(b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,")).expect("it is taken");
    {
        let config = ConnectionConfig::default();
        let mut serves = pin!(serve_connection_with_timer(far, waits, &config, timer));
        assert!(block_on(poll_once(serves.as_mut())).is_none());
        assert!(!cancelled.load(Ordering::SeqCst), "the handler runs");
    }
    assert!(cancelled.load(Ordering::SeqCst));
    let mut response = Vec::new();
    block_on(near.read_to_end(&mut response)).expect("the end");
    assert!(response.is_empty(), "{response:?}");
}

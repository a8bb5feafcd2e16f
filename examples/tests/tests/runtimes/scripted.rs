//! Streams that give one byte, nothing yet, a signal or an error at any step: every crate comes
//! to the same result.

use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::compat::TokioAsyncReadCompatExt;

const REQUEST: &[u8] = b"24:CONTENT_LENGTH\x005\x00SCGI\x001\x00,hello";

/// What the stream does at its faulty step.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Interrupted,
    /// `Pending` for the async crates; for the blocking one `WouldBlock`.
    NotYet,
    Reset,
    /// The end of input, or a write of nothing.
    Zero,
    /// As `NotYet`, at every other step.
    Halting,
}

/// A stream that moves one byte a call, and has its fault at one step.
#[derive(Clone)]
struct Script {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    input: Vec<u8>,
    output: Vec<u8>,
    step: usize,
    fault: Fault,
    at: usize,
}

impl Script {
    fn new(fault: Fault, at: usize) -> Self {
        Self::with_input(REQUEST.to_vec(), fault, at)
    }

    fn with_input(input: Vec<u8>, fault: Fault, at: usize) -> Self {
        let inner = Inner { input, output: Vec::new(), step: 0, fault, at };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// What was written, and the number of calls.
    fn end(&self) -> (String, usize) {
        let inner = self.inner.lock().expect("no panic");
        (String::from_utf8_lossy(&inner.output).into_owned(), inner.step)
    }

    fn step(&self) -> io::Result<Option<()>> {
        let mut inner = self.inner.lock().expect("no panic");
        let here = inner.step == inner.at;
        inner.step += 1;
        match inner.fault {
            Fault::Interrupted if here => Err(ErrorKind::Interrupted.into()),
            Fault::Halting if inner.step % 2 == 1 => Err(ErrorKind::WouldBlock.into()),
            Fault::NotYet if here => Err(ErrorKind::WouldBlock.into()),
            Fault::Reset if here => Err(ErrorKind::ConnectionReset.into()),
            Fault::Zero if here => Ok(None),
            _ => Ok(Some(())),
        }
    }
}

impl Read for Script {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.step()?.is_none() {
            self.inner.lock().expect("no panic").input.clear();
            return Ok(0);
        }
        let mut inner = self.inner.lock().expect("no panic");
        if inner.input.is_empty() {
            return Ok(0);
        }
        buf[0] = inner.input.remove(0);
        Ok(1)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.step()?.is_none() {
            return Ok(0);
        }
        self.inner.lock().expect("no panic").output.push(bytes[0]);
        Ok(1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pending<T>(result: io::Result<T>, cx: &Context<'_>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        result => Poll::Ready(result),
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let read = self.read(&mut byte);
        pending(read, cx).map_ok(|count| buf.put_slice(&byte[..count]))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        pending(self.write(bytes), cx)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a server did: whether it was content, and what it sent.
type Outcome = (Result<(), String>, String);

fn told<E: std::error::Error>(result: Result<(), E>) -> Result<(), String> {
    result.map_err(|error| {
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    })
}

fn on_tokio(script: &Script) -> Outcome {
    use scgi_tokio::{ConnectionConfig, Error, Request, Response, serve_connection};
    async fn echo(request: Request) -> Result<Response, Error> {
        Ok(Response::new(request.into_body().collect(100).await?))
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let config = ConnectionConfig::default();
    let serving = serve_connection(script.clone(), echo, &config);
    (told(runtime.expect("a runtime").block_on(serving)), script.end().0)
}

fn on_smol(script: &Script) -> Outcome {
    use scgi_async_std::{ConnectionConfig, Error, Request, Response, serve_connection};
    async fn echo(request: Request) -> Result<Response, Error> {
        Ok(Response::new(request.into_body().collect(100).await?))
    }
    let config = ConnectionConfig::default();
    let serving = serve_connection(script.clone().compat(), echo, &config);
    (told(smol::block_on(serving)), script.end().0)
}

fn on_threads(script: &Script) -> Outcome {
    use scgi_blocking::{ConnectionConfig, Error, Request, Response, serve_connection};
    fn echo(request: Request) -> Result<Response, Error> {
        Ok(Response::new(request.into_body().collect(100)?))
    }
    (told(serve_connection(script.clone(), echo, &ConnectionConfig::default())), script.end().0)
}

#[test]
fn the_same_in_every_crate() {
    let calm = Script::new(Fault::None, 0);
    let (result, reply) = on_tokio(&calm);
    assert_eq!(result, Ok(()));
    assert!(reply.ends_with("Content-Length: 5\r\n\r\nhello"), "{reply}");
    let steps = calm.end().1;
    let mut cases = 0;
    for fault in [Fault::Interrupted, Fault::NotYet, Fault::Reset, Fault::Zero] {
        for at in 0..steps {
            let outcomes = [on_tokio, on_smol, on_threads].map(|on| on(&Script::new(fault, at)));
            assert_eq!(outcomes[0], outcomes[1], "{fault:?} at step {at}");
            assert_eq!(outcomes[0], outcomes[2], "{fault:?} at step {at}");
            if matches!(fault, Fault::Interrupted | Fault::NotYet) {
                assert_eq!(outcomes[0], (Ok(()), reply.clone()), "{fault:?} at step {at}");
            }
            cases += 1;
        }
    }
    println!("{cases} faults, the same in every crate");
    assert!(cases > 200, "{cases}");
}

#[test]
fn captures_in_memory() {
    let vectors = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let vectors = vectors.join("../../scgi-proto/tests/vectors");
    let mut count = 0;
    for front in ["nginx", "apache", "lighttpd"] {
        for entry in std::fs::read_dir(vectors.join(front)).expect("the vectors") {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a capture");
            // Byte by byte, the long ones would take long.
            if path.extension().is_none_or(|name| name != "scgi") || bytes.len() > 4096 {
                continue;
            }
            let outcomes = [on_tokio, on_smol, on_threads]
                .map(|on| on(&Script::with_input(bytes.clone(), Fault::None, 0)));
            assert_eq!(outcomes[0], outcomes[1], "{path:?}");
            assert_eq!(outcomes[0], outcomes[2], "{path:?}");
            assert!(bytes.is_empty() || outcomes[0].1.starts_with("Status: "), "{path:?}");
            count += 1;
        }
    }
    println!("{count} captures, the same in every crate");
    assert!(count > 80, "{count}");
}

/// Polls a future once, and drops it if it is not ready.
fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut cx) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A whole exchange in which every future is dropped whenever it must wait.
macro_rules! dropped_at_each_wait {
    ($name:ident, $krate:ident, $stream:expr) => {
        #[test]
        fn $name() {
            use $krate::{
                Connection, ConnectionConfig, RequestEvent, ResponseEvent, ResponseHead, Status,
            };
            let script = Script::new(Fault::Halting, 0);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // Only for the timers of the tokio crate.
            let _entered = runtime.as_ref().expect("a runtime").enter();
            let mut connection =
                Connection::new($stream(script.clone()), &ConnectionConfig::default());
            let (mut waits, mut body) = (0, Vec::new());
            loop {
                match once(connection.next_event()) {
                    None => waits += 1,
                    Some(Ok(Some(RequestEvent::Body(chunk)))) => body.extend_from_slice(&chunk),
                    Some(Ok(Some(RequestEvent::End))) => break,
                    Some(event) => assert!(matches!(event, Ok(Some(_))), "{event:?}"),
                }
            }
            assert_eq!(body, b"hello");
            for event in [
                ResponseEvent::Head(ResponseHead::new(Status::OK)),
                ResponseEvent::Body(body.into()),
                ResponseEvent::End,
            ] {
                // What was given stays, though its future is dropped.
                waits += usize::from(once(connection.send(event)).is_none());
            }
            while once(connection.finish()).is_none() {
                waits += 1;
            }
            assert_eq!(script.end().0, "Status: 200 OK\r\n\r\nhello");
            assert!(waits > 50, "{waits} waits");
        }
    };
}

dropped_at_each_wait!(tokio_futures_may_be_dropped, scgi_tokio, |script| script);
dropped_at_each_wait!(other_futures_may_be_dropped, scgi_async_std, Script::compat);

#[test]
fn a_third_runtime() {
    use scgi_async_std::{ConnectionConfig, Request, Response, serve_connection};
    let script = Script::new(Fault::Halting, 0);
    let config = ConnectionConfig::default();
    let hello = async |_: Request| Response::new("hello");
    // The smallest executor there is: it asks again and again.
    let mut serving = std::pin::pin!(serve_connection(script.clone().compat(), hello, &config));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let result = loop {
        if let Poll::Ready(result) = serving.as_mut().poll(&mut cx) {
            break result;
        }
    };
    assert!(result.is_ok(), "{result:?}");
    assert!(script.end().0.ends_with("\r\n\r\nhello"));
}

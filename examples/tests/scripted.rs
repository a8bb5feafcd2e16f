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
        let input = REQUEST.to_vec();
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
    use scgi_tokio::{Config, Error, Request, Response, serve_connection};
    async fn echo(request: Request) -> Result<Response, Error> {
        Ok(Response::new(request.into_body().collect(100).await?))
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let config = Config::default();
    let serving = serve_connection(script.clone(), echo, &config);
    (told(runtime.expect("a runtime").block_on(serving)), script.end().0)
}

fn on_smol(script: &Script) -> Outcome {
    use scgi_async_std::{Config, Error, Request, Response, serve_connection};
    async fn echo(request: Request) -> Result<Response, Error> {
        Ok(Response::new(request.into_body().collect(100).await?))
    }
    let config = Config::default();
    let serving = serve_connection(script.clone().compat(), echo, &config);
    (told(smol::block_on(serving)), script.end().0)
}

fn on_threads(script: &Script) -> Outcome {
    use scgi_blocking::{Config, Error, Request, Response, serve_connection};
    fn echo(request: Request) -> Result<Response, Error> {
        Ok(Response::new(request.into_body().collect(100)?))
    }
    (told(serve_connection(script.clone(), echo, &Config::default())), script.end().0)
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

//! Serving: the accept loop, and one connection's way from request to reply.

use std::fmt;
use std::future::{Future, IntoFuture, pending, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use scgi_proto::{
    Config, Demand, Error, Limits, PipeWriter, RequestEvent, RequestHead, ResponseEvent, Status,
    body_pipe,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::body::Body;
use crate::connection::Connection;
use crate::handler::{BoxError, Handler};
use crate::listener::Listener;
use crate::message::{Request, Response};
use crate::stream::Stream;

/// Connections served at once, by default: more than a front server keeps open to one backend,
/// and few enough that their memory stays within some tens of MiB.
const MAX_CONNECTIONS: usize = 4096;

/// Time for what runs to finish after the shutdown signal, by default: less than the 90 s after
/// which systemd kills a service.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(30);

/// Serves every connection of `listener` with `handler`, until the shutdown signal if there is
/// one.
///
/// A malformed request is answered with 400, 413 or 431, a failed or panicked handler with 500;
/// errors of single connections never end the server.
///
/// # Examples
/// ```no_run
/// use scgi_tokio::{Listener, Request, Response, serve};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind(&"/run/app/app.sock".parse()?).await?;
/// let summary = serve(listener, async |_: Request| Response::new("hello"))
///     .with_graceful_shutdown(async { tokio::time::sleep(std::time::Duration::from_secs(60)).await })
///     .await?;
/// println!("{summary:?}");
/// # Ok(()) }
/// ```
pub fn serve<M, H: Handler<M>>(listener: impl Into<Listener>, handler: H) -> Serve<H, M> {
    Serve {
        listener: listener.into(),
        handler,
        config: Config::default(),
        max_connections: MAX_CONNECTIONS,
        shutdown_deadline: SHUTDOWN_DEADLINE,
        signal: Box::pin(pending()),
        kind: PhantomData,
    }
}

/// A server about to run: set what differs from the defaults, then `.await` it.
#[must_use = "a server runs when it is awaited"]
pub struct Serve<H, M> {
    listener: Listener,
    handler: H,
    config: Config,
    max_connections: usize,
    shutdown_deadline: Duration,
    signal: Pin<Box<dyn Future<Output = ()> + Send>>,
    kind: PhantomData<fn() -> M>,
}

impl<H, M> Serve<H, M> {
    /// Replaces the bounds, rules and deadlines of each connection.
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Replaces the bounds on requests.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.config = self.config.with_limits(limits);
        self
    }

    /// Connections served at once: 4096 by default. The rest wait in the listen backlog.
    ///
    /// # Panics
    /// If it is 0.
    pub fn with_max_connections(mut self, count: usize) -> Self {
        assert!(count > 0, "a server needs at least one connection");
        self.max_connections = count;
        self
    }

    /// Stops accepting when `signal` completes, and finishes what runs.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.signal = Box::pin(signal);
        self
    }

    /// Time for what runs to finish after the signal: 30 s by default. The rest is aborted.
    pub fn with_shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.shutdown_deadline = deadline;
        self
    }
}

impl<H, M> fmt::Debug for Serve<H, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .field("config", &self.config)
            .field("max_connections", &self.max_connections)
            .field("shutdown_deadline", &self.shutdown_deadline)
            .finish_non_exhaustive()
    }
}

/// What a server did, told when it has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Connections that were accepted.
    pub served: u64,
    /// Those that finished after the shutdown signal.
    pub finished: u64,
    /// Those that were aborted at the shutdown deadline.
    pub aborted: u64,
}

impl<M: 'static, H: Handler<M>> IntoFuture for Serve<H, M> {
    type Output = io::Result<Summary>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<Summary>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}

async fn run<M: 'static, H: Handler<M>>(mut server: Serve<H, M>) -> io::Result<Summary> {
    let handler = Arc::new(server.handler);
    let mut tasks = JoinSet::new();
    let mut summary = Summary::default();
    let mut backoff = Backoff::default();
    loop {
        while tasks.try_join_next().is_some() {}
        let full = tasks.len() >= server.max_connections;
        let next = poll_fn(|cx| {
            if server.signal.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Stop);
            }
            if full {
                return tasks.poll_join_next(cx).map(|_| Next::Room);
            }
            server.listener.poll_accept(cx).map(Next::Accepted)
        });
        match next.await {
            Next::Stop => break,
            Next::Room => {}
            Next::Accepted(Ok(stream)) => {
                backoff = Backoff::default();
                summary.served += 1;
                let (handler, config) = (Arc::clone(&handler), server.config);
                tasks.spawn(async move { serve_stream(stream, &*handler, &config).await });
            }
            Next::Accepted(Err(error)) => backoff.wait(&error).await,
        }
    }
    drop(server.listener);
    while tasks.try_join_next().is_some() {}
    let finish = async {
        while tasks.join_next().await.is_some() {
            summary.finished += 1;
        }
    };
    let _ = timeout(server.shutdown_deadline, finish).await;
    summary.aborted = tasks.len() as u64;
    tasks.shutdown().await;
    Ok(summary)
}

enum Next {
    Stop,
    Room,
    Accepted(io::Result<Stream>),
}

/// How long to wait after a failed accept.
///
/// A connection that its client took back fails alone: the next one is accepted at once. When
/// descriptors or memory have run out, accepting again at once would spin.
#[derive(Default)]
struct Backoff {
    delay: Duration,
}

impl Backoff {
    async fn wait(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        self.delay = (self.delay * 2).clamp(Duration::from_millis(10), Duration::from_secs(1));
        sleep(self.delay).await;
    }
}

async fn serve_stream<M, H: Handler<M>>(stream: Stream, handler: &H, config: &Config) {
    let mut connection = Connection::new(stream, config);
    // An error of one connection concerns nobody else; its peer was told.
    let _ = answer(&mut connection, handler, Stream::send_at_once).await;
    if connection.exchange().wants_reset() {
        connection.io().reset_on_close();
    }
}

/// Serves the one request of a stream that is no socket of a [`Listener`]: a TLS stream, a pipe,
/// one side of a `tokio::io::duplex`.
///
/// # Errors
/// What went wrong with the connection, after the peer was told where that was possible.
///
/// # Cancel safety
/// Dropping the future drops the connection and cancels the handler.
///
/// # Examples
/// ```
/// use scgi_tokio::{Client, Config, Limits, Request, RequestHead, Response, serve_connection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), scgi_tokio::Error> {
/// let (near, far) = tokio::io::duplex(1024);
/// tokio::spawn(async {
///     serve_connection(far, async |_: Request| Response::new("hello"), &Config::default()).await
/// });
/// let request = Request::new(RequestHead::builder("GET", "/").build(), "");
/// let response = Client::new(near, Limits::default()).request(request).await?;
/// assert_eq!(response.into_body().collect(100).await?, "hello");
/// # Ok(()) }
/// ```
pub async fn serve_connection<IO, M, H>(io: IO, handler: H, config: &Config) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler<M>,
{
    answer(&mut Connection::new(io, config), &handler, |_| ()).await
}

/// Reads the request, runs the handler, sends its response, closes.
async fn answer<IO, M, H>(
    connection: &mut Connection<IO>,
    handler: &H,
    send_at_once: fn(&IO),
) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler<M>,
{
    let head = match connection.next_event().await {
        Ok(Some(RequestEvent::Head(head))) => head,
        Ok(_) => return Ok(()),
        Err(error @ Error::Io(_)) => return Err(error),
        Err(error) => {
            connection.finish().await?;
            return Err(error);
        }
    };
    let (body, mut upload) = Upload::begin(connection, &head);
    let result = {
        let mut call = pin!(handler.call(Request::received(head, body)));
        poll_fn(|cx| poll_call(connection, &mut upload, call.as_mut(), cx)).await
    };
    match result {
        Ok(Ok(response)) => respond(connection, response, &mut upload, send_at_once).await?,
        Ok(Err(_)) => connection.fail(Status::INTERNAL_SERVER_ERROR),
        Err(Stopped::Broken(error)) => return Err(error),
        Err(Stopped::Refused) => {}
    }
    drop(upload);
    connection.finish().await
}

/// Why a handler was not run to its end.
enum Stopped {
    /// The peer broke the connection.
    Broken(Error),
    /// The exchange itself has replied, to a request that took too long.
    Refused,
}

/// Polls the handler, and serves its demand for the body between.
fn poll_call<IO, F>(
    connection: &mut Connection<IO>,
    upload: &mut Upload,
    mut call: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<Result<Response, BoxError>, Stopped>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<Response, BoxError>>,
{
    loop {
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Ready(response)) => return Poll::Ready(Ok(response)),
            Ok(Poll::Pending) => {}
            Err(_) => return Poll::Ready(Ok(Err("the handler panicked".into()))),
        }
        if upload.poll(connection, cx).is_pending() {
            break;
        }
    }
    if let Poll::Ready(error) = connection.poll_broken(cx) {
        return Poll::Ready(Err(Stopped::Broken(error)));
    }
    ready!(connection.poll_late(cx));
    Poll::Ready(Err(Stopped::Refused))
}

/// The request's body on its way to the handler.
struct Upload {
    /// `None` once the body is handed over or nobody wants it.
    pipe: Option<PipeWriter>,
    /// A chunk that came with the head.
    first: Option<Bytes>,
}

impl Upload {
    /// Makes the body: of the bytes that came with the head if they are all of it, else a pipe.
    fn begin<IO>(connection: &mut Connection<IO>, head: &RequestHead) -> (Body, Self) {
        let len = head.body_length();
        let none = Self { pipe: None, first: None };
        if len == 0 {
            return (Body::empty(), none);
        }
        let first = match connection.exchange().next_event() {
            Ok(Some(RequestEvent::Body(chunk))) if chunk.len() as u64 == len => {
                return (Body::from(chunk), none);
            }
            Ok(Some(RequestEvent::Body(chunk))) => Some(chunk),
            _ => None,
        };
        let (writer, reader) = body_pipe();
        (Body::from_pipe(reader, len), Self { pipe: Some(writer), first })
    }

    /// Serves the handler's demand once; ready if it may go on with what it got.
    fn poll<IO>(&mut self, connection: &mut Connection<IO>, cx: &mut Context<'_>) -> Poll<()>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(pipe) = &mut self.pipe else { return Poll::Pending };
        match ready!(pipe.poll_demand(cx)) {
            Demand::Chunk => {}
            Demand::Nothing => {
                *self = Self { pipe: None, first: None };
                return Poll::Pending;
            }
        }
        let chunk = match self.first.take() {
            Some(chunk) => Ok(Some(RequestEvent::Body(chunk))),
            None => ready!(connection.poll_next_event(cx)),
        };
        match chunk {
            Ok(Some(RequestEvent::Body(chunk))) => pipe.send(chunk),
            Ok(_) => {
                pipe.end(Ok(()));
                self.pipe = None;
            }
            Err(error) => {
                pipe.end(Err(error));
                self.pipe = None;
            }
        }
        Poll::Ready(())
    }
}

/// Sends a response, and serves its demand for the request's body between.
async fn respond<IO>(
    connection: &mut Connection<IO>,
    response: Response,
    upload: &mut Upload,
    send_at_once: fn(&IO),
) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (mut head, mut body) = response.into_parts();
    head.state_content_length(body.len());
    let mut streaming = false;
    if connection.exchange().send(ResponseEvent::Head(head)).is_err() {
        connection.fail(Status::INTERNAL_SERVER_ERROR);
        return Ok(());
    }
    loop {
        let chunk = poll_fn(|cx| {
            poll_response(connection, upload, &mut body, cx, &mut streaming, send_at_once)
        });
        let event = match chunk.await {
            Ok(Some(chunk)) => ResponseEvent::Body(chunk),
            Ok(None) => ResponseEvent::End,
            Err(Part::Body) => {
                connection.fail(Status::INTERNAL_SERVER_ERROR);
                return Ok(());
            }
            Err(Part::Stream(error)) => return Err(error),
        };
        let last = event == ResponseEvent::End;
        if connection.exchange().send(event).is_err() {
            connection.fail(Status::INTERNAL_SERVER_ERROR);
            return Ok(());
        }
        if last {
            return Ok(());
        }
    }
}

/// What failed while a response was sent.
enum Part {
    /// The program's source of the body.
    Body,
    Stream(Error),
}

/// Waits until what is queued is written, then for the next chunk.
fn poll_response<IO>(
    connection: &mut Connection<IO>,
    upload: &mut Upload,
    body: &mut Body,
    cx: &mut Context<'_>,
    streaming: &mut bool,
    send_at_once: fn(&IO),
) -> Poll<Result<Option<Bytes>, Part>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        if body.is_streamed() {
            ready!(connection.poll_flush(cx)).map_err(Part::Stream)?;
        }
        match catch_unwind(AssertUnwindSafe(|| body.poll_chunk(cx))) {
            Ok(Poll::Ready(chunk)) => {
                return Poll::Ready(chunk.transpose().map_err(|_| Part::Body));
            }
            Ok(Poll::Pending) => {}
            Err(_) => return Poll::Ready(Err(Part::Body)),
        }
        if !*streaming {
            // The chunks come one by one: each should leave at once.
            *streaming = true;
            send_at_once(connection.io());
        }
        connection.exchange().flush();
        ready!(connection.poll_flush(cx)).map_err(Part::Stream)?;
        if upload.poll(connection, cx).is_pending() {
            break;
        }
    }
    if let Poll::Ready(error) = connection.poll_broken(cx) {
        return Poll::Ready(Err(Part::Stream(error)));
    }
    let timeout = ready!(connection.poll_late(cx));
    Poll::Ready(Err(Part::Stream(timeout.into())))
}

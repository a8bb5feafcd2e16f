//! One connection's way from request to reply.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use scgi_proto::{
    Demand, Error, PipeWriter, RequestEvent, RequestHead, ResponseEvent, Status, body_pipe,
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::body::Body;
use crate::connection::Connection;
use crate::handler::{BoxError, Handler};
use crate::message::{Request, Response};

/// Reads the request, runs the handler, sends its response, closes.
pub(crate) async fn answer<IO, M, H>(
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

//! One connection's way from request to reply.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use scgi_proto::{BoxError, Error, RequestEvent, ResponseEvent, Status};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::body::Body;
use crate::connection::Connection;
use crate::handler::Handler;
use crate::message::Response;
use crate::upload::Upload;

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
    let (request, mut upload) = Upload::begin(connection, head);
    let body = {
        let mut call = pin!(handler.call(request));
        poll_fn(|cx| poll_call(connection, &mut upload, call.as_mut(), cx)).await?
    };
    if let Some(mut body) = body {
        send_body(connection, &mut body, &mut upload, send_at_once).await?;
    }
    drop(upload);
    connection.finish().await
}

/// Polls the handler, and serves its demand for the body between. Gives the body of its
/// response, whose head is then queued; `None` if another reply took its place.
fn poll_call<IO, F>(
    connection: &mut Connection<IO>,
    upload: &mut Upload,
    mut call: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Body>, Error>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<Response, BoxError>>,
{
    loop {
        let poll = || connection.in_scope(|| call.as_mut().poll(cx));
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Ready(Ok(response))) => {
                return Poll::Ready(Ok(begin_reply(connection, response)));
            }
            Ok(Poll::Pending) => {}
            // It failed or panicked.
            Ok(Poll::Ready(Err(_))) | Err(_) => {
                connection.fail(Status::INTERNAL_SERVER_ERROR);
                return Poll::Ready(Ok(None));
            }
        }
        if upload.poll(connection, cx).is_pending() {
            break;
        }
    }
    if let Poll::Ready(error) = connection.poll_gone(cx) {
        return Poll::Ready(Err(error));
    }
    // The exchange itself has replied, to a request that took too long.
    ready!(connection.poll_late(cx));
    Poll::Ready(Ok(None))
}

/// Queues the head of a response and gives its body, if the head can be sent.
fn begin_reply<IO>(connection: &mut Connection<IO>, response: Response) -> Option<Body>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (mut head, body) = response.into_parts();
    head.state_content_length(body.len());
    if connection.exchange().send(ResponseEvent::Head(head)).is_err() {
        connection.fail(Status::INTERNAL_SERVER_ERROR);
        return None;
    }
    Some(body)
}

/// Sends the body of a response, and serves its demand for the request's body between.
async fn send_body<IO>(
    connection: &mut Connection<IO>,
    body: &mut Body,
    upload: &mut Upload,
    send_at_once: fn(&IO),
) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut streaming = false;
    poll_fn(|cx| {
        loop {
            let next = poll_response(connection, upload, body, cx, &mut streaming, send_at_once);
            let event = match ready!(next) {
                Ok(Some(chunk)) => ResponseEvent::Body(chunk),
                Ok(None) => ResponseEvent::End,
                Err(Part::Body) => {
                    connection.fail(Status::INTERNAL_SERVER_ERROR);
                    return Poll::Ready(Ok(()));
                }
                Err(Part::Stream(error)) => return Poll::Ready(Err(error)),
            };
            let last = event == ResponseEvent::End;
            if connection.exchange().send(event).is_err() {
                connection.fail(Status::INTERNAL_SERVER_ERROR);
                return Poll::Ready(Ok(()));
            }
            if last {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await
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
        let poll = || connection.in_scope(|| body.poll_chunk(cx));
        match catch_unwind(AssertUnwindSafe(poll)) {
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
    if let Poll::Ready(error) = connection.poll_gone(cx) {
        return Poll::Ready(Err(Part::Stream(error)));
    }
    let timeout = ready!(connection.poll_late(cx));
    Poll::Ready(Err(Part::Stream(timeout.into())))
}

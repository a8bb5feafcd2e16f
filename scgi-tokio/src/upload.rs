//! The body of a request on its way from the connection to the handler.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use scgi_proto::{Demand, PipeWriter, RequestEvent, RequestHead, body_pipe};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::body::Body;
use crate::connection::Connection;
use crate::message::Request;

/// The connection's end of a body that is streamed to the handler.
pub(crate) struct Upload {
    /// `None` once the body is handed over or nobody wants it.
    pipe: Option<PipeWriter>,
    /// A chunk that came with the head.
    first: Option<Bytes>,
}

impl Upload {
    /// Makes the request: its body of the bytes that came with the head if they are all of it,
    /// else a pipe.
    pub(crate) fn begin<IO>(connection: &mut Connection<IO>, head: RequestHead) -> (Request, Self) {
        let (body, upload) = Self::body(connection, head.body_length());
        (Request::from_parts(head, body).with_peer(connection.peer()), upload)
    }

    fn body<IO>(connection: &mut Connection<IO>, len: u64) -> (Body, Self) {
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
    pub(crate) fn poll<IO>(
        &mut self,
        connection: &mut Connection<IO>,
        cx: &mut Context<'_>,
    ) -> Poll<()>
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

//! Performs one read of a connection, and stores its bytes.

use core::task::Poll;
use std::io;

use bytes::Bytes;

use super::read_buffer::{read_chunk, with_read_buffer};
use crate::exchange::client::ClientExchange;
use crate::exchange::server::ServerExchange;
use crate::wire::event::{RequestEvent, ResponseEvent};

/// A machine that takes what is read from a connection.
pub trait ReadTarget {
    /// What it makes of a chunk of a body.
    type Event;

    /// See [`ServerExchange::receive_chunk`].
    fn receive_chunk(&mut self, read: Bytes) -> Option<Self::Event>;

    /// See [`ServerExchange::receive_slice`].
    fn receive_slice(&mut self, bytes: &[u8]);
}

impl ReadTarget for ServerExchange {
    type Event = RequestEvent;

    fn receive_chunk(&mut self, read: Bytes) -> Option<RequestEvent> {
        self.receive_chunk(read)
    }

    fn receive_slice(&mut self, bytes: &[u8]) {
        self.receive_slice(bytes);
    }
}

impl ReadTarget for ClientExchange {
    type Event = ResponseEvent;

    fn receive_chunk(&mut self, read: Bytes) -> Option<ResponseEvent> {
        self.receive_chunk(read)
    }

    fn receive_slice(&mut self, bytes: &[u8]) {
        self.receive_slice(bytes);
    }
}

/// One read into `machine`: returns the event of a chunk of a body, or `None` if the machine is to be
/// asked for events. `max_chunk_len` is [the machine's](ServerExchange::max_chunk_len), or `None` if no one
/// waits for a chunk; `read` returns how much it read, 0 at the end of input.
///
/// What it reads into is memory of the thread, so that a connection that waits holds none: what
/// came is copied, or is a chunk of a body and stays where it is.
///
/// # Examples
/// ```
/// use core::task::Poll;
/// use core::time::Duration;
/// use scgi_proto::driver::read_once;
/// use scgi_proto::{ConnectionConfig, ServerExchange, RequestEvent};
/// use std::io::Read;
///
/// let mut exchange = ServerExchange::new(&ConnectionConfig::default(), Duration::ZERO);
/// for (mut stream, event) in [
///     (&b"24:CONTENT_LENGTH\x002\x00SCGI\x001\x00,"[..], None),
///     (&b"hi"[..], Some(RequestEvent::Body("hi".into()))),
/// ] {
///     let max_chunk_len = exchange.max_chunk_len();
///     let read = read_once(&mut exchange, max_chunk_len, |buf| Poll::Ready(stream.read(buf)));
///     assert!(matches!(read, Poll::Ready(Ok(chunk)) if chunk == event));
///     exchange.next_event()?;
/// }
/// # Ok::<(), scgi_proto::DecodeError>(())
/// ```
pub fn read_once<M: ReadTarget>(
    machine: &mut M,
    max_chunk_len: Option<usize>,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<Option<M::Event>>> {
    match max_chunk_len {
        Some(limit) => read_chunk(limit, read).map_ok(|chunk| machine.receive_chunk(chunk)),
        None => with_read_buffer(|buf| {
            read(buf).map_ok(|count| {
                machine.receive_slice(&buf[..count]);
                None
            })
        }),
    }
}

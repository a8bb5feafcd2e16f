//! One read of a connection: where its bytes go, and what becomes of them.

use core::task::Poll;
use std::io;
use std::vec::Vec;

use bytes::Bytes;

use super::scratch::{read_chunk, with_scratch};
use crate::call::Call;
use crate::event::{RequestEvent, ResponseEvent};
use crate::exchange::Exchange;

/// Where a read goes.
#[derive(Debug)]
pub enum Room<'a> {
    /// Memory of the thread, from which what came is copied.
    Shared(&'a mut [u8]),
    /// The capacity of an empty `Vec`, for a chunk of a body that stays there. It need not be
    /// initialised.
    Own(&'a mut Vec<u8>),
}

impl Room<'_> {
    /// Reads from a stream that writes to slices alone: what is not initialised is zeroed first,
    /// which takes as much as a quarter of the time of an upload.
    pub fn zeroed(
        self,
        read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let buf = match self {
            Self::Shared(buf) => return read(buf),
            Self::Own(buf) => buf,
        };
        let filled = buf.len();
        buf.resize(buf.capacity(), 0);
        let read = read(&mut buf[filled..]);
        let count = if let Poll::Ready(Ok(count)) = &read { *count } else { 0 };
        buf.truncate(filled + count);
        read
    }
}

/// A machine that takes what is read from a connection.
pub trait Intake {
    /// What it makes of a chunk of a body.
    type Event;

    /// See [`Exchange::chunk_limit`].
    fn chunk_limit(&self) -> Option<usize>;

    /// See [`Exchange::receive_chunk`].
    fn receive_chunk(&mut self, read: Bytes) -> Option<Self::Event>;

    /// See [`Exchange::receive_slice`].
    fn receive_slice(&mut self, bytes: &[u8]);
}

impl Intake for Exchange {
    type Event = RequestEvent;

    fn chunk_limit(&self) -> Option<usize> {
        self.chunk_limit()
    }

    fn receive_chunk(&mut self, read: Bytes) -> Option<RequestEvent> {
        self.receive_chunk(read)
    }

    fn receive_slice(&mut self, bytes: &[u8]) {
        self.receive_slice(bytes);
    }
}

impl Intake for Call {
    type Event = ResponseEvent;

    fn chunk_limit(&self) -> Option<usize> {
        self.chunk_limit()
    }

    fn receive_chunk(&mut self, read: Bytes) -> Option<ResponseEvent> {
        self.receive_chunk(read)
    }

    fn receive_slice(&mut self, bytes: &[u8]) {
        self.receive_slice(bytes);
    }
}

/// One read into `machine`: gives the event of a chunk of a body, or `None` if the machine is to be
/// asked for events. `read` gives how much it read, 0 at the end of input.
///
/// # Examples
/// ```
/// use core::task::Poll;
/// use core::time::Duration;
/// use scgi_proto::driver::fill;
/// use scgi_proto::{Config, Exchange, RequestEvent};
/// use std::io::Read;
///
/// let mut exchange = Exchange::new(&Config::default(), Duration::ZERO);
/// for (mut stream, event) in [
///     (&b"24:CONTENT_LENGTH\x002\x00SCGI\x001\x00,"[..], None),
///     (&b"hi"[..], Some(RequestEvent::Body("hi".into()))),
/// ] {
///     let read = fill(&mut exchange, |room| room.zeroed(|buf| Poll::Ready(stream.read(buf))));
///     assert!(matches!(read, Poll::Ready(Ok(chunk)) if chunk == event));
///     exchange.next_event()?;
/// }
/// # Ok::<(), scgi_proto::DecodeError>(())
/// ```
pub fn fill<M: Intake>(
    machine: &mut M,
    read: impl FnOnce(Room<'_>) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<Option<M::Event>>> {
    fill_to(machine.chunk_limit(), machine, read)
}

/// As [`fill`], of a machine whose limit of a chunk is known.
pub(super) fn fill_to<M: Intake>(
    chunk_limit: Option<usize>,
    machine: &mut M,
    read: impl FnOnce(Room<'_>) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<Option<M::Event>>> {
    match chunk_limit {
        Some(limit) => read_chunk(limit, |room| read(Room::Own(room)))
            .map_ok(|chunk| machine.receive_chunk(chunk)),
        None => with_scratch(|buf| {
            read(Room::Shared(buf)).map_ok(|count| {
                machine.receive_slice(&buf[..count]);
                None
            })
        }),
    }
}

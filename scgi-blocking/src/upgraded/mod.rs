//! A connection that has changed its protocol, and the thread that has it.

mod program;
mod tunnel;

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use scgi_proto::{ShutdownSignal, driver};

use crate::connection::Connection;
use crate::pool::UpgradedPlace;
use crate::transport::Transport;
use crate::wait::Clock;
pub(crate) use program::{InPlace, Launch, Program};
use tunnel::{Call, SharedEnd, Tunnel};

/// A connection after a 101: a WebSocket, for example. Bytes pass in both directions as they are.
///
/// A handler takes it with [`Response::with_upgrade`](scgi_proto::Response::with_upgrade), whose
/// function runs on a thread of its own (see [`Serve::with_max_upgraded`](crate::Serve::with_max_upgraded)),
/// a client with [`Response::into_upgraded`](scgi_proto::Response::into_upgraded). What the peer sent before the 101 is read first. `&Upgraded` reads and writes too, so that one
/// thread can read while another writes. Of a stream that is not a socket, a read that waits keeps
/// the writer waiting.
///
/// Of the deadlines, only the write timeout holds
/// ([`ConnectionConfig::with_upgraded_write_timeout`](crate::ConnectionConfig::with_upgraded_write_timeout)).
/// At the shutdown deadline of a server, its reads and writes fail.
///
/// # Examples
/// ```
/// use scgi_blocking::{Request, Response, Status, Upgraded};
///
/// fn echo(request: Request) -> Response {
///     if !request.upgrade().is_some_and(|offer| offer.offers("echo")) {
///         return Response::new("").with_status(Status::UPGRADE_REQUIRED).with_field("Upgrade", "echo");
///     }
///     Response::switching_protocols("echo")
///         .with_upgrade(|io: Upgraded| std::io::copy(&mut &io, &mut &io).map(drop))
/// }
/// # let _ = echo;
/// ```
pub struct Upgraded {
    // Closed before the place is given up.
    tunnel: Box<dyn Tunnel>,
    _place: Option<Arc<UpgradedPlace>>,
}

impl Upgraded {
    /// One of a server, whose 101 was sent, and its place among the server's upgraded connections.
    pub(crate) fn of_server<IO: Read + Write + Send + 'static>(
        connection: Connection<IO>,
        place: Option<Arc<UpgradedPlace>>,
    ) -> Self {
        Self { tunnel: Box::new(SharedEnd::new(connection)), _place: place }
    }

    /// One of a client, whose 101 has come.
    pub(crate) fn of_client<IO: Read + Write + Send + 'static>(
        client: driver::Client<Transport<IO>, Clock>,
    ) -> Self {
        Self { tunnel: Box::new(SharedEnd::new(client)), _place: None }
    }

    /// Shuts down the write side: the peer sees the end, and can still send.
    ///
    /// # Errors
    /// If the stream failed, or has no side to shut down.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.tunnel.run(Call::ShutdownWrite).map(drop)
    }

    /// Completes when the server of the connection begins to stop. The program should then end what
    /// it does: at the shutdown deadline the connection is cut.
    #[must_use]
    pub fn shutdown_signal(&self) -> ShutdownSignal {
        self.tunnel.shutdown_signal()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").finish_non_exhaustive()
    }
}

impl Read for &Upgraded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() { Ok(0) } else { self.tunnel.run(Call::Read(buf)) }
    }
}

impl Write for &Upgraded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() { Ok(0) } else { self.tunnel.run(Call::Write(bytes)) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tunnel.run(Call::Flush).map(drop)
    }
}

impl Read for Upgraded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for Upgraded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

//! A connection that has changed its protocol.

use std::io::{self, IoSlice};
use std::pin::Pin;
#[cfg(feature = "tower")]
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use scgi_proto::{ShutdownSignal, driver};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection after a 101: a WebSocket, for example. Bytes pass in both directions as they are.
///
/// A handler takes it with [`Response::with_upgrade`](scgi_proto::Response::with_upgrade), a client
/// with [`Response::into_upgraded`](scgi_proto::Response::into_upgraded). What the peer sent before
/// the 101 is read first. `tokio::io::split` makes two halves of it.
///
/// On a server it keeps its place among the
/// [connections served at once](crate::Serve::with_max_connections) until it is dropped, in whichever task it
/// is. Of the deadlines, only the write timeout holds
/// ([`ConnectionConfig::with_upgraded_write_timeout`](crate::ConnectionConfig::with_upgraded_write_timeout)).
/// At the shutdown deadline, reads and writes fail.
///
/// # Examples
/// A server that sends back what it gets:
/// ```no_run
/// use scgi_tokio::{Listener, Request, Response, Status, Upgraded, serve};
///
/// async fn echo(request: Request) -> Response {
///     if !request.upgrade().is_some_and(|offer| offer.offers("echo")) {
///         return Response::new("").with_status(Status::UPGRADE_REQUIRED).with_field("Upgrade", "echo");
///     }
///     Response::switching_protocols("echo").with_upgrade(async |io: Upgraded| {
///         let (mut reader, mut writer) = tokio::io::split(io);
///         tokio::io::copy(&mut reader, &mut writer).await.map(drop)
///     })
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// serve(Listener::bind("127.0.0.1:4000").await?, echo).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Upgraded {
    driver: driver::Upgraded,
}

impl Upgraded {
    /// Completes when the server of the connection begins to stop. The program should then end what
    /// it does: at the shutdown deadline the connection is cut.
    #[must_use]
    pub fn shutdown_signal(&self) -> ShutdownSignal {
        self.driver.shutdown_signal()
    }
}

impl From<driver::Upgraded> for Upgraded {
    fn from(driver: driver::Upgraded) -> Self {
        Self { driver }
    }
}

/// The connection behind a 101, in the extensions of a response of [`Backend`](crate::Backend), which
/// have to be clones of each other: the first one to [take](Self::take) it has it.
#[cfg(feature = "tower")]
#[derive(Debug, Clone)]
pub struct UpgradedStream {
    stream: Arc<Mutex<Option<Upgraded>>>,
}

#[cfg(feature = "tower")]
impl UpgradedStream {
    pub(crate) fn new(stream: Upgraded) -> Self {
        Self { stream: Arc::new(Mutex::new(Some(stream))) }
    }

    /// The connection; `None` if a clone of this has given it away.
    #[must_use]
    pub fn take(&self) -> Option<Upgraded> {
        // No code that can panic runs under the lock.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = ready!(self.driver.poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.driver.poll_write(cx, buf, &[])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut bufs = bufs.iter().filter(|buf| !buf.is_empty());
        let mut next = || bufs.next().map_or(&[][..], |buf| buf);
        let (first, second) = (next(), next());
        self.driver.poll_write(cx, first, second)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.driver.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.driver.poll_shutdown(cx)
    }
}

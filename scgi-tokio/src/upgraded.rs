//! A connection that has changed its protocol.

#[cfg(feature = "tower")]
use std::sync::{Arc, Mutex, PoisonError};

use scgi_proto::driver;

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
pub type Upgraded = driver::Upgraded;

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

//! A connection that has changed its protocol, and the thread that has it.

use std::fmt;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use scgi_proto::trace::Trace;
use scgi_proto::{BoxError, Error, ShutdownSignal};

use crate::connection::{Connection, Driver, Step};
use crate::socket::Socket;
use crate::stream::Stream;
use crate::transport::Patience;

/// A connection after a 101: a WebSocket, for example. Bytes pass in both directions as they are.
///
/// A handler takes it with [`Response::with_upgrade`](scgi_proto::Response::with_upgrade), whose
/// function runs on a thread of its own (see [`Serve::with_max_upgraded`](crate::Serve::with_max_upgraded)).
/// What the peer sent before the 101 is read first. `&Upgraded` reads and writes too, so that one
/// thread can read while another writes. Of a stream that is not a socket, a read that waits keeps
/// the writer waiting.
///
/// Of the deadlines, only the write timeout holds
/// ([`ConnectionConfig::with_upgraded_write_timeout`](crate::ConnectionConfig::with_upgraded_write_timeout)).
/// At the shutdown deadline, reads and writes fail.
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
    tunnel: Box<dyn Tunnel>,
}

/// The stream of an upgraded connection.
trait Tunnel: Send + Sync {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    fn flush(&self) -> io::Result<()>;
    fn shutdown_write(&self) -> io::Result<()>;
    fn shutdown_signal(&self) -> ShutdownSignal;
}

impl Upgraded {
    /// One of a server, whose 101 was sent.
    pub(crate) fn of_server<IO: Read + Write + Send + 'static>(
        mut connection: Connection<IO>,
    ) -> Self {
        let handle = connection.socket().and_then(|socket| socket.share().ok());
        Self { tunnel: Box::new(ServerTunnel { connection: Mutex::new(connection), handle }) }
    }

    /// Shuts down the write side: the peer sees the end, and can still send.
    ///
    /// # Errors
    /// If the stream failed, or has no side to shut down.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.tunnel.shutdown_write()
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
        if buf.is_empty() { Ok(0) } else { self.tunnel.read(buf) }
    }
}

impl Write for &Upgraded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() { Ok(0) } else { self.tunnel.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tunnel.flush()
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

/// The server's end. No one waits with the lock, unless the stream is not a socket.
struct ServerTunnel<IO> {
    connection: Mutex<Connection<IO>>,
    /// Another handle of its socket, to wait with; `None` if there is none.
    handle: Option<Stream>,
}

impl<IO: Read + Write> ServerTunnel<IO> {
    fn lock(&self) -> MutexGuard<'_, Connection<IO>> {
        // Only a panic in the program's own stream could poison it.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls the driver until it is ready.
    fn block_on<R>(
        &self,
        mut poll: impl FnMut(&mut Driver<IO>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> io::Result<R> {
        loop {
            let mut connection = self.lock();
            let step = connection
                .step(Patience::Nothing, |driver, cx| poll(driver, cx).map_err(Error::from));
            let wait = match step {
                Step::Done(done) => {
                    if connection.driver().exchange().is_closed() {
                        self.end_waits();
                    }
                    return done.map_err(io::Error::from);
                }
                Step::Again => continue,
                Step::Wait(wait) => wait,
            };
            let cancel = connection.cancel().cloned();
            drop(connection);
            let socket = self.handle.as_ref().map(|handle| handle as &dyn Socket);
            wait.run(socket, cancel.as_deref(), false)?;
        }
    }

    /// The connection is over, so the other direction has nothing to wait for.
    fn end_waits(&self) {
        if let Some(handle) = &self.handle {
            handle.shutdown_both();
        }
    }
}

impl<IO: Read + Write + Send> Tunnel for ServerTunnel<IO> {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.block_on(|driver, cx| driver.poll_upgraded_read(cx, buf))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.block_on(|driver, cx| driver.poll_upgraded_write(cx, bytes, &[]))
    }

    fn flush(&self) -> io::Result<()> {
        self.block_on(Driver::poll_upgraded_flush)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.block_on(Driver::poll_upgraded_shutdown)
    }

    fn shutdown_signal(&self) -> ShutdownSignal {
        self.lock().driver().shutdown_signal()
    }
}

/// What the program does with the connection.
pub(crate) struct Program(pub(crate) Box<dyn FnOnce(Upgraded) -> Result<(), BoxError> + Send>);

impl Program {
    /// Runs it, and logs if it fails or panics.
    fn run(self, io: Upgraded) {
        match catch_unwind(AssertUnwindSafe(|| (self.0)(io))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => Trace::upgraded_failed(&*error),
            Err(panic) => Trace::panicked(&*panic),
        }
    }
}

/// Where the program of an upgrade runs.
pub(crate) trait Launch {
    /// What is ready to run it.
    type Start;

    /// Makes sure that it can run, before the 101 is sent. `None` if it cannot.
    fn prepare(&self) -> Option<Self::Start>;

    /// Runs it.
    fn run(&self, start: Self::Start, program: Box<Program>, io: Upgraded);
}

/// On the thread that has answered.
pub(crate) struct InPlace;

impl Launch for InPlace {
    type Start = ();

    fn prepare(&self) -> Option<()> {
        Some(())
    }

    fn run(&self, (): (), program: Box<Program>, io: Upgraded) {
        program.run(io);
    }
}

/// On threads of their own, up to a number, so that those which answer requests stay free.
#[derive(Clone)]
pub(crate) struct OwnThreads {
    open: Arc<Open>,
    max: usize,
}

/// How many there are.
#[derive(Default)]
struct Open {
    count: Mutex<usize>,
    closed: Condvar,
}

/// One of them, for as long as it runs.
struct Place(Arc<Open>);

impl Open {
    fn count(&self) -> MutexGuard<'_, usize> {
        // No code that can panic runs under the lock.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.count() -= 1;
        self.0.closed.notify_all();
    }
}

impl OwnThreads {
    pub(crate) fn new(max: usize) -> Self {
        Self { open: Arc::default(), max }
    }

    fn place(&self) -> Option<Place> {
        let mut count = self.open.count();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Place(Arc::clone(&self.open)))
    }

    /// Waits until none is left, at most for a time. Returns how many are.
    pub(crate) fn wait_until_closed(&self, timeout: Option<Duration>) -> usize {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut count = self.open.count();
        while *count > 0 {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            let closed = &self.open.closed;
            count = match left {
                Some(left) => {
                    closed.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => closed.wait(count).unwrap_or_else(PoisonError::into_inner),
            };
        }
        *count
    }
}

impl Launch for OwnThreads {
    type Start = SyncSender<(Box<Program>, Upgraded)>;

    fn prepare(&self) -> Option<Self::Start> {
        let place = self.place()?;
        let (start, started) = sync_channel(1);
        let thread = thread::Builder::new().name("scgi-upgraded".to_owned()).spawn(move || {
            // Nothing comes if the 101 could not be sent.
            if let Ok((program, io)) = started.recv() {
                let program: Box<Program> = program;
                program.run(io);
            }
            drop(place);
        });
        if let Err(error) = thread {
            Trace::thread_failed(&error);
            return None;
        }
        Some(start)
    }

    fn run(&self, start: Self::Start, program: Box<Program>, io: Upgraded) {
        // The thread waits for it.
        let _ = start.send((program, io));
    }
}

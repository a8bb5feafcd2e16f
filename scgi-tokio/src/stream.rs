//! One type for the streams of TCP and Unix sockets.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use scgi_proto::driver::connect;
use scgi_proto::socket::{AsSocket, SocketRef, StreamSocket};
#[cfg(unix)]
use scgi_proto::socket::{UnregisteredSocket, read_at_once, shutdown_write, write_at_once};
use scgi_proto::{ClientConfig, Error, Peer, ToAddress};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::runtime::Tokio;
use crate::transport::PinnedClock;

/// A connected TCP or Unix socket.
///
/// # Examples
/// ```no_run
/// use scgi_tokio::Stream;
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let stream = Stream::connect("/run/app.sock").await?;
/// println!("{}", stream.peer()?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Stream {
    socket: StreamSocket<Tokio>,
}

impl Stream {
    /// Connects to an address, which is resolved if it is a host name, within the default deadline of
    /// [`ClientConfig`] (10 s).
    ///
    /// # Errors
    /// If that fails; [`io::ErrorKind::TimedOut`] if it takes too long;
    /// [`io::ErrorKind::Unsupported`] for a Unix socket where there are none.
    ///
    /// # Cancel safety
    /// As [`connect_with`](Self::connect_with).
    pub async fn connect(address: impl ToAddress) -> io::Result<Self> {
        Ok(Self::connect_with(address, &ClientConfig::default()).await?)
    }

    /// As [`connect`](Self::connect), within the deadlines of `config` for connecting and for the
    /// whole call. Names are looked up on a thread of tokio; the rest is that of
    /// [`connect`](scgi_proto::driver::connect) of the core.
    ///
    /// # Errors
    /// [`Error::Io`] if that fails; [`Error::Timeout`] if it takes too long.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up, and the server sees a connection without a byte at most.
    pub async fn connect_with(
        address: impl ToAddress,
        config: &ClientConfig,
    ) -> Result<Self, Error> {
        let clock = pin!(PinnedClock::since(Instant::now()));
        Ok(Self { socket: connect(address, config, clock).await? })
    }

    /// The program at the other end.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn peer(&self) -> io::Result<Peer> {
        self.socket.peer()
    }

    /// The socket, for calls that the reactor need not know of.
    pub(crate) fn socket(&self) -> Option<SocketRef<'_>> {
        self.socket.get()
    }

    /// The stream of the runtime, which knows it already.
    fn registered(&mut self) -> io::Result<Pin<&mut dyn Registered>> {
        match &mut self.socket {
            StreamSocket::Tcp(stream) => Ok(Pin::new(stream)),
            #[cfg(unix)]
            StreamSocket::Unix(stream) => Ok(Pin::new(stream)),
            _ => Err(StreamSocket::<Tokio>::gone()),
        }
    }
}

/// A stream of the runtime, of either kind.
trait Registered: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Registered for S {}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self { socket: StreamSocket::Tcp(stream) }
    }
}

#[cfg(unix)]
impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self { socket: StreamSocket::Unix(stream) }
    }
}

#[cfg(unix)]
impl From<UnregisteredSocket> for Stream {
    fn from(socket: UnregisteredSocket) -> Self {
        Self { socket: StreamSocket::Unregistered(socket) }
    }
}

/// # Panics
/// If the runtime could not take the socket over, which a read or write has reported.
impl AsSocket for Stream {
    #[cfg(unix)]
    fn as_fd(&self) -> SocketRef<'_> {
        self.socket.as_fd()
    }

    #[cfg(windows)]
    fn as_socket(&self) -> SocketRef<'_> {
        self.socket.as_socket()
    }
}

/// A read of an accepted socket needs room that is initialised. For more bytes than this, which is
/// the body of an upload, zeroing costs more than the reactor, whose reads do without.
#[cfg(unix)]
const ZEROED: usize = 16 * 1024;

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        #[cfg(unix)]
        {
            if buf.capacity() - buf.initialized().len() > ZEROED {
                self.socket.register()?;
            }
            let read = |socket: SocketRef<'_>| read_at_once(socket, buf.initialize_unfilled());
            if let Some(count) = self.socket.try_unregistered(read)? {
                buf.advance(count);
                return Poll::Ready(Ok(()));
            }
        }
        self.registered()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        #[cfg(unix)]
        if let Some(count) =
            self.socket.try_unregistered(|socket| write_at_once(socket, &[IoSlice::new(buf)]))?
        {
            return Poll::Ready(Ok(count));
        }
        self.registered()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        #[cfg(unix)]
        if let Some(count) = self.socket.try_unregistered(|socket| write_at_once(socket, bufs))? {
            return Poll::Ready(Ok(count));
        }
        self.registered()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets hold nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        #[cfg(unix)]
        if let Some(()) = self.socket.try_unregistered(|s| shutdown_write(s).map(Some))? {
            return Poll::Ready(Ok(()));
        }
        self.registered()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_sends_each_piece_at_once() -> io::Result<()> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let stream = Stream::connect(listener.local_addr()?).await?;
        let Stream { socket: StreamSocket::Tcp(stream) } = &stream else { panic!("{stream:?}") };
        assert!(stream.nodelay()?);
        Ok(())
    }
}

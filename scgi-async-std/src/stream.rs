//! One type for the streams of TCP and Unix sockets.

use std::io::{self, IoSlice};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::pin::Pin;
#[cfg(unix)]
use std::task::ready;
use std::task::{Context, Poll};
use std::time::Instant;

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use scgi_proto::driver::connect;
use scgi_proto::socket::{AsSocket, SocketRef, StreamSocket, shutdown_write};
#[cfg(unix)]
use scgi_proto::socket::{UnregisteredSocket, read_at_once, write_at_once};
use scgi_proto::{ClientConfig, Error, Peer, ToAddress};

use crate::runtime::AsyncIo;
use crate::transport::Clock;

/// A connected TCP or Unix socket.
///
/// # Examples
/// ```no_run
/// use scgi_async_std::Stream;
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let stream = Stream::connect("/run/app.sock").await?;
/// println!("{}", stream.peer()?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Stream {
    socket: StreamSocket<AsyncIo>,
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
    /// whole call. Names are looked up on a thread of the crate `blocking`; the rest is that of
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
        let clock = Clock::of_async_io(Instant::now());
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
            _ => Err(StreamSocket::<AsyncIo>::gone()),
        }
    }
}

/// A stream of the runtime, of either kind.
trait Registered: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Registered for S {}

impl From<Async<TcpStream>> for Stream {
    fn from(stream: Async<TcpStream>) -> Self {
        Self { socket: StreamSocket::Tcp(stream) }
    }
}

#[cfg(unix)]
impl From<Async<UnixStream>> for Stream {
    fn from(stream: Async<UnixStream>) -> Self {
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

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        #[cfg(unix)]
        if let StreamSocket::Unregistered(_) = self.socket {
            if let Some(count) = self.socket.try_unregistered(|s| read_at_once(s, buf))? {
                return Poll::Ready(Ok(count));
            }
            // `Async` would read again before it waits.
            match &self.socket {
                StreamSocket::Tcp(stream) => ready!(stream.poll_readable(cx))?,
                StreamSocket::Unix(stream) => ready!(stream.poll_readable(cx))?,
                StreamSocket::Unregistered(_) | StreamSocket::Gone => {}
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

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets hold nothing back.
        Poll::Ready(Ok(()))
    }

    /// Ends what is sent. [`Async`] would only flush, and a peer that waits for the end of a reply
    /// would get it at the close.
    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown_write(self.socket().ok_or_else(StreamSocket::<AsyncIo>::gone)?))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use async_io::block_on;

    use super::*;

    #[test]
    fn a_name_is_resolved_and_a_failure_is_told() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let connect = |host: &str| block_on(Stream::connect(format!("{host}:{port}")));
        for host in ["127.0.0.1", "localhost"] {
            let stream = connect(host)?;
            let StreamSocket::Tcp(stream) = &stream.socket else { panic!("{stream:?}") };
            assert_eq!(listener.accept()?.1, stream.get_ref().local_addr()?, "{host}");
        }
        drop(listener);
        for host in ["127.0.0.1", "localhost"] {
            let error = connect(host).expect_err("no server listens");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{host}");
        }
        Ok(())
    }

    #[test]
    fn a_client_sends_each_piece_at_once() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = block_on(Stream::connect(listener.local_addr()?))?;
        let StreamSocket::Tcp(stream) = &stream.socket else { panic!("{stream:?}") };
        assert!(stream.get_ref().nodelay()?);
        Ok(())
    }
}

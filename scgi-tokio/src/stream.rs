//! One type for the streams of TCP and Unix sockets.

use std::io::{self, IoSlice};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

#[cfg(unix)]
use scgi_proto::driver::connect_unix;
use scgi_proto::driver::{connect_first, connect_in_time};
use scgi_proto::{Address, ClientConfig, Error, Peer, ToAddress};
#[cfg(not(unix))]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::transport::PinnedClock;

#[cfg(unix)]
use scgi_proto::socket::{UnregisteredSocket, read_at_once, shutdown_write, write_at_once};

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
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    /// Not yet known to the reactor: a request that is there already is answered without it,
    /// which saves two system calls and an allocation.
    #[cfg(unix)]
    Unregistered(UnregisteredSocket),
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// Registering failed; the error was reported.
    #[cfg_attr(not(unix), expect(dead_code, reason = "sockets are registered at once there"))]
    Gone,
}

impl Stream {
    /// Connects to an address, which is resolved if it is a host name, within the default deadline of
    /// [`ClientConfig`] (10 s). See [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// If that fails; [`io::ErrorKind::TimedOut`] if it takes too long;
    /// [`io::ErrorKind::Unsupported`] for a Unix socket where there are none.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up, and the server sees a connection without a byte at most.
    pub async fn connect(address: impl ToAddress) -> io::Result<Self> {
        Ok(Self::connect_with(address, &ClientConfig::default()).await?)
    }

    /// Connects to an address, which is resolved if it is a host name, within the deadlines of
    /// `config` for connecting and for the whole call.
    ///
    /// The addresses of a name are tried one beside the other, each 250 ms after the one before (RFC
    /// 8305). The system's look-up of the name runs on a thread of tokio; one that is not done in
    /// time is left behind there until the system ends it. While the queue of a Unix socket is
    /// full, it is tried again up to every 50 ms; systems other than Linux refuse the connection
    /// instead. On TCP, each piece of a request leaves at once (TCP_NODELAY).
    ///
    /// # Errors
    /// [`Error::Io`] if that fails, of the kind [`Unsupported`](io::ErrorKind::Unsupported) for a
    /// Unix socket where there are none; [`Error::Timeout`] if it takes too long.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up, and the server sees a connection without a byte at most.
    pub async fn connect_with(
        address: impl ToAddress,
        config: &ClientConfig,
    ) -> Result<Self, Error> {
        let parsed;
        let address = match address.as_address() {
            Some(address) => address,
            None => {
                parsed = address.to_address()?;
                &parsed
            }
        };
        let clock = pin!(PinnedClock::since(Instant::now()));
        connect_in_time(clock, config, Self::connect_unbounded(address)).await
    }

    async fn connect_unbounded(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(name) => {
                let stream = match address.socket_address() {
                    Some(address) => TcpStream::connect(address).await?,
                    None if address.is_host_name() => {
                        let found = tokio::net::lookup_host(name.as_str()).await?;
                        connect_first(found, TcpStream::connect, sleep).await?
                    }
                    None => TcpStream::connect(&address.resolve()?[..]).await?,
                };
                // Only a matter of delay.
                let _ = stream.set_nodelay(true);
                Ok(stream.into())
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                let socket = connect_unix(path, sleep).await?;
                Ok(UnixStream::from_std(socket.into())?.into())
            }
            // One that a server is given.
            Address::Fd(_) | Address::Systemd(_) => Err(io::ErrorKind::Unsupported.into()),
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether it is a Unix socket.
    pub(crate) fn is_unix(&self) -> bool {
        match &self.inner {
            #[cfg(unix)]
            Inner::Unregistered(UnregisteredSocket::Unix(_)) | Inner::Unix(_) => true,
            _ => false,
        }
    }

    /// Hands an accepted socket to the reactor.
    #[cfg(unix)]
    fn register(&mut self) -> io::Result<()> {
        self.inner = match std::mem::replace(&mut self.inner, Inner::Gone) {
            Inner::Unregistered(UnregisteredSocket::Tcp(fd)) => {
                Inner::Tcp(TcpStream::from_std(fd.into())?)
            }
            Inner::Unregistered(UnregisteredSocket::Unix(fd)) => {
                Inner::Unix(UnixStream::from_std(fd.into())?)
            }
            other => other,
        };
        Ok(())
    }

    /// The program at the other end.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn peer(&self) -> io::Result<Peer> {
        #[cfg(unix)]
        return scgi_proto::socket::peer(self.socket().ok_or_else(gone)?);
        #[cfg(not(unix))]
        self.tcp().and_then(|tcp| tcp.peer_addr().ok()?.as_socket()).map(Peer::Tcp).ok_or_else(gone)
    }

    /// The socket, for calls that the reactor need not know of.
    #[cfg(unix)]
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.inner {
            Inner::Unregistered(socket) => Some(socket.as_fd()),
            Inner::Tcp(stream) => Some(stream.as_fd()),
            Inner::Unix(stream) => Some(stream.as_fd()),
            Inner::Gone => None,
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn tcp(&self) -> Option<SockRef<'_>> {
        match &self.inner {
            Inner::Tcp(stream) => Some(SockRef::from(stream)),
            Inner::Gone => None,
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self { inner: Inner::Tcp(stream) }
    }
}

#[cfg(unix)]
impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self { inner: Inner::Unix(stream) }
    }
}

#[cfg(unix)]
impl From<UnregisteredSocket> for Stream {
    fn from(socket: UnregisteredSocket) -> Self {
        Self { inner: Inner::Unregistered(socket) }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// A read of an accepted socket needs room that is initialised. For more bytes than this, which is
/// the body of an upload, zeroing costs more than the reactor, whose reads do without.
#[cfg(unix)]
const ZEROED: usize = 16 * 1024;

/// Tries the call on the accepted socket first; what would wait goes to the reactor's.
macro_rules! poll {
    ($self:ident, $accepted:ident => $try:expr, $stream:ident => $call:expr) => {{
        let this = $self.get_mut();
        #[cfg(unix)]
        if let Inner::Unregistered($accepted) = &this.inner {
            if let Some(done) = $try? {
                return Poll::Ready(Ok(done));
            }
            this.register()?;
        }
        match &mut this.inner {
            Inner::Tcp($stream) => $call,
            #[cfg(unix)]
            Inner::Unix($stream) => $call,
            #[cfg(unix)]
            Inner::Unregistered(_) => Poll::Ready(Err(gone())),
            Inner::Gone => Poll::Ready(Err(gone())),
        }
    }};
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        #[cfg(unix)]
        if let Inner::Unregistered(_) = this.inner {
            if buf.capacity() - buf.initialized().len() > ZEROED {
                this.register()?;
            }
        }
        let this = Pin::new(this);
        poll!(this, socket => {
            let read = read_at_once(socket, buf.initialize_unfilled());
            read.map(|count| count.map(|count| buf.advance(count)))
        }, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        poll!(self, socket => write_at_once(socket, &[IoSlice::new(buf)]), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll!(
            self,
            socket => write_at_once(socket, bufs),
            stream => Pin::new(stream).poll_write_vectored(cx, bufs)
        )
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets hold nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll!(self, socket => shutdown_write(socket).map(Some), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_sends_each_piece_at_once() -> io::Result<()> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let stream = Stream::connect(listener.local_addr()?).await?;
        let socket = stream.socket().expect("it is connected");
        assert!(socket2::SockRef::from(&socket).tcp_nodelay()?);
        Ok(())
    }
}

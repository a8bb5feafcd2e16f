//! Where else a server accepts connections: a listener of the program's own.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use scgi_proto::server::{AcceptedStream, Acceptor};
use scgi_proto::socket::SocketRef;
use scgi_proto::{Address, Peer, driver};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::listener::Listener;
use crate::stream::Stream;
use crate::transport::Transport;

/// A listener of the program's own, for [`serve`](crate::serve()): of TLS streams, of vsock, in
/// memory. axum's trait `Listener` is its model.
///
/// A server waits for one connection after the other, so `accept` must not wait for what a peer
/// sends: do a handshake in the stream, at its first read, or in a task.
///
/// # Examples
/// ```
/// use scgi_tokio::{Accept, Client, ClientConfig, Peer, Request, RequestHead, Response, serve};
/// use std::io;
/// use tokio::io::DuplexStream;
/// use tokio::sync::mpsc::{Receiver, channel};
///
/// struct InMemory(Receiver<DuplexStream>);
///
/// impl Accept for InMemory {
///     type Io = DuplexStream;
///
///     async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
///         match self.0.recv().await {
///             Some(stream) => Ok((stream, Peer::Other)),
///             None => std::future::pending().await,
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), scgi_tokio::Error> {
/// let (connect, listener) = channel(1);
/// tokio::spawn(serve(InMemory(listener), async |_: Request| Response::new("hello")).into_future());
///
/// let (near, far) = tokio::io::duplex(1024);
/// connect.send(far).await.expect("the server runs");
/// let request = Request::new(RequestHead::builder("GET", "/").build(), "");
/// let response = Client::new(near, &ClientConfig::default()).request(request).await?;
/// assert_eq!(response.into_body().collect(100).await?, "hello");
/// # Ok(()) }
/// ```
pub trait Accept: Send + Sized + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection. The peer is what [`Request::peer`](crate::Request::peer)
    /// returns and what an [`AllowList`](crate::AllowList) checks; [`Peer::Other`] if it is neither a
    /// TCP nor a Unix socket.
    ///
    /// # Errors
    /// If accepting fails. The server continues, after a pause if errors follow one another.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, Peer)>> + Send;

    /// The address it listens on, where it has one.
    fn local_address(&self) -> Option<Address> {
        None
    }

    /// Calls `tap` with every accepted stream before it is served, to set its options for example.
    fn tap_io<F>(self, tap: F) -> TapIo<Self, F>
    where
        F: FnMut(&mut Self::Io) + Send + 'static,
    {
        TapIo { listener: self, tap }
    }
}

/// What [`serve`](crate::serve()) accepts connections from: a [`Listener`], a listener of tokio, or
/// one of the program's own ([`Accept`]).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a listener that `scgi_tokio::serve` takes",
    note = "it takes a `scgi_tokio::Listener`, a listener of tokio, and types that implement \
            `scgi_tokio::Accept`"
)]
pub trait Listen {
    /// The listener as the server of the core uses it.
    type Acceptor: Acceptor + 'static;

    /// Makes it one that a server can use.
    fn into_acceptor(self) -> Self::Acceptor;
}

macro_rules! listen {
    ($listener:ty) => {
        impl Listen for $listener {
            type Acceptor = Listener;

            fn into_acceptor(self) -> Listener {
                self.into()
            }
        }
    };
}

listen!(Listener);
listen!(tokio::net::TcpListener);
#[cfg(unix)]
listen!(tokio::net::UnixListener);

impl<A: Accept> Listen for A {
    type Acceptor = OwnAcceptor<A>;

    fn into_acceptor(self) -> OwnAcceptor<A> {
        OwnAcceptor { address: self.local_address(), state: State::Idle(self) }
    }
}

/// A listener that shows its streams to a function: [`Accept::tap_io`], [`Listener::tap_io`].
pub struct TapIo<L, F> {
    listener: L,
    tap: F,
}

impl<L: fmt::Debug, F> fmt::Debug for TapIo<L, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TapIo").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl<A, F> Accept for TapIo<A, F>
where
    A: Accept,
    F: FnMut(&mut A::Io) + Send + 'static,
{
    type Io = A::Io;

    async fn accept(&mut self) -> io::Result<(A::Io, Peer)> {
        let (mut io, peer) = self.listener.accept().await?;
        (self.tap)(&mut io);
        Ok((io, peer))
    }

    fn local_address(&self) -> Option<Address> {
        self.listener.local_address()
    }
}

impl Listener {
    /// Calls `tap` with every accepted stream before it is served.
    ///
    /// # Examples
    /// ```
    /// use scgi_tokio::{Listener, Request, Response, serve};
    /// # async fn run() -> std::io::Result<()> {
    /// let listener = Listener::bind("127.0.0.1:4000").await?;
    /// let listener = listener.tap_io(|stream| println!("{:?}", stream.peer()));
    /// serve(listener, async |_: Request| Response::new("hello")).await?;
    /// # Ok(()) }
    /// ```
    pub fn tap_io<F>(self, tap: F) -> TapIo<Self, F>
    where
        F: FnMut(&mut Stream) + Send + 'static,
    {
        TapIo { listener: self, tap }
    }
}

impl<F: FnMut(&mut Stream) + Send + 'static> Listen for TapIo<Listener, F> {
    type Acceptor = Self;

    fn into_acceptor(self) -> Self {
        self
    }
}

impl<F: FnMut(&mut Stream) + Send> TapIo<Listener, F> {
    fn tapped(&mut self, mut stream: Transport<Stream>) -> Transport<Stream> {
        (self.tap)(stream.io_mut());
        stream
    }
}

impl<F: FnMut(&mut Stream) + Send> Acceptor for TapIo<Listener, F> {
    type Stream = Transport<Stream>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Transport<Stream>>> {
        let stream = ready!(Acceptor::poll_accept(&mut self.listener, cx))?;
        Poll::Ready(Ok(self.tapped(stream)))
    }

    fn try_accept(&mut self) -> io::Result<Option<Transport<Stream>>> {
        let stream = self.listener.try_accept()?;
        Ok(stream.map(|stream| self.tapped(stream)))
    }

    fn check(&self) -> io::Result<()> {
        Acceptor::check(&self.listener)
    }

    fn is_inherited(&self) -> bool {
        self.listener.is_inherited()
    }

    fn address(&self) -> Option<Address> {
        self.listener.address()
    }
}

/// A listener of the program's own, as the server of the core uses it.
pub struct OwnAcceptor<A: Accept> {
    address: Option<Address>,
    state: State<A>,
}

enum State<A: Accept> {
    Idle(A),
    Accepting(Accepting<A>),
    /// Accepting panicked.
    Gone,
}

/// Owns the listener until a connection comes: a future that borrowed it could not be kept.
type Accepting<A> =
    Pin<Box<dyn Future<Output = (io::Result<(<A as Accept>::Io, Peer)>, A)> + Send>>;

impl<A: Accept> fmt::Debug for OwnAcceptor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnAcceptor").field("address", &self.address).finish_non_exhaustive()
    }
}

impl<A: Accept> Acceptor for OwnAcceptor<A> {
    type Stream = OwnStream<A::Io>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<OwnStream<A::Io>>> {
        let mut accepting: Accepting<A> = match mem::replace(&mut self.state, State::Gone) {
            State::Idle(mut listener) => Box::pin(async move {
                let accepted = listener.accept().await;
                (accepted, listener)
            }),
            State::Accepting(accepting) => accepting,
            State::Gone => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        let Poll::Ready((accepted, listener)) = accepting.as_mut().poll(cx) else {
            self.state = State::Accepting(accepting);
            return Poll::Pending;
        };
        self.state = State::Idle(listener);
        Poll::Ready(accepted.map(|(io, peer)| OwnStream { transport: Transport::new(io), peer }))
    }

    fn address(&self) -> Option<Address> {
        self.address.clone()
    }
}

/// A stream of a listener of the program's own.
#[derive(Debug)]
pub struct OwnStream<IO> {
    transport: Transport<IO>,
    peer: Peer,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> driver::Transport for OwnStream<IO> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.transport.poll_read(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.transport.poll_write(cx, first, second)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_shutdown(cx)
    }

    fn socket(&self) -> Option<SocketRef<'_>> {
        self.transport.socket()
    }
}

impl<IO> AcceptedStream for OwnStream<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn peer(&self) -> io::Result<Peer> {
        Ok(self.peer)
    }
}

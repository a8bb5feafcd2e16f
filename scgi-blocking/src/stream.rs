//! One type for the streams of TCP and Unix sockets.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use scgi_proto::{Address, ClientConfig, Error, Peer, ToAddress};

use crate::connect;
use crate::socket::Socket;

/// A connected TCP or Unix socket.
///
/// # Examples
/// ```no_run
/// use scgi_blocking::Stream;
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let stream = Stream::connect("/run/app.sock")?;
/// println!("{stream:?}");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// Connects to an address, which is resolved if it is a host name, within the default deadline of
    /// [`ClientConfig`] (10 s). See [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// If that fails; [`io::ErrorKind::TimedOut`] if it takes too long;
    /// [`io::ErrorKind::Unsupported`] for a Unix socket where there are none.
    pub fn connect(address: impl ToAddress) -> io::Result<Self> {
        Ok(Self::connect_with(address, &ClientConfig::default())?)
    }

    /// Connects to an address, which is resolved if it is a host name, within the deadlines of
    /// `config` for connecting and for the whole call.
    ///
    /// The addresses of a name are tried one after the other; each has its share of the time that is
    /// left. The system's look-up of the name runs on a thread of its own; one that is not done in
    /// time is left behind there until the system ends it. While the queue of a Unix socket is
    /// full, Linux lets the connection wait; other systems refuse it instead. On TCP, each piece of a
    /// request leaves at once (TCP_NODELAY).
    ///
    /// # Errors
    /// [`Error::Io`] if that fails, of the kind [`Unsupported`](io::ErrorKind::Unsupported) for a
    /// Unix socket where there are none; [`Error::Timeout`] if it takes too long.
    pub fn connect_with(address: impl ToAddress, config: &ClientConfig) -> Result<Self, Error> {
        let parsed;
        let address = match address.as_address() {
            Some(address) => address,
            None => {
                parsed = address.to_address()?;
                &parsed
            }
        };
        let deadline = connect::Deadline::new(config);
        match address {
            Address::Tcp(_) => {
                let stream = connect::tcp(address, &deadline)?;
                // Only a matter of delay.
                let _ = stream.set_nodelay(true);
                Ok(stream.into())
            }
            #[cfg(unix)]
            Address::Unix(path) => Ok(connect::unix(path, &deadline)?.into()),
            // One that a server is given, or a Unix socket where there are none.
            _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        }
    }
}

impl Stream {
    /// The program at the other end.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn peer(&self) -> io::Result<Peer> {
        match &self.inner {
            Inner::Tcp(stream) => stream.peer_addr().map(Peer::Tcp),
            #[cfg(unix)]
            Inner::Unix(stream) => Ok(crate::socket::unix_peer(stream)),
        }
    }
}

impl Stream {
    /// Ends both directions, also for anyone who waits for the socket.
    pub(crate) fn shutdown_both(&self) {
        // Fails if that is so already.
        let _ = match &self.inner {
            Inner::Tcp(stream) => stream.shutdown(std::net::Shutdown::Both),
            #[cfg(unix)]
            Inner::Unix(stream) => stream.shutdown(std::net::Shutdown::Both),
        };
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
impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for Stream {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        match &self.inner {
            Inner::Tcp(stream) => stream.as_socket(),
        }
    }
}

impl Socket for Stream {
    #[cfg(unix)]
    fn fd(&self) -> BorrowedFd<'_> {
        match &self.inner {
            Inner::Tcp(stream) => stream.as_fd(),
            Inner::Unix(stream) => stream.as_fd(),
        }
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match &self.inner {
            Inner::Tcp(stream) => Some(stream),
            #[cfg(unix)]
            Inner::Unix(_) => None,
        }
    }

    fn share(&self) -> io::Result<Stream> {
        match &self.inner {
            Inner::Tcp(stream) => stream.share(),
            #[cfg(unix)]
            Inner::Unix(stream) => stream.share(),
        }
    }
}

macro_rules! call {
    ($self:ident.$method:ident($($argument:ident),*)) => {
        match &mut $self.inner {
            Inner::Tcp(stream) => stream.$method($($argument),*),
            #[cfg(unix)]
            Inner::Unix(stream) => stream.$method($($argument),*),
        }
    };
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        call!(self.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        call!(self.read_vectored(bufs))
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        call!(self.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        call!(self.write_vectored(bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        // Sockets hold nothing back.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_client_sends_each_piece_at_once() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = Stream::connect(listener.local_addr()?)?;
        let Inner::Tcp(stream) = &stream.inner else { panic!("{stream:?}") };
        assert!(stream.nodelay()?);
        Ok(())
    }
}

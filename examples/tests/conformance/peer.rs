//! The front server of these tests: a plain blocking stream, so that every runtime meets the
//! same bytes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use scgi_proto::{Address, Config};

use crate::memory::{self, End};
use crate::program::Setup;
use crate::runtimes::{Runtime, Target};

/// How long anything may take on a loaded machine before it counts as hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Unix,
    Memory,
}

impl Transport {
    pub(crate) const ALL: [Self; 3] = [Self::Tcp, Self::Unix, Self::Memory];
}

/// A running server of the test program.
#[derive(Debug)]
pub(crate) struct Server {
    runtime: &'static Runtime,
    config: Config,
    /// `None`: each connection is a stream in memory.
    address: Option<Address>,
}

impl Server {
    pub(crate) fn start(
        runtime: &'static Runtime,
        transport: Transport,
        setup: Setup,
        folder: &Path,
    ) -> Self {
        let config = setup.config();
        let address = match transport {
            Transport::Tcp => Some(Address::Tcp("127.0.0.1:0".into())),
            Transport::Unix => {
                Some(Address::Unix(folder.join(format!("{}-{setup:?}", runtime.name))))
            }
            Transport::Memory => None,
        };
        let address = address.map(|address| (runtime.listen)(address, config));
        Self { runtime, config, address }
    }

    /// Where a client of this library finds it.
    pub(crate) fn target(&self) -> Target {
        match &self.address {
            Some(address) => Target::Address(address.clone()),
            None => Target::Memory(self.in_memory()),
        }
    }

    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self.address, Some(Address::Tcp(_)))
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        self.address.is_none()
    }

    pub(crate) fn connect(&self) -> Peer {
        match &self.address {
            Some(address) => Peer::connect(address),
            None => Peer::Memory(self.in_memory()),
        }
    }

    fn in_memory(&self) -> End {
        let (near, far) = memory::pair(PATIENCE);
        let (serve, config) = (self.runtime.serve_stream, self.config);
        // What went wrong is seen from the other end.
        thread::spawn(move || drop(serve(far, config)));
        near
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) enum Peer {
    Tcp(TcpStream),
    Unix(UnixStream),
    Memory(End),
}

impl Peer {
    pub(crate) fn connect(address: &Address) -> Self {
        match address {
            Address::Tcp(address) => {
                Self::from_tcp(TcpStream::connect(address.as_str()).expect("a connection"))
            }
            Address::Unix(path) => {
                Self::from_unix(UnixStream::connect(path).expect("a connection"))
            }
            Address::Systemd(_) => unreachable!("no case has one"),
        }
    }

    pub(crate) fn from_tcp(stream: TcpStream) -> Self {
        // Each piece its own packet, as far as that can be asked for.
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.set_write_timeout(Some(PATIENCE)).expect("an option");
        Self::Tcp(stream)
    }

    pub(crate) fn from_unix(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.set_write_timeout(Some(PATIENCE)).expect("an option");
        Self::Unix(stream)
    }

    /// The same connection, for another thread.
    pub(crate) fn another(&self) -> Self {
        match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().expect("a handle")),
            Self::Unix(stream) => Self::Unix(stream.try_clone().expect("a handle")),
            Self::Memory(end) => Self::Memory(end.clone()),
        }
    }

    /// Ends the sending side. A peer that is gone already needs no telling.
    pub(crate) fn half_close(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Memory(end) => {
                end.half_close();
                Ok(())
            }
        };
    }

    /// Sends, unless the other side does not take it: it may answer before it has read all.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.write_all(bytes) {
            use io::ErrorKind::{BrokenPipe, ConnectionReset};
            assert!(matches!(error.kind(), BrokenPipe | ConnectionReset), "sending: {error}");
        }
    }

    /// Everything up to a clean end.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.read_to_end(&mut all).unwrap_or_else(|e| panic!("{e} after {} bytes", all.len()));
        all
    }

    /// Exactly so many bytes.
    pub(crate) fn receive_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.read_exact(&mut bytes).expect("more bytes");
        bytes
    }
}

macro_rules! call {
    ($self:ident.$method:ident($($argument:ident),*)) => {
        match $self {
            Self::Tcp(stream) => stream.$method($($argument),*),
            Self::Unix(stream) => stream.$method($($argument),*),
            Self::Memory(end) => end.$method($($argument),*),
        }
    };
}

impl Read for Peer {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        call!(self.read(buf))
    }
}

impl Write for Peer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        call!(self.write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        call!(self.flush())
    }
}

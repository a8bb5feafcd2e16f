//! SCGI servers written by others, for testing a client against them.
//!
//! The scripts they run are those in `examples/tests/peers/`. Whether a server is installed is asked with
//! [`required`](crate::process::required): `rtorrent`, `uwsgi-core`, `perl SCGI`, `python scgi`, `python flup`.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Running, find_program, free_port, peers_python, read_lossy, scratch_dir};

/// A server that has not answered by then never will.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a [`Peer`] listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAddress {
    /// A port of this machine.
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

/// As the example programs take it: `127.0.0.1:PORT` or a path.
impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl PeerAddress {
    fn free_tcp() -> io::Result<Self> {
        Ok(Self::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?))))
    }

    fn accepts(&self) -> bool {
        match self {
            Self::Tcp(addr) => TcpStream::connect(addr).is_ok(),
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }
}

/// A real SCGI server that runs for as long as the value lives.
///
/// Every function that starts one waits until it accepts connections, and returns an error with the server's output
/// when it is not installed or does not start.
#[derive(Debug)]
pub struct Peer {
    // Declared before the folder, so dropped before it.
    _process: Running,
    dir: TempDir,
    address: PeerAddress,
}

impl Peer {
    /// rTorrent on a TCP port. It answers XML-RPC calls such as `system.client_version`.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn rtorrent_tcp() -> io::Result<Self> {
        let address = PeerAddress::free_tcp()?;
        let listen = format!("network.scgi.open_port = {address}");
        Self::rtorrent(scratch_dir()?, address, &listen)
    }

    /// rTorrent on a Unix socket.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn rtorrent_unix() -> io::Result<Self> {
        let dir = scratch_dir()?;
        let address = PeerAddress::Unix(dir.path().join("rpc.sock"));
        Self::rtorrent(dir, address, "network.scgi.open_local = rpc.sock")
    }

    fn rtorrent(dir: TempDir, address: PeerAddress, listen: &str) -> io::Result<Self> {
        let mut command = Command::new(find_program("rtorrent")?);
        let settings = include_str!("../peers/rtorrent.rc").replace("@LISTEN@", listen);
        fs::write(dir.path().join("rtorrent.rc"), settings)?;
        fs::create_dir(dir.path().join("session"))?;
        fs::create_dir(dir.path().join("dl"))?;
        // `-n`: the settings of anyone who runs the tests are not ours to load.
        command.args(["-n", "-o", "import=rtorrent.rc"]).env("HOME", dir.path());
        Self::start(dir, address, &mut command)
    }

    /// uWSGI on a TCP port, with the application `wsgiapp.py`.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn uwsgi_tcp() -> io::Result<Self> {
        Self::uwsgi(scratch_dir()?, PeerAddress::free_tcp()?)
    }

    /// uWSGI on a Unix socket, with the application `wsgiapp.py`.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn uwsgi_unix() -> io::Result<Self> {
        let (dir, address) = unix_socket()?;
        Self::uwsgi(dir, address)
    }

    fn uwsgi(dir: TempDir, address: PeerAddress) -> io::Result<Self> {
        let mut command = Command::new(find_program("uwsgi-core")?);
        write_wsgi_application(dir.path())?;
        command.args(["--plugin", "python3", "--wsgi-file", "wsgiapp.py", "--die-on-term"]);
        command.arg("--scgi-socket").arg(address.to_string());
        Self::start(dir, address, &mut command)
    }

    /// The Perl module `SCGI` on a TCP port. It prints `hello`, the path and the length of the
    /// body.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn perl_tcp() -> io::Result<Self> {
        Self::perl(scratch_dir()?, PeerAddress::free_tcp()?)
    }

    /// The Perl module `SCGI` on a Unix socket.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn perl_unix() -> io::Result<Self> {
        let (dir, address) = unix_socket()?;
        Self::perl(dir, address)
    }

    fn perl(dir: TempDir, address: PeerAddress) -> io::Result<Self> {
        let script = ("perl_scgi.pl", include_str!("../peers/perl_scgi.pl"));
        Self::script(find_program("perl")?.as_os_str(), script, dir, address)
    }

    /// The Python package `scgi` on a TCP port. Its handler prints the variables it got.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn python_scgi_tcp() -> io::Result<Self> {
        Self::python_scgi(scratch_dir()?, PeerAddress::free_tcp()?)
    }

    /// The Python package `scgi` on a Unix socket.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn python_scgi_unix() -> io::Result<Self> {
        let (dir, address) = unix_socket()?;
        Self::python_scgi(dir, address)
    }

    fn python_scgi(dir: TempDir, address: PeerAddress) -> io::Result<Self> {
        let script = ("python_scgi.py", include_str!("../peers/python_scgi.py"));
        Self::script(&peers_python(), script, dir, address)
    }

    /// The Python package `flup` on a TCP port, with the application `wsgiapp.py`.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn flup_tcp() -> io::Result<Self> {
        Self::flup(scratch_dir()?, PeerAddress::free_tcp()?)
    }

    /// The Python package `flup` on a Unix socket, with the application `wsgiapp.py`.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn flup_unix() -> io::Result<Self> {
        let (dir, address) = unix_socket()?;
        Self::flup(dir, address)
    }

    fn flup(dir: TempDir, address: PeerAddress) -> io::Result<Self> {
        let script = ("flup_app.py", include_str!("../peers/flup_app.py"));
        Self::script(&peers_python(), script, dir, address)
    }

    /// A script whose argument is a port of 127.0.0.1 or a path.
    fn script(
        interpreter: &OsStr,
        (name, text): (&str, &str),
        dir: TempDir,
        address: PeerAddress,
    ) -> io::Result<Self> {
        fs::write(dir.path().join(name), text)?;
        write_wsgi_application(dir.path())?;
        let mut command = Command::new(interpreter);
        command.arg(name).arg(match &address {
            PeerAddress::Tcp(address) => address.port().to_string(),
            PeerAddress::Unix(path) => path.display().to_string(),
        });
        Self::start(dir, address, &mut command)
    }

    fn start(dir: TempDir, address: PeerAddress, command: &mut Command) -> io::Result<Self> {
        let mut process = Running::spawn_in(dir.path(), command)?;
        process.wait_until(|| address.accepts())?;
        Ok(Self { _process: process, dir, address })
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> &PeerAddress {
        &self.address
    }

    /// What the server has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        read_lossy(&self.dir.path().join("output.log"))
    }

    /// Sends raw bytes and returns all bytes that came back until the server closed.
    ///
    /// # Errors
    /// When connecting, sending or receiving fails, or nothing comes for 10 seconds.
    pub fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        match &self.address {
            PeerAddress::Tcp(addr) => {
                let stream = TcpStream::connect(addr)?;
                stream.set_read_timeout(Some(EXCHANGE_TIMEOUT))?;
                exchange(stream, request)
            }
            PeerAddress::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(EXCHANGE_TIMEOUT))?;
                exchange(stream, request)
            }
        }
    }
}

fn exchange(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    Ok(response)
}

/// A folder with the address of a socket in it.
fn unix_socket() -> io::Result<(TempDir, PeerAddress)> {
    let dir = scratch_dir()?;
    let address = PeerAddress::Unix(dir.path().join("app.sock"));
    Ok((dir, address))
}

fn write_wsgi_application(dir: &Path) -> io::Result<()> {
    fs::write(dir.join("wsgiapp.py"), include_str!("../peers/wsgiapp.py"))
}

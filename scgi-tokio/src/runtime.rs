//! tokio, as the core wants a runtime: tasks, sockets, and how to connect.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use scgi_proto::Address;
use scgi_proto::driver::Connector;
use scgi_proto::server::Runtime;
use scgi_proto::socket::Reactor;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{Instant, sleep};

use crate::transport::Clock;

/// The tokio runtime in which a server runs.
#[derive(Debug, Clone, Copy)]
pub struct Tokio;

impl Runtime for Tokio {
    type Clock = Clock;

    fn clock(&self) -> Clock {
        Clock::since(Instant::now())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn is_multi_threaded(&self) -> bool {
        Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread
    }
}

impl Reactor for Tokio {
    type Tcp = TcpStream;
    #[cfg(unix)]
    type Unix = UnixStream;
    #[cfg(not(unix))]
    type Unix = TcpStream;

    fn register_tcp(socket: std::net::TcpStream) -> io::Result<TcpStream> {
        TcpStream::from_std(socket)
    }

    #[cfg(unix)]
    fn register_unix(socket: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        UnixStream::from_std(socket)
    }
}

impl Connector for Tokio {
    async fn connect_tcp(address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }

    async fn look_up(name: &Address) -> io::Result<Vec<SocketAddr>> {
        let Address::Tcp(name) = name else { return Err(io::ErrorKind::Unsupported.into()) };
        Ok(tokio::net::lookup_host(name.as_str()).await?.collect())
    }

    fn delay(pause: Duration) -> impl Future + Send {
        sleep(pause)
    }
}

//! `hello_tokio` on every core: for each a thread with a runtime of its own, and a listener of its
//! own on the same port (SO_REUSEPORT), among which the system spreads the connections.
//!
//! Usage: `hello_cores [--max-connections N] HOST:PORT`
//!
//! A request is answered immediately by the thread that accepted it, as on one core; a multi-thread
//! runtime moves requests between its threads instead. Unix sockets have no SO_REUSEPORT; there,
//! listen on several paths and let the front server spread the requests.
//!
//! What it gains over one thread depends on the machine and on what a request costs: measure. On
//! two cores that the load generator shared, with 64 requests in flight, it was nothing for an
//! answer as short as this one: the requests per second of a bare accept loop times 0.99
//! (0.77-1.18 in five rounds) against 1.00 (0.88-1.01) of `hello_tokio`, with 1.11 against 1.02
//! times its processor time for each (`SERVER_CORE=0,1 CLIENT_CORE=0,1 run-load.sh --rounds 5
//! --secs 2 --conc 64 --transports tcp` of the harness). A second thread helps when the first one
//! is busy.

use std::net::SocketAddr;
use std::thread;

use scgi_tests::{BoxError, HelloArgs, hello};
use scgi_tokio::{Address, Error, Request, Response, serve};
use tokio::net::{TcpListener, TcpSocket};

async fn answer(mut request: Request) -> Result<Response, Error> {
    request.body_mut().discard().await?;
    let uri = request.head().request_uri().unwrap_or_default();
    Ok(Response::new(hello(uri)).with_field("Content-Type", "text/plain"))
}

/// One of several listeners on the same port.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

/// Serves on this thread.
fn run(address: SocketAddr, max_connections: Option<usize>) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut server = serve(listen(address)?, answer);
        if let Some(count) = max_connections {
            server = server.with_max_connections(count);
        }
        server.await?;
        Ok(())
    })
}

fn main() -> Result<(), BoxError> {
    let HelloArgs { address, max_connections, .. } = HelloArgs::from_command_line();
    let Address::Tcp(address) = address else {
        return Err("only TCP ports can be shared".into());
    };
    let address = address.parse()?;
    let cores = thread::available_parallelism()?.get();
    println!("Listening on {address} with {cores} threads");
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..cores).map(|_| scope.spawn(move || run(address, max_connections))).collect();
        threads.into_iter().try_for_each(|one| one.join().map_err(|_| "a thread panicked")?)
    })
}

//! Serving: a listener, or one stream.

use scgi_proto::driver::Connection;
use scgi_proto::server::RequestHandler as _;
use scgi_proto::{ConnectionConfig, Error, server};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::accept::Listen;
use crate::handler::Handler;
use crate::listener::Listener;
use crate::runtime::Tokio;
use crate::transport::{Clock, Transport};

/// A server about to run: set what differs from the defaults, then `.await` it.
pub type Serve<H, M, L = Listener> =
    server::Serve<Tokio, <L as Listen>::Acceptor, <H as Handler<M>>::Shared>;

/// Serves every connection of `listener` with `handler`, until the shutdown signal if there is
/// one.
///
/// The listener is a [`Listener`], one of tokio's, or the program's own ([`Accept`](crate::Accept)).
/// The handler is an async function, a tower service, or a service that makes services
/// ([`Handler`]).
///
/// A malformed request is answered with 400, 413 or 431, a failed or panicked handler with 500;
/// errors of single connections never end the server.
///
/// # Examples
/// ```no_run
/// use scgi_tokio::{Listener, Request, Response, serve};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind("/run/app/app.sock").await?;
/// let summary = serve(listener, async |_: Request| Response::new("hello"))
///     .with_graceful_shutdown(async { tokio::time::sleep(std::time::Duration::from_secs(60)).await })
///     .await?;
/// println!("{summary:?}");
/// # Ok(()) }
/// ```
pub fn serve<M, H: Handler<M>, L: Listen>(listener: L, handler: H) -> Serve<H, M, L> {
    server::Serve::new(Tokio, listener.into_acceptor(), handler.into_shared())
}

/// Serves the one request of a stream that is not a socket of a [`Listener`]: a TLS stream, a pipe,
/// one side of a `tokio::io::duplex`.
///
/// # Errors
/// What went wrong with the connection, after the peer got a response where that was possible.
///
/// # Cancel safety
/// Dropping the future drops the connection and cancels the handler.
///
/// # Examples
/// ```
/// use scgi_tokio::{Client, ClientConfig, ConnectionConfig, Request, RequestHead, Response, serve_connection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), scgi_tokio::Error> {
/// let (near, far) = tokio::io::duplex(1024);
/// tokio::spawn(async {
///     serve_connection(far, async |_: Request| Response::new("hello"), &ConnectionConfig::default()).await
/// });
/// let request = Request::new(RequestHead::builder("GET", "/").build(), "");
/// let response = Client::new(near, &ClientConfig::default()).request(request).await?;
/// assert_eq!(response.into_body().collect(100).await?, "hello");
/// # Ok(()) }
/// ```
pub async fn serve_connection<IO, M, H>(
    io: IO,
    handler: H,
    config: &ConnectionConfig,
) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler<M>,
{
    let clock = Clock::since(Instant::now());
    let mut connection = Connection::new(Transport::new(io), clock, config);
    let handler = handler.into_shared();
    if let Some(program) = connection.answer(|request| handler.call(request)).await? {
        // On the heap: the future of most requests need not have room for it.
        Box::pin(program.run_on(connection)).await;
    }
    Ok(())
}

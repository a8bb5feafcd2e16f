//! `serve` on smol.

use crate::handler::Handler;
use crate::listener::Listener;
use crate::runtime::{AsyncIo, threads_from_env};
use crate::serve::Serve;

/// Serves every connection of `listener` with `handler` on smol, until the shutdown signal if
/// there is one.
///
/// A malformed request is answered with 400, 413 or 431, a failed or panicked handler with 500;
/// errors of single connections never end the server.
///
/// # Examples
/// ```no_run
/// use scgi_async_std::smol::serve;
/// use scgi_async_std::{Listener, Request, Response};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind("/run/app/app.sock").await?;
/// let summary = serve(listener, async |_: Request| Response::new("hello")).await?;
/// println!("{summary:?}");
/// # Ok(()) }
/// ```
pub fn serve<M, H: Handler<M>>(listener: impl Into<Listener>, handler: H) -> Serve<H, M> {
    let runtime = AsyncIo::new(
        |task| ::smol::spawn(task).detach(),
        || threads_from_env("SMOL_THREADS").unwrap_or(1),
    );
    crate::serve::serve(runtime, listener, handler)
}

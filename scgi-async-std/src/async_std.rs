//! `serve` on async-std.

use crate::handler::Handler;
use crate::listener::Listener;
use crate::runtime::{AsyncIo, one_for_each_processor, threads_from_env};
use crate::serve::Serve;

/// Serves every connection of `listener` with `handler` on async-std, until the shutdown signal if
/// there is one.
///
/// A malformed request is answered with 400, 413 or 431, a failed or panicked handler with 500;
/// errors of single connections never end the server.
///
/// # Examples
/// ```no_run
/// use scgi_async_std::async_std::serve;
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
        |task| drop(::async_std::task::spawn(task)),
        || threads_from_env("ASYNC_STD_THREAD_COUNT").unwrap_or_else(one_for_each_processor),
    );
    crate::serve::serve(runtime, listener, handler)
}
